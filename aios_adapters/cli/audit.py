"""`aios audit`: check that nobody has touched an audit log."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from typing import Any

from aios_kernel.errors import ConfigError

__all__ = ["add_parser"]

EPILOG = """\
examples:
  aios audit verify audit.jsonl
  aios audit verify audit.jsonl --head 5f70bf18...  the head that was noted yesterday must still be in it

Exit code 1 where something is wrong; the first line that is not as it was written is named. Lines that were cut off at
the end are found by the file beside the log (FILE.head), and by a head that you noted elsewhere: what the command prints.
"""


def add_parser(subparsers: Any) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "audit",
        help="check an audit log",
        description="Check the log of what agents were allowed and denied.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(metavar="verify", required=True)
    check = commands.add_parser("verify", help="check every entry, and the end")
    check.add_argument("file", metavar="FILE")
    check.add_argument("--head", metavar="HASH", help="a hash that must be in it, noted at an earlier time")
    check.add_argument("--least", type=int, default=0, metavar="N", help="how many entries it must have at least")
    check.add_argument("--json", action="store_true", help="print one JSON object")
    check.set_defaults(run=_verify)


def _verify(args: argparse.Namespace) -> int:
    from aios_kernel.access import verify

    try:
        found = verify(args.file, head=args.head, least=args.least)
    except OSError as error:
        raise ConfigError(f"{args.file} cannot be read: {error}") from None
    if args.json:
        print(json.dumps({"file": args.file, "ok": found.ok, **asdict(found)}, indent=2))
    elif found.ok:
        print(f"{args.file}: {found.entries} entries, all as they were written\nhead {found.head}")
    else:
        print(f"{args.file}: {found.problem}")
    return 0 if found.ok else 1
