"""Closing a connection with a RST, where the system can; elsewhere it is closed as the transport aborts."""

import asyncio
import os
import socket
import struct

try:
    import fcntl
    import termios
except ImportError:  # Windows
    fcntl = termios = None  # type: ignore[assignment]

_AT_ONCE = struct.pack("ii", 1, 0)  # linger on, for no time: what is unsent is thrown away and a RST sent


def reset_on_close(transport: asyncio.BaseTransport) -> None:
    """Have the closing of a connection send a RST instead of a FIN."""
    number = _number(transport)
    if number is None or os.name != "posix":
        return
    with socket.socket(fileno=os.dup(number)) as same:
        same.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)


def on_the_way(transport: asyncio.BaseTransport) -> int:
    """How many bytes the system has not seen arrive yet; 0 where it cannot tell."""
    number = _number(transport)
    if number is None or fcntl is None:
        return 0
    try:
        return int(struct.unpack("i", fcntl.ioctl(number, termios.TIOCOUTQ, b"\0\0\0\0"))[0])
    except OSError:
        return 0


def _number(transport: asyncio.BaseTransport) -> int | None:
    """The file number of a connection's socket."""
    found = transport.get_extra_info("socket")
    number: int = -1 if found is None else found.fileno()
    return None if number < 0 else number
