"""Who may come in: hosts, origins and tokens, checked before anything of the request's body is read."""

from __future__ import annotations

import hmac
import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aios_integrations.server.asgi import header, refuse_unread
from aios_kernel.wire import Problem

if TYPE_CHECKING:
    from aios_integrations.server.asgi import App, Receive, Scope, Send

__all__ = ["AGENT", "Guard", "Rules"]

AGENT = "aios.agent"  # the request's extension with the agent's name that its API key carries


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What a request must show. `token` "" asks for none: on a Unix socket the system has said who it is.

    `hosts` are the names, beside localhost and IP addresses, by which the server may be called; None asks for none.
    """

    token: str = ""
    token_file: str = ""
    hosts: frozenset[str] | None = None


class Guard:
    """Let pass what keeps the rules, and say to the rest which one it broke."""

    def __init__(self, app: App, rules: Rules) -> None:
        self._app, self._rules = app, rules

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        problem = self._problem(scope) if scope["type"] == "http" else None
        if problem is None:
            scope.setdefault("extensions", {})[AGENT] = _name_in(_key_of(scope), self._rules.token)
            await self._app(scope, receive, send)
        else:
            await refuse_unread(receive, send, problem)

    def _problem(self, scope: Scope) -> Problem | None:
        rules = self._rules
        if rules.hosts is not None and not _is_local(header(scope, "host"), rules.hosts):
            # A page of any site can have its own name lead to this machine: then the browser sends that name.
            message = f"this server is not called {header(scope, 'host')!r}: use its IP address or localhost"
            return Problem(403, message, "permission_error", "wrong_host")
        if header(scope, "origin") or header(scope, "sec-fetch-site") in {"cross-site", "same-site", "same-origin"}:
            return Problem(403, "pages in a browser may not use this server", "permission_error", "wrong_origin")
        if rules.token and not _has_token(_key_of(scope), rules.token):
            where = f": it is in {rules.token_file}" if rules.token_file else ""
            message = f"Incorrect API key provided: give this server's token as the API key{where}"
            return Problem(401, message, "invalid_request_error", "invalid_api_key")
        return None


def _key_of(scope: Scope) -> str:
    """Return the API key of a request, "" where it has none."""
    scheme, _, key = header(scope, "authorization").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else ""


def _name_in(key: str, token: str) -> str:
    """Return the agent's name that an API key carries after its colon; "" where it carries none."""
    if token and key.startswith(token):  # a token that somebody chose may have colons of its own
        return key[len(token) :].removeprefix(":")
    return key.partition(":")[2]


def _has_token(key: str, token: str) -> bool:
    given, asked = key.encode("latin-1", "replace"), token.encode()
    alone = hmac.compare_digest(given, asked)
    named = hmac.compare_digest(given[: len(asked) + 1], asked + b":")
    return alone or named


def _is_local(host: str, names: frozenset[str]) -> bool:
    """Whether a Host header names this machine in a way that no name server has a say in."""
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    if name.lower().rstrip(".") in {"localhost", *names}:
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
