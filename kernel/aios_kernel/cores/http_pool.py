"""HTTP to one server with the standard library alone: keep-alive connections, proxies, and a way to break off."""

from __future__ import annotations

import base64
import http.client
import os
import select
import socket
import threading
import urllib.parse
from contextlib import suppress
from dataclasses import dataclass, field

from aios_kernel.errors import ConfigError, CoreError

__all__ = ["Exchange", "Server"]

LOOPBACK = {"localhost", "127.0.0.1", "::1"}


@dataclass
class Server:
    """Where requests go: scheme, host, port, path prefix, and the proxy on the way, if any.

    `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` are honoured as every HTTP client does, except to this machine itself.
    """

    base_url: str
    timeout: float
    scheme: str = field(init=False)
    host: str = field(init=False)
    port: int = field(init=False)
    prefix: str = field(init=False)
    proxy: urllib.parse.SplitResult | None = field(init=False, repr=False)

    def __post_init__(self) -> None:
        url = urllib.parse.urlsplit(self.base_url)
        if url.scheme not in {"http", "https"} or not url.hostname:
            message = f"{self.base_url!r} is no base URL of a server: write one like 'http://localhost:8000/v1'"
            raise ConfigError(message)
        self.scheme, self.host = url.scheme, url.hostname
        self.port = url.port or (443 if url.scheme == "https" else 80)
        self.prefix = url.path.rstrip("/")
        self.proxy = self._proxy()

    @property
    def local(self) -> bool:
        """Whether the server is on this machine."""
        return self.host in LOOPBACK

    def connect(self) -> http.client.HTTPConnection:
        """A connection, not opened yet."""
        kind = http.client.HTTPSConnection if self.scheme == "https" else http.client.HTTPConnection
        if self.proxy is None:
            return kind(self.host, self.port, timeout=self.timeout)
        connection = kind(self.proxy.hostname or "", self.proxy.port or 80, timeout=self.timeout)
        connection.set_tunnel(self.host, self.port, self._proxy_headers())
        return connection

    def _proxy(self) -> urllib.parse.SplitResult | None:
        if self.local:
            return None
        from urllib.request import getproxies, proxy_bypass

        found = getproxies()
        url = found.get(self.scheme) or found.get("all")
        if not url or proxy_bypass(f"{self.host}:{self.port}"):
            return None
        proxy = urllib.parse.urlsplit(url if "//" in url else f"http://{url}")
        return proxy if proxy.scheme == "http" else None  # others (socks) need more than the standard library

    def _proxy_headers(self) -> dict[str, str]:
        if self.proxy is None or self.proxy.username is None:
            return {}
        user = f"{urllib.parse.unquote(self.proxy.username)}:{urllib.parse.unquote(self.proxy.password or '')}"
        return {"Proxy-Authorization": f"Basic {base64.b64encode(user.encode()).decode()}"}


class Exchange:
    """One worker's connection: a request at a time, kept alive between them.

    `send` belongs to the worker; `abort` may be called from any thread and makes what the worker waits for fail.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._connection = server.connect()
        self._lock = threading.Lock()
        self.aborted = False

    def send(self, path: str, body: bytes, headers: dict[str, str]) -> http.client.HTTPResponse:
        """Post `body`; return the response with its body still to be read. Raises `CoreError` when nobody answers."""
        reused = self._connection.sock is not None
        if reused and self._is_stale():
            self.close()
            reused = False
        try:
            return self._attempt(path, body, headers)
        except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError) as error:
            # A kept connection may be closed by the server at any time: that says nothing of this request.
            if not reused or self.aborted:
                raise self._failure(error) from error
        except (OSError, http.client.HTTPException) as error:
            raise self._failure(error) from error
        self.close()
        try:
            return self._attempt(path, body, headers)
        except (OSError, http.client.HTTPException) as error:
            raise self._failure(error) from error

    def abort(self) -> None:
        """Break off: the connection is closed under whoever reads or writes on it."""
        with self._lock:
            self.aborted = True
            sock = self._connection.sock
        if sock is not None:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        with suppress(Exception):
            self._connection.close()

    def _attempt(self, path: str, body: bytes, headers: dict[str, str]) -> http.client.HTTPResponse:
        if self._connection.sock is None:
            self._connection.connect()
        with self._lock:
            if self.aborted:
                raise ConnectionAbortedError("the call was cancelled")
        self._connection.request("POST", self._server.prefix + path, body, headers)
        return self._connection.getresponse()

    def _is_stale(self) -> bool:
        """Whether the server has closed the kept connection (or sent what nobody asked for)."""
        sock = self._connection.sock
        try:
            if os.name == "posix":  # `select` cannot watch the many files a busy process has open
                poll = select.poll()
                poll.register(sock, select.POLLIN)
                return bool(poll.poll(0))
            return bool(select.select([sock], [], [], 0)[0])
        except (OSError, ValueError):
            return True

    def _failure(self, error: Exception) -> CoreError:
        url = self._server.base_url
        if isinstance(error, TimeoutError):
            return CoreError(f"{url} gave no answer for {self._server.timeout:g} s: raise the core's timeout")
        if isinstance(error, ConnectionRefusedError):
            return CoreError(f"nothing listens at {url}: start the server, or correct the base URL")
        return CoreError(f"the connection to {url} failed: {error!r}")
