"""What the kernel did for a program, said at its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TextIO

__all__ = ["write"]

COLUMNS = ("agent", "framework", "calls", "tokens in", "out", "waited s", "ran s", "failed")


def write(stream: TextIO) -> None:
    """Write the calls by kind, and one line per agent that made any; of a shared kernel, only what this program did."""
    import aios_adapters
    from aios_adapters.cli.tables import plain_table

    status = aios_adapters.status()
    agents: Sequence[Mapping[str, Any]] = getattr(status.kernel, "agents", ())
    rows = [_row(agent) for agent in agents if sum(agent["syscalls"].values())]
    shared = getattr(aios_adapters.kernel(), "address", None)
    calls = ", ".join(f"{one.name} {one.calls}" for one in status.adapters if one.calls) or "none"
    lines = [status.headline if shared is None else f"aios-adapters: calls through the kernel at {shared}: {calls}"]
    if rows and shared is None:
        lines.append(plain_table(COLUMNS, rows, right=COLUMNS[2:]))
    lines += [f"{one.name}: {one.reason}" for one in status.adapters if one.state == "failed"]
    stream.write("\n" + "\n".join(lines) + "\n")


def _row(agent: Mapping[str, Any]) -> list[str]:
    calls = str(sum(agent["syscalls"].values()))
    tokens = [str(agent[key]) for key in ("input_tokens", "output_tokens")]
    times = [f"{agent[key]:.2f}" for key in ("waited", "ran")]
    return [agent["name"], agent["framework"] or "-", calls, *tokens, *times, str(agent["failed"])]
