"""What the commands that ask a shared kernel have in common: its address, and the way to it."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aios_adapters.remote.control import Control

__all__ = ["add_address", "agent_rows", "control"]

AGENT_COLUMNS = (
    "pid", "agent", "group", "framework", "state", "priority", "calls", "waiting", "running", "tokens in", "out", "waited s",
    "failed",
)  # fmt: skip


def add_address(parser: argparse.ArgumentParser) -> None:
    """Add the option that says which kernel."""
    parser.add_argument(
        "--kernel",
        metavar="ADDRESS",
        help="unix:PATH or tcp:HOST:PORT (default: AIOS_KERNEL, else the user's own socket)",
    )


def control(args: argparse.Namespace) -> Control:
    """The kernel that is meant."""
    from aios_adapters.remote.control import Control

    return Control(args.kernel)


def agent_rows(agents: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """The cells of AGENT_COLUMNS, one row per agent."""
    return [_row(agent) for agent in agents]


def _row(agent: Mapping[str, Any]) -> list[str]:
    names = [str(agent["pid"]), agent["name"], agent["group"] or "-", agent["framework"] or "-", agent["state"]]
    numbers = (agent["priority"], sum(agent["syscalls"].values()), agent["waiting"], agent["running"])
    used = (agent["input_tokens"], agent["output_tokens"], f"{agent['waited']:.2f}", agent["failed"])
    return [*names, *map(str, numbers), *map(str, used)]
