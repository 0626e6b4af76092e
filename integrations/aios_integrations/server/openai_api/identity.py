"""Whose request it is: said in headers, else in the API key, else the process or machine at the other end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aios_integrations.server.asgi import header
from aios_integrations.server.guard import AGENT
from aios_integrations.server.openai_api.problems import bad
from aios_integrations.server.protocol import PEER
from aios_kernel.abi import Agent

if TYPE_CHECKING:
    from aios_integrations.server.asgi import Scope

__all__ = ["agent_of", "timeout_of"]

LONGEST = 200


def agent_of(scope: Scope) -> tuple[Agent, bool]:
    """Return the agent, and whether it said who it is; raises `Refused` for headers that make no sense."""
    said = _said(scope, "x-aios-agent") or str(scope.get("extensions", {}).get(AGENT) or "")
    priority = header(scope, "x-aios-priority").strip() or "10"
    if not (priority.isascii() and priority.isdigit() and int(priority) >= 1):
        raise bad(f"X-AIOS-Priority is {priority!r}: use 1 (most urgent) or a larger whole number", "X-AIOS-Priority")
    agent = Agent(
        name=said or _peer(scope),
        framework=_said(scope, "x-aios-framework"),
        group=_said(scope, "x-aios-group"),
        priority=int(priority),
    )
    return agent, bool(said)


def timeout_of(scope: Scope) -> float | None:
    """Return the seconds that the request will wait for its turn; None for as long as it takes."""
    said = header(scope, "x-aios-timeout").strip()
    if not said:
        return None
    try:
        seconds = float(said)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds < float("inf"):
        raise bad(f"X-AIOS-Timeout is {said!r}: use a number of seconds above 0", "X-AIOS-Timeout")
    return seconds


def _said(scope: Scope, name: str) -> str:
    text = header(scope, name).encode("latin-1").decode("utf-8", "replace").strip()
    if len(text) > LONGEST:
        raise bad(f"{name} is longer than {LONGEST} characters", name)
    return text


def _peer(scope: Scope) -> str:
    peer: dict[str, Any] = scope.get("extensions", {}).get(PEER) or {}
    if peer.get("pid"):
        return f"process {peer['pid']}"
    return str(peer.get("host") or "") or "client"
