"""`aios kill`, `pause`, `resume` and `priority`: decide about agents of a shared kernel."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from aios_adapters.cli.daemon import add_address, control
from aios_kernel.errors import ConfigError

__all__ = ["add_parser"]

KILLS = "Its waiting calls and those that the kernel serves fail; a call that it makes itself ends by itself; later ones are refused."
PAUSES = "What runs goes on; its waiting and later calls are held until `aios resume`. Others are not held up."
RESUMES = "Its calls go back in line, at the places they had."
RANKS = "1 is the most urgent. The number counts over the agent's own, for waiting calls too."


def add_parser(subparsers: Any) -> None:
    """Add the four commands."""
    for name, text, more in (
        ("kill", "end agents of a shared kernel", KILLS),
        ("pause", "hold the calls of agents of a shared kernel", PAUSES),
        ("resume", "let paused agents of a shared kernel go on", RESUMES),
        ("priority", "set the priority of an agent of a shared kernel", RANKS),
    ):
        parser = subparsers.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}. {more}")
        if name == "priority":
            parser.add_argument("pid", type=int, metavar="PID", help="the agent, as `aios ps` numbers it")
            parser.add_argument("number", type=int, metavar="N", help="the new priority")
        else:
            parser.add_argument("pids", type=int, nargs="+", metavar="PID", help="agents, as `aios ps` numbers them")
        add_address(parser)
        parser.set_defaults(run=rank if name == "priority" else decide, command=name)


def decide(args: argparse.Namespace) -> int:
    """Do it to each; one that cannot be does not keep it from the others."""
    kernel, failed = control(args), 0
    for pid in args.pids:
        try:
            done = kernel.decide(pid, args.command)
        except ConfigError as error:
            print(f"aios: {error}", file=sys.stderr)
            failed = 1
        else:
            print(f"{pid} {done['name']}: {done['state']}")
    return failed


def rank(args: argparse.Namespace) -> int:
    """Set one agent's priority."""
    done = control(args).decide(args.pid, "priority", priority=args.number)
    print(f"{args.pid} {done['name']}: priority {done['priority']}")
    return 0
