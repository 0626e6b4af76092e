"""Where a kernel for several processes listens: addresses, and the files that lie beside its socket."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from dataclasses import dataclass
from pathlib import Path

from aios_kernel.errors import ConfigError

__all__ = [
    "CHANNEL",
    "Address",
    "default_address",
    "ensure_token",
    "parse",
    "private_folder",
    "read_token",
    "runtime_dir",
]

CHANNEL = "/aios/v1/channel"  # where the server answers the clients of this protocol
LONGEST_PATH = 100  # of a Unix socket; the systems allow from 103 to 107 bytes
FORMS = 'use "unix:PATH", "tcp:HOST:PORT" or "auto"'


@dataclass(frozen=True, slots=True)
class Address:
    """A Unix socket (`path`), or a TCP address (`host`, `port`)."""

    path: str = ""
    host: str = ""
    port: int = 0

    def __str__(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        return f"tcp:[{self.host}]:{self.port}" if ":" in self.host else f"tcp:{self.host}:{self.port}"

    @property
    def token_file(self) -> Path:
        """Where the server leaves the token for the clients of the same user."""
        return self._beside("token")

    @property
    def lock_file(self) -> Path:
        """What is locked by whoever starts a server here."""
        return self._beside("lock")

    @property
    def log_file(self) -> Path:
        """Where a server that was started without being asked for writes its log."""
        return self._beside("log")

    def _beside(self, suffix: str) -> Path:
        if self.path:
            return Path(self.path).with_suffix(f".{suffix}")
        # A server may listen on every interface, so that its clients know it by other names than it does itself.
        return runtime_dir() / f"kernel-{self.port}.{suffix}"


def parse(text: str) -> Address:
    """Read "unix:PATH" or "tcp:HOST:PORT"; "auto" is the default socket. Raises `ConfigError`."""
    if text == "auto":
        return default_address()
    kind, _, rest = text.partition(":")
    if kind == "unix" and rest:
        return _unix(os.path.expanduser(rest), text)  # noqa: PTH111 - a path stays the text it was given as
    host, _, port = rest.rpartition(":")
    if kind == "tcp" and host and port.isdigit() and int(port) < 65536:
        return Address(host=host.removeprefix("[").removesuffix("]"), port=int(port))
    raise ConfigError(f"{text!r} is no address of a kernel: {FORMS}")


def _unix(path: str, text: str) -> Address:
    found = os.path.abspath(path)  # noqa: PTH100 - a link is left a link: it may be the shorter name
    if len(os.fsencode(found)) > LONGEST_PATH:
        raise ConfigError(f"the path of {text!r} is too long for a socket: use {LONGEST_PATH} bytes or fewer")
    return Address(path=found)


def runtime_dir() -> Path:
    """The user's folder for sockets and tokens, whether or not it exists."""
    given = os.environ.get("XDG_RUNTIME_DIR")
    if given and Path(given).is_absolute():
        return Path(given) / "aios-adapters"
    return Path.home() / ".cache" / "aios-adapters" / "run"


def default_address() -> Address:
    """The socket that "auto" means."""
    return _unix(str(runtime_dir() / "kernel.sock"), "auto")


def read_token(address: Address) -> str:
    """The token for that address: AIOS_TOKEN, else its file; "" where there is neither."""
    given = os.environ.get("AIOS_TOKEN")
    if given:
        return given
    try:
        return address.token_file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def ensure_token(address: Address) -> str:
    """The token a server is to ask for: AIOS_TOKEN, else its file, which is made (0600) where there is none."""
    found = read_token(address)
    if found:
        return found
    file = address.token_file
    private_folder(file.parent)
    fresh = file.with_name(f"{file.name}.{os.getpid()}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as stream:
        stream.write(secrets.token_urlsafe(32))
    # Linking fails where another server was quicker: then its token is the one.
    with contextlib.suppress(FileExistsError):
        os.link(fresh, file)
    fresh.unlink()
    return read_token(address)


def private_folder(folder: Path) -> None:
    """Make a folder that only this user can enter; one that exists is left as it is unless it is our own."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder == runtime_dir() and stat.S_IMODE(folder.stat().st_mode) & 0o077:
        folder.chmod(0o700)
