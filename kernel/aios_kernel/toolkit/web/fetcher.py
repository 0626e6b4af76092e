"""One guarded GET: the address that was checked is the one connected to, for every redirect anew."""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

from aios_kernel.errors import ToolError, ToolTimeout
from aios_kernel.toolkit.running import running
from aios_kernel.toolkit.web.guard import Target, is_public, parse_url

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Mapping

__all__ = ["Fetched", "Fetcher"]

AGENT = "aios-adapters (tools of agents; https://pypi.org/project/aios-adapters/)"
REDIRECTS = {301, 302, 303, 307, 308}
CHUNK = 2**16


@dataclass(frozen=True, slots=True)
class Fetched:
    """What came: the URL it came from in the end, the status, the type, and the text; `truncated` beyond the limit."""

    url: str
    status: int
    type: str
    text: str
    truncated: bool = False


def _resolve(host: str, port: int) -> list[str]:
    return [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetcher:
    """Fetch texts by GET from the hosts in `allow` ("*" is every public one), at most `max_bytes` in `seconds`.

    A host any of whose addresses `permit` refuses is not reached; by default those that are not of the open internet.
    Proxies of the environment are not used: they would look names up by themselves.
    """

    allow: tuple[str, ...] = ()
    seconds: float = 20.0
    max_bytes: int = 2 * 2**20
    max_redirects: int = 5
    permit: Callable[[str], bool] = is_public
    resolve: Callable[[str, int], Iterable[str]] = _resolve
    tls: ssl.SSLContext | None = field(default=None, repr=False)

    def get(self, url: str, *, headers: Mapping[str, str] | None = None) -> Fetched:
        """Fetch one URL; raises `ToolError`. `headers` go to the URL's own origin alone."""
        deadline = time.monotonic() + self.seconds
        target = first = parse_url(url, self.allow)
        for _ in range(self.max_redirects + 1):
            sent = dict(headers or {}) if target.origin == first.origin else {}
            status, found, data, truncated = self._once(target, sent, deadline)
            place = found.get("location")
            if status not in REDIRECTS or place is None:
                return _fetched(url, status, found, data, truncated)
            url = urljoin(url, place)
            if url.startswith("http:") and target.scheme == "https":
                raise ToolError(f"the redirect to {url!r} is not followed: it leaves https")
            target = parse_url(url, self.allow)
        raise ToolError(f"more than {self.max_redirects} redirects, the last to {url!r}")

    def _once(self, target: Target, headers: dict[str, str], deadline: float) -> tuple[int, Any, bytes, bool]:
        address = self._address(target)
        connection = _Pinned(target, address, self._left(deadline), self.tls)
        request = {"User-Agent": AGENT, "Accept-Encoding": "identity", **headers}
        with _ending(connection, deadline) as ended:
            try:
                connection.request("GET", target.path, headers=request)
                response = connection.getresponse()
                data, truncated = self._body(response)
                if ended.is_set():
                    raise TimeoutError("the time was over")
                return response.status, response.headers, data, truncated
            except (OSError, http.client.HTTPException, ValueError) as error:
                if ended.is_set() or isinstance(error, TimeoutError):  # whichever clock was first
                    raise ToolTimeout(f"{target.host} took longer than {self.seconds:g} seconds") from error
                raise ToolError(f"{target.host} cannot be fetched from: {type(error).__name__}: {error}") from error

    def _address(self, target: Target) -> str:
        try:
            addresses = list(self.resolve(target.host, target.port))
        except (OSError, UnicodeError) as error:
            raise ToolError(f"the name {target.host!r} cannot be looked up: {error}") from error
        refused = [address for address in addresses if not self.permit(address)]
        if refused or not addresses:
            raise ToolError(f"{target.host!r} is not on the open internet, so it is not fetched from")
        return addresses[0]

    def _body(self, response: http.client.HTTPResponse) -> tuple[bytes, bool]:
        if response.status in REDIRECTS:
            return b"", False
        kept = bytearray()
        while len(kept) <= self.max_bytes:
            piece = response.read1(CHUNK)
            if not piece:
                if response.length:  # a connection that was cut looks like an end
                    raise http.client.IncompleteRead(bytes(kept), response.length)
                return bytes(kept), False
            kept += piece
        return bytes(kept[: self.max_bytes]), True

    def _left(self, deadline: float) -> float:
        left = deadline - time.monotonic()
        if left <= 0:
            raise ToolTimeout(f"it took longer than {self.seconds:g} seconds")
        return left


class _Pinned(http.client.HTTPConnection):
    """A connection to the address that was checked, whatever the name leads to by now; TLS is for the name."""

    def __init__(self, target: Target, address: str, timeout: float, tls: ssl.SSLContext | None) -> None:
        super().__init__(target.host, target.port, timeout=timeout)
        self._target, self._address = target, address
        self._tls = (tls or ssl.create_default_context()) if target.scheme == "https" else None
        self._lock = threading.Lock()
        self._cut = False
        if target.scheme == "https":
            self.default_port = http.client.HTTPS_PORT

    def connect(self) -> None:
        """Connect to the address."""
        raw = socket.create_connection((self._address, self._target.port), self.timeout)
        self.sock = raw
        if self._tls is not None:
            self.sock = self._tls.wrap_socket(raw, server_hostname=self._target.host)
        with self._lock:
            if self._cut:
                raise TimeoutError("the time was over before the connection was made")

    def cut(self) -> None:
        """End whatever the connection waits for; any thread."""
        with self._lock:
            self._cut = True
        sock = self.sock
        if sock is not None:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)


@contextmanager
def _ending(connection: _Pinned, deadline: float) -> Generator[threading.Event, None, None]:
    """Cut the connection when the time is over, however slowly its bytes drip, or when the call is stopped."""
    ended = threading.Event()

    def end() -> None:
        ended.set()
        connection.cut()

    timer = threading.Timer(max(deadline - time.monotonic(), 0.0), end)
    timer.daemon = True
    timer.start()
    try:
        with _stopping(connection.cut):
            yield ended
    finally:
        timer.cancel()
        connection.close()


@contextmanager
def _stopping(cut: Callable[[], object]) -> Generator[None, None, None]:
    try:
        stopping = running().stopping
    except ToolError:  # used outside of a tool call
        yield
        return
    with stopping(cut):
        yield


def _fetched(url: str, status: int, headers: Any, data: bytes, truncated: bool) -> Fetched:
    kind: str = headers.get_content_type()
    if headers.get("content-encoding", "identity").lower() not in {"", "identity"}:
        raise ToolError(f"{url!r} came packed, though it was asked for plain")
    textual = kind.startswith("text/") or kind.endswith(("json", "xml", "javascript", "yaml", "+text"))
    if data and not textual:
        raise ToolError(f"{url!r} is {kind}, not text")
    try:
        text = data.decode(headers.get_content_charset("utf-8"), "replace")
    except LookupError:
        text = data.decode("utf-8", "replace")
    return Fetched(url, status, kind, text, truncated)
