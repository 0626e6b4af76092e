"""`aios ps`: the agents of a shared kernel."""

from __future__ import annotations

import argparse
import json
from typing import Any

from aios_adapters.cli.daemon import AGENT_COLUMNS, add_address, agent_rows, control
from aios_adapters.cli.tables import show_table

__all__ = ["add_parser"]


def add_parser(subparsers: Any) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "ps",
        help="list the agents of a shared kernel",
        description="List the agents of the kernel that `aios serve` runs.",
    )
    parser.add_argument("-a", "--all", action="store_true", help="also agents that were killed")
    parser.add_argument("--json", action="store_true", help="print one JSON object per agent, in a list")
    add_address(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Ask and print."""
    agents = [one for one in control(args).agents() if args.all or one["state"] != "killed"]
    if args.json:
        print(json.dumps(agents, indent=2))
    else:
        show_table(AGENT_COLUMNS, agent_rows(agents), right=("pid", *AGENT_COLUMNS[5:]))
    return 0
