"""`aios status` and `aios doctor`: what is installed, what of it is supported, and what to do about the rest."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from typing import Any

from aios_adapters.cli.checks import report
from aios_adapters.cli.tables import show_table

__all__ = ["add_parser", "report"]

ADVICE = {"problems", "hints"}


def add_parser(subparsers: Any) -> None:
    """Add the two commands."""
    for name, text in (
        ("status", "show installed adapters, models, policies and settings"),
        ("doctor", "the same, then name what is wrong and what to do; exit code 1 if something asked for is broken"),
    ):
        parser = subparsers.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        parser.add_argument("--json", action="store_true", help="print one JSON object instead of tables")
        parser.add_argument(
            "--kernel", metavar="ADDRESS", help="also ask for this shared kernel: unix:PATH or tcp:HOST:PORT"
        )
        parser.set_defaults(run=run, command=name)


def run(args: argparse.Namespace) -> int:
    """Look, and tell."""
    found = report(args.kernel) if args.kernel else report()
    advise = args.command == "doctor"
    if args.json:
        print(json.dumps({key: value for key, value in found.items() if advise or key not in ADVICE}, indent=2))
    else:
        _show(found)
    if advise and not args.json:
        _advise(found)
    return 1 if advise and found["problems"] else 0


def _show(found: Mapping[str, Any]) -> None:
    packages = ", ".join(f"{name} {version or '-'}" for name, version in found["packages"].items())
    print(f"Python {found['python']} on {found['platform']}\n{packages}\n")
    columns = ("adapter", "version", "tested", "state", "reason")
    show_table(columns, [[row[name] or "-" for name in columns[:4]] + [row["reason"]] for row in found["adapters"]])
    print()
    present = [[row["model"], "ready" if row["present"] else "not pulled", row["about"]] for row in found["models"]]
    show_table(("model", "state", "about"), present)
    cores = ", ".join(f"{name} ({lacks})" if lacks else name for name, lacks in found["cores"].items())
    print(f"\npolicies: {', '.join(found['policies'])}\ncores:    {cores}")
    sandbox, daemon = found["sandbox"], found["daemon"]
    works = f"bubblewrap at {sandbox['bubblewrap']}" if sandbox["works"] else f"none: bubblewrap, {sandbox['reason']}"
    more = (
        f", {daemon['version']}, process {daemon['pid']}, {daemon['agents']} agents"
        if daemon["state"] == "running"
        else ""
    )
    print(f"sandbox:  {works}\nkernel:   {daemon['address']} ({daemon['state']}{more})")
    for name, value in found["settings"].items():
        print(f"setting:  {name}={value}")


def _advise(found: Mapping[str, Any]) -> None:
    print()
    for row in found["adapters"]:
        if row["remedy"]:
            print(f"install: {row['adapter']}: {row['remedy']}")
    for line in found["problems"]:
        print(f"problem: {line}")
    for line in found["hints"]:
        print(f"hint:    {line}")
    if not found["problems"]:
        print("Nothing is broken.")
