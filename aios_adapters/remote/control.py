"""Control of a kernel in another process, for `aios ps`, `top`, `kill` and the like: HTTP with the standard library."""

from __future__ import annotations

import http.client
import json
import os
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from aios_kernel.address import Address, parse, read_token
from aios_kernel.errors import AiosError, ConfigError

__all__ = ["Control", "NoKernel"]

PREFIX = "/aios/v1"


class NoKernel(AiosError):
    """No kernel answers at the address."""


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Control:
    """Ask a kernel at an address: "unix:PATH", "tcp:HOST:PORT", "auto", or by default what AIOS_KERNEL says.

    Raises `NoKernel` where none answers, `ConfigError` for what it refuses.
    """

    def __init__(self, address: Address | str | None = None, *, timeout: float = 10.0) -> None:
        text = address or os.environ.get("AIOS_KERNEL") or "auto"
        self.address = text if isinstance(text, Address) else parse(text)
        self._timeout = timeout
        self._token = read_token(self.address)

    def status(self) -> dict[str, Any]:
        """Resources, agents and policies."""
        return self._ask("GET", "/status")

    def agents(self) -> list[dict[str, Any]]:
        """The process table."""
        return self._ask("GET", "/agents")["agents"]

    def decide(self, pid: int, action: str, **body: Any) -> dict[str, Any]:
        """Do `kill`, `pause`, `resume` or `priority` to an agent."""
        return self._ask("POST", f"/agents/{pid}/{action}", body)

    def policies(self) -> dict[str, Any]:
        """The policies in charge and those that there are."""
        return self._ask("GET", "/policy")

    def set_policy(self, policy: str, resource: str | None = None) -> dict[str, Any]:
        """Put a policy in charge of the resources that match a pattern, or of all."""
        return self._ask("PUT", "/policy", {"policy": policy, "resource": resource})

    def approvals(self) -> list[dict[str, Any]]:
        """The calls that wait for a person's decision."""
        return self._ask("GET", "/approvals")["approvals"]

    def approve(self, number: str, *, allowed: bool, remember: float | None = None) -> dict[str, Any]:
        """Decide about one of them."""
        body = {"allowed": allowed, "remember": remember}
        return self._ask("POST", f"/approvals/{quote(number, safe='')}", body)

    def events(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Follow the kernel's events: name and content; ends when the kernel does, or has dropped a slow reader."""
        connection, response = self._open("GET", "/events", None, None)
        try:
            name = ""
            for line in response:
                key, _, value = line.decode().rstrip("\n").partition(": ")
                if key == "event":
                    name = value
                elif key == "data":
                    yield name, json.loads(value)
        finally:
            connection.close()

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        connection, response = self._open(method, path, body, self._timeout)
        try:
            return json.loads(response.read())
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise NoKernel(f"the kernel at {self.address} broke off its answer: {error!r}") from None
        finally:
            connection.close()

    def _open(
        self, method: str, path: str, body: Any, timeout: float | None
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        connection = self._connection()
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        data = None if body is None else json.dumps(body).encode()
        if data is not None:
            headers["Content-Type"] = "application/json"
        try:
            connection.request(method, f"{PREFIX}{path}", data, headers)
            if connection.sock is not None:
                connection.sock.settimeout(timeout)
            response = connection.getresponse()
            if response.status >= 400:
                raise self._refused(response.status, response.read())
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise NoKernel(self._nobody(error)) from None
        except BaseException:
            connection.close()
            raise
        return connection, response

    def _connection(self) -> http.client.HTTPConnection:
        if self.address.path:
            return _UnixConnection(self.address.path, self._timeout)
        return http.client.HTTPConnection(self.address.host, self.address.port, timeout=self._timeout)

    def _refused(self, status: int, body: bytes) -> AiosError:
        try:
            message = str(json.loads(body)["error"]["message"])
        except (ValueError, KeyError, TypeError):
            message = f"{self.address} answered {status}: {body[:80]!r}"
        return ConfigError(message)

    def _nobody(self, error: Exception) -> str:
        where = f"unix:{self.address.path}" if self.address.path else str(self.address)
        if isinstance(error, PermissionError):
            return f"the kernel at {where} belongs to another user"
        if isinstance(error, TimeoutError):
            return f"the kernel at {where} does not answer"
        if isinstance(error, OSError):
            return f"no kernel runs at {where}; start one: aios serve (elsewhere: --kernel ADDRESS, or AIOS_KERNEL)"
        return f"what answers at {where} is no kernel: {error!r}"
