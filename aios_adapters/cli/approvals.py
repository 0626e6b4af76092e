"""`aios approvals`: see what agents wait to be allowed, and decide."""

from __future__ import annotations

import argparse
import json
import os
import pwd
from typing import Any

from aios_adapters.cli.daemon import add_address, control
from aios_kernel.errors import ConfigError

__all__ = ["add_parser"]

EPILOG = """\
examples:
  aios approvals list
  aios approvals allow 3f2a9c0d11ee
  aios approvals deny 3f2a9c0d11ee
  aios approvals allow 3f2a9c0d11ee --remember 3600     also for the next hour, whatever the arguments
  aios approvals list --kernel auto                     of a shared kernel, through its daemon
"""


def add_parser(subparsers: Any) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "approvals",
        help="see and decide what agents wait to be allowed",
        description="See the calls that wait for a person's decision, with all their arguments, and decide about them.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(metavar="list|allow|deny", required=True)
    listing = commands.add_parser("list", help="the open questions, in full")
    listing.set_defaults(run=_list)
    every = [listing]
    for word in ("allow", "deny"):
        one = commands.add_parser(word, help=f"{word} one")
        one.add_argument("id", metavar="ID")
        one.add_argument(
            "--remember", type=float, metavar="SECONDS", help="the same agent, action and target is not asked again"
        )
        one.set_defaults(run=_decide, allowed=word == "allow")
        every.append(one)
    for one in every:
        one.add_argument(
            "--file", metavar="FILE", help="the queue's file (default: AIOS_APPROVALS, else the user's own)"
        )
        one.add_argument("--json", action="store_true", help="print one JSON object")
        add_address(one)


def _list(args: argparse.Namespace) -> int:
    from aios_kernel.access import Request, shown

    found = control(args).approvals() if args.kernel else _queue(args).listed()
    if args.json:
        print(json.dumps({"approvals": found}, indent=2))
        return 0
    for one in found:
        known = {key: one[key] for key in ("id", "agent", "action", "arguments", "why", "rule", "group")}
        print(f"{one['id']}\n{shown(Request(targets=tuple(one['targets']), **known))}\n")
    print(f"{len(found)} open" + ("; aios approvals allow|deny ID" if found else ""))
    return 0


def _decide(args: argparse.Namespace) -> int:
    from aios_kernel.access import Answer

    if args.remember is not None and args.remember <= 0:
        raise ConfigError("--remember takes a number of seconds above 0")
    if args.kernel:
        found = control(args).approve(args.id, allowed=args.allowed, remember=args.remember)
    else:
        answer = Answer(allowed=args.allowed, by=_me(), remember=args.remember)
        found = _queue(args).decide(args.id, answer)
    if args.json:
        print(json.dumps({"id": args.id, "allowed": args.allowed, "remember": args.remember}))
    else:
        print(f"{'allowed' if args.allowed else 'denied'}: {found['agent']!a} {found['action']!a} {found['target']!a}")
    return 0


def _queue(args: argparse.Namespace) -> Any:
    from aios_kernel.access import Pending

    return Pending(args.file)


def _me() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"
