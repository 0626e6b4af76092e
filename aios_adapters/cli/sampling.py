"""Two looks at a kernel, and what happened between them: the numbers behind `aios top`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["frame"]


def frame(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """What to show: agents and resources as they are, with rates per second and mean waits since the look before."""
    seconds = max(1e-9, now["server"]["now"] - before["server"]["now"])
    earlier = {one["pid"]: one for one in before["agents"]}
    agents = [_agent(one, earlier.get(one["pid"]), seconds) for one in now["agents"]]
    return {
        "server": dict(now["server"]),
        "seconds": round(seconds, 3),
        "policies": dict(now["policies"]),
        "syscalls": dict(now["syscalls"]),
        "tokens_per_second": round(sum(one["tokens_per_second"] for one in agents), 1),
        "agents": agents,
        "resources": _resources(before, now, seconds),
    }


def _agent(now: Mapping[str, Any], before: Mapping[str, Any] | None, seconds: float) -> dict[str, Any]:
    calls = sum(now["syscalls"].values()) - (sum(before["syscalls"].values()) if before else 0)
    tokens = _tokens(now) - (_tokens(before) if before else 0)
    waited = now["waited"] - (before["waited"] if before else 0.0)
    return {
        **now,
        "calls": sum(now["syscalls"].values()),
        "calls_per_second": round(calls / seconds, 2),
        "tokens_per_second": round(tokens / seconds, 1),
        # What those who had their turn in between had waited for it.
        "mean_wait": round(waited / calls, 4) if calls > 0 else None,
    }


def _resources(before: Mapping[str, Any], now: Mapping[str, Any], seconds: float) -> list[dict[str, Any]]:
    earlier = {one["resource"]: one["granted"] for one in before["resources"]}
    return [
        {**one, "calls_per_second": round((one["granted"] - earlier.get(one["resource"], 0)) / seconds, 2)}
        for one in now["resources"]
    ]


def _tokens(agent: Mapping[str, Any]) -> int:
    return agent["input_tokens"] + agent["output_tokens"]
