"""`aios access`: check a policy file, and say which of its rules decides about something, and why."""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import asdict
from typing import Any

from aios_kernel.errors import ConfigError

__all__ = ["add_parser"]

FILE = "AIOS_ACCESS"
DEFAULT = "aios-access.toml"
EPILOG = """\
examples:
  aios access check policy.toml
  aios access explain alice memory.get memory:bob --policy policy.toml
  aios access explain alice storage.delete file:agent:alice/notes.txt
  aios access explain alice tool.run tool:search --json

Actions are llm.VERB, tool.run, code.run, memory.VERB, storage.VERB and access.VERB; targets core:MODEL, tool:NAME,
memory:AGENT, memory:group:NAME, file:agent:NAME/PATH, file:group:NAME/PATH, group:NAME.
"""


def add_parser(subparsers: Any) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "access",
        help="check a policy file and explain what it decides",
        description="Check the file that says which agent may do what to whose memory, files, tools and models.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(metavar="check|explain", required=True)
    check = commands.add_parser("check", help="say what is wrong with a policy file")
    check.add_argument("file", metavar="FILE")
    check.set_defaults(run=_check)
    explain = commands.add_parser("explain", help="which rule decides, and why")
    explain.add_argument("agent", metavar="AGENT")
    explain.add_argument("action", metavar="ACTION")
    explain.add_argument("target", metavar="TARGET")
    explain.add_argument("--policy", metavar="FILE", help=f"the policy file (default: {FILE}, else ./{DEFAULT})")
    explain.add_argument("--group", default="", metavar="NAME", help="the group that the agent's program gives it")
    explain.set_defaults(run=_explain)
    for one in (check, explain):
        one.add_argument("--json", action="store_true", help="print one JSON object")


def _check(args: argparse.Namespace) -> int:
    from aios_kernel.access import load

    policy = load(args.file)
    counts = {"rules": len(policy.rules), "groups": len(policy.groups), "default": policy.default}
    if args.json:
        print(json.dumps({"file": args.file, **counts}))
    else:
        print(f"{args.file}: {len(policy.rules)} rules, {len(policy.groups)} groups, default {policy.default}: valid")
    return 0


def _explain(args: argparse.Namespace) -> int:
    from aios_kernel.access import load

    policy = load(args.policy or os.environ.get(FILE) or DEFAULT)
    if "." not in args.action or ":" not in args.target:
        raise ConfigError(
            f"{args.action!r} on {args.target!r}: say KIND.VERB and KIND:NAME, as in memory.get memory:{args.agent}"
        )
    groups = policy.groups_of(args.agent, args.group)
    verdict = policy.decide(args.agent, args.action, args.target, groups=groups)
    if args.json:
        asked = {"agent": args.agent, "groups": list(groups), "action": args.action, "target": args.target}
        print(json.dumps({**asked, **asdict(verdict)}, indent=2))
        return 0
    print(f"{verdict.effect}: {args.agent} {args.action} {args.target}")
    print(f"  by      {verdict.rule}")
    print(f"  because {verdict.why}")
    if groups:
        print(f"  groups  {', '.join(groups)}")
    if len(verdict.matched) > 1:
        print(f"  fitting {'; '.join(verdict.matched)}")
    return 0
