"""Where a running server is found: by people, by clients, and by our own commands in another process.

`mock-server health` has to reach the server that runs, whatever flags it was started with. So a server writes where it
is into a memory file that it holds open, and a command looks for such a file among the processes of its user. A
file on disk would want a folder that can be written (a container may have none), and would outlive a server that was
killed; a memory file is there exactly as long as its server, for exactly those who share its processes and network,
which in a container is the container. Where the system has none (macOS, Windows) the flags and variables have to do.
"""

import contextlib
import ipaddress
import json
import os
import socket
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path

from mock_server.records import dataclass

NAME = "mock-server"
PROCESSES = Path("/proc")
MOST_BYTES = 4096
_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104
_STARTERS = {"docker-init", "tini", "tini-static", "dumb-init", "catatonit", "sh", "bash", "ash", "dash"}


@dataclass(frozen=True)
class Whereabouts:
    """A server. `url` is as a client on this machine uses it, `alone` whether nobody else can, `found` that it runs."""

    url: str
    host: str
    port: int
    token: str | None = None
    alone: bool = False
    found: bool = False


def url_of(host: str, port: int, base_path: str = "", *, tls: bool = False) -> str:
    """The base URL to reach a server at that is bound to this address; `0.0.0.0` can be listened on, not asked."""
    reached = _ANY.get(host.strip("[]"), host)
    name = f"[{reached}]" if ":" in reached and not reached.startswith("[") else reached
    return f"{'https' if tls else 'http'}://{name}:{port}{base_path}"


def is_any(host: str) -> bool:
    """Whether this is every address of the machine."""
    return host.strip("[]") in _ANY


def is_loopback(host: str) -> bool:
    """Whether an address or name is this machine's own."""
    name = host.strip("[]").lower().rstrip(".")
    if name in ("localhost", "ip6-localhost") or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


# -- containers -----------------------------------------------------------------------------------------------------


def in_container() -> bool:
    """Whether this process is what a container was started for. A shell in a container, as editors open it, is not."""
    if os.getpid() == 1:
        return True
    if os.getppid() != 1 or not any(map(os.path.exists, ("/.dockerenv", "/run/.containerenv"))):
        return False
    try:
        return (PROCESSES / "1" / "comm").read_text().strip() in _STARTERS
    except OSError:
        return False


def is_alone(host: str, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether a server in a container is bound to an address that nothing outside it reaches.

    The containers of a pod share their loopback: there it is a choice.
    """
    return is_loopback(host) and in_container() and "KUBERNETES_SERVICE_HOST" not in environ


def has_network() -> bool:
    """Whether there is a way to anything but this machine (or container) itself, as far as the system knows."""
    seen = False
    for file, column in (("route", 0), ("ipv6_route", -1)):
        with contextlib.suppress(OSError):
            lines = (PROCESSES / "net" / file).read_text().splitlines()
            seen = True
            if any(line.split()[column] not in ("Iface", "lo") for line in lines if line.strip()):
                return True
    return not seen


def own_name() -> str:
    """What others call this machine or container."""
    return socket.gethostname()


# -- a server that runs ----------------------------------------------------------------------------------------------


def announce(where: Whereabouts) -> None:
    """Let other processes find this one, as long as it lives."""
    if hasattr(os, "memfd_create"):
        with contextlib.suppress(OSError):
            os.write(os.memfd_create(NAME), json.dumps(asdict(where)).encode())


def find() -> list[Whereabouts]:
    """The servers that this user runs, of those that share this process's network; by their ports."""
    found = {where.url: where for process in _processes() if (where := _server_of(process)) is not None}
    return sorted(found.values(), key=lambda where: where.port)


def _processes() -> Iterator[Path]:
    try:
        network = (PROCESSES / "self" / "ns" / "net").stat().st_ino
        listed = sorted(PROCESSES.iterdir())
    except OSError:
        return
    for process in listed:
        with contextlib.suppress(OSError):
            if process.name.isdecimal() and (process / "ns" / "net").stat().st_ino == network:
                yield process


def _server_of(process: Path) -> Whereabouts | None:
    with contextlib.suppress(OSError, ValueError, TypeError), os.scandir(process / "fd") as listed:
        for file in listed:
            if os.readlink(file.path).split(" ")[0] == f"/memfd:{NAME}":
                with open(file.path, "rb") as memory:
                    return replace(Whereabouts(**json.loads(memory.read(MOST_BYTES))), found=True)
    return None
