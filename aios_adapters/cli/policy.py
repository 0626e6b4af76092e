"""`aios policy`: see and change the scheduling policies of a shared kernel while it runs."""

from __future__ import annotations

import argparse
import json
from typing import Any

from aios_adapters.cli.daemon import add_address, control
from aios_adapters.cli.tables import show_table

__all__ = ["add_parser"]

EPILOG = """\
examples:
  aios policy show
  aios policy set wfq                                   every resource
  aios policy set 'rr:quantum=64' --resource 'llm:*'    those that match, and those to come

Waiting calls move over to the new policy; running ones keep their grants.
"""


def add_parser(subparsers: Any) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "policy",
        help="see and change the policies of a shared kernel",
        description="See and change the scheduling policies of the kernel that `aios serve` runs.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(metavar="show|set", required=True)
    show = commands.add_parser("show", help="which policy is in charge of what")
    show.set_defaults(run=_show)
    change = commands.add_parser("set", help="put a policy in charge")
    change.add_argument("name", metavar="NAME", help="a policy's name or spec")
    change.add_argument("--resource", metavar="PATTERN", help="only of resources such as 'llm:*'")
    change.set_defaults(run=_set)
    for one in (show, change):
        one.add_argument("--json", action="store_true", help="print one JSON object")
        add_address(one)


def _show(args: argparse.Namespace) -> int:
    return _say(args, control(args).policies())


def _set(args: argparse.Namespace) -> int:
    return _say(args, control(args).set_policy(args.name, args.resource))


def _say(args: argparse.Namespace, found: dict[str, Any]) -> int:
    if args.json:
        print(json.dumps(found, indent=2))
        return 0
    show_table(("pattern", "policy"), [list(pair) for pair in found["policies"].items()])
    if found["resources"]:
        print()
        show_table(("resource", "policy in charge"), [[one["resource"], one["policy"]] for one in found["resources"]])
    print(f"\nknown: {', '.join(found['known'])}")
    return 0
