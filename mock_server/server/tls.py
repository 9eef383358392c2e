"""What a server shows to clients that speak TLS: certificate and key of the user, or made here by the extra `tls`."""

import os
import shutil
import socket
import ssl
import stat
import tempfile
from pathlib import Path

from mock_server.settings import SettingError, Settings
from mock_server.whereabouts import is_any

SHARED_MEMORY = "/dev/shm"  # noqa: S108 - can be written where a container's own file system cannot


class Identity:
    """The certificate of one server. `ca` is the file that clients must trust, when it was made here."""

    def __init__(self, context: ssl.SSLContext, ca: Path | None = None) -> None:
        context.set_alpn_protocols(["http/1.1"])
        self.context = context
        self.ca = ca

    def forget(self) -> None:
        """Remove what was made."""
        if self.ca is not None:
            shutil.rmtree(self.ca.parent, ignore_errors=True)


def identity(settings: Settings) -> Identity | None:
    """What these settings ask for; None: plain HTTP. Raises SettingError for files that do not do."""
    made = settings.tls == "self-signed"
    if made and (settings.tls_cert or settings.tls_key):
        raise SettingError("--tls self-signed makes its own certificate; leave out --tls-cert and --tls-key, or it")
    if made:
        return _made(settings.host)
    if settings.tls_cert is None:
        if settings.tls_key is not None:
            raise SettingError("--tls-key belongs to a certificate: give --tls-cert too")
        return None
    return Identity(_loaded(settings.tls_cert, settings.tls_key))


def _loaded(certificate: str, key: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    for flag, file in (("--tls-cert", certificate), ("--tls-key", key)):
        if file is not None:
            _check(flag, file)
    try:
        context.load_cert_chain(certificate, key, _no_password)
    except ssl.SSLError as error:
        files = certificate if key is None else f"{certificate} and {key}"
        reason = {"KEY_VALUES_MISMATCH": "the key is not that of the certificate"}.get(error.reason or "")
        expected = "expected PEM: the certificate, its chain, and the key" + (" (or --tls-key)" if key is None else "")
        raise SettingError(f"--tls-cert: {files}: {reason or expected}") from None
    return context


def _check(flag: str, file: str) -> None:
    """Raises SettingError for what cannot be read; a pipe would wait for its other end."""
    try:
        if not stat.S_ISREG(os.stat(file).st_mode):
            raise SettingError(f"{flag}: {file}: not a file")
        with open(file, "rb"):
            pass
    except OSError as error:
        raise SettingError(f"{flag}: {file}: cannot be read: {error.strerror}") from None


def _no_password() -> str:
    raise SettingError("--tls-key: the key has a password; give one without")


def _made(host: str) -> Identity:
    """A certificate for the names of this machine, by an authority of its own that lives as long as the server."""
    try:
        import trustme
    except ImportError:
        raise SettingError(
            "--tls self-signed needs trustme, which the extra `tls` brings: pip install trustme"
        ) from None
    folder = _folder()
    authority = trustme.CA()
    names = ["localhost", "127.0.0.1", "::1"]
    names += [] if is_any(host) or host in names else [host]
    try:
        certificate = authority.issue_cert(*names, socket.gethostname())
    except ValueError:  # a machine can have a name that no certificate can (`my_host`)
        certificate = authority.issue_cert(*names)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    with certificate.private_key_and_cert_chain_pem.tempfile(dir=str(folder)) as file:
        context.load_cert_chain(file)
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    return Identity(context, folder / "ca.pem")


def _folder() -> Path:
    """A folder of its own for what is made, wherever one can be made."""
    for place in (os.environ.get("XDG_RUNTIME_DIR") or None, None, SHARED_MEMORY):
        try:
            return Path(tempfile.mkdtemp(prefix="mock-server-", dir=place))
        except OSError:
            continue
    raise SettingError("--tls self-signed: no folder to put its CA into; set TMPDIR to one that can be written")
