"""`aios memory`: see, search and move what agents remember, and clear what earlier runs of programs left."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aios_adapters.cli.left import left_by_runs
from aios_adapters.cli.tables import show_table
from aios_kernel.errors import ConfigError, VersionConflict

if TYPE_CHECKING:
    from aios_adapters.cli.notes import Notes

__all__ = ["add_parser"]

EPILOG = """\
examples:
  aios memory list --data ./agents                  everybody's latest notes, in the folder of --data
  aios memory search "deploy keys" --agent ann      ann's, of the kernel that `aios serve` runs
  aios memory export --agent ann > ann.jsonl        one JSON object per note
  aios memory import ann.jsonl --agent bob --data ./agents
  aios memory remove --shelves --data ./agents      what earlier runs with enable(memory=True) left

Without --data and --kernel it is the kernel of AIOS_KERNEL, else the folder of AIOS_DATA, else the user's own kernel. A folder may be one
that a kernel is using. A kernel is asked as the agent itself, so its access policy holds, and --agent says whose notes are meant.
"""
COLUMNS = ("agent", "id", "changed", "by", "version", "text")
WIDTH = 60  # characters of a text in a table


def add_parser(subparsers: Any) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "memory",
        help="see, search and move what agents remember",
        description="See, search and move what agents remember: notes in a folder, or of a shared kernel.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(metavar="list|search|export|import|remove", required=True)
    listing = _command(commands, "list", "the notes, in the order in which they were added")
    listing.add_argument("--limit", type=int, default=100, metavar="N", help="only the last N (default: 100; 0: all)")
    listing.set_defaults(run=_list)
    search = _command(commands, "search", "the notes that fit a question best")
    search.add_argument("query", metavar="QUERY")
    search.add_argument("-k", type=int, default=5, metavar="N", help="how many (default: 5)")
    search.add_argument("--mode", choices=("hybrid", "text", "vector"), default="hybrid", help="default: hybrid")
    search.add_argument(
        "--embedder", metavar="NAME", help="with --data, what the notes have vectors of: lexical (default) or minilm"
    )
    search.set_defaults(run=_search)
    export = _command(commands, "export", "print an agent's notes as JSON lines")
    export.set_defaults(run=_export)
    take = _command(commands, "import", "give an agent exported notes, all or none")
    take.add_argument("file", metavar="FILE", help="JSON lines, - for standard input")
    take.add_argument("--replace", action="store_true", help="put them in the place of those that have their ids")
    take.set_defaults(run=_import)
    remove = _command(commands, "remove", "clear what earlier runs of programs left")
    remove.add_argument("--shelves", action="store_true", required=True, help="notes of enable(memory=True)")
    remove.add_argument(
        "--unused",
        type=float,
        default=24.0,
        metavar="HOURS",
        help="only of runs that wrote nothing for so long (default: 24; 0: all). A program that still runs loses those "
        "items",
    )
    remove.add_argument("--yes", action="store_true", help="do not ask")
    remove.set_defaults(run=_remove)
    for one in (listing, search, export, take, remove):
        where = one.add_mutually_exclusive_group()
        where.add_argument("--data", metavar="FOLDER", help="the folder that a kernel keeps memory in")
        where.add_argument("--kernel", metavar="ADDRESS", help="a kernel that runs: unix:PATH, tcp:HOST:PORT or auto")
        whose = "whose notes" if one in (export, take) else "whose notes (default: everybody's, of a folder)"
        one.add_argument(
            "--agent", required=one in (export, take), metavar="NAME", help=f"{whose}; group:NAME: a group's"
        )
        if one is not export:
            one.add_argument("--json", action="store_true", help="print JSON")


def _command(commands: Any, name: str, text: str) -> argparse.ArgumentParser:
    return commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")


def _list(args: argparse.Namespace) -> int:
    if args.limit < 0:
        raise ConfigError("--limit takes a number of at least 0")
    with closing(_notes(args)) as notes:
        agents = _agents(args, notes)
        every = ({**note, "owner": agent} for agent in agents for note in notes.notes(agent))
        found, count = _last(every, args.limit)
    if args.json:
        print(json.dumps(found, indent=2))
        return 0
    _show(found, COLUMNS)
    if count > len(found):
        _say(f"{count - len(found)} before these: --limit 0 shows all")
    return 0


def _search(args: argparse.Namespace) -> int:
    if args.k < 1:
        raise ConfigError("-k takes a number of at least 1")
    with closing(_notes(args)) as notes:
        agents = _agents(args, notes)
        found = notes.search(agents, args.query, args.k, args.mode)
        lacking = 0 if args.mode == "text" else notes.lacking(agents)
    if args.json:
        print(json.dumps(found, indent=2))
    else:
        _show(found, ("score", *COLUMNS))
    if lacking:
        _say(f"{lacking} notes have no vector of this embedder, and are found by their words alone: --embedder NAME")
    return 0


def _export(args: argparse.Namespace) -> int:
    with closing(_notes(args)) as notes:
        for note in notes.notes(args.agent):
            print(json.dumps(note))  # in ASCII, so that no terminal acts upon a text
    return 0


def _import(args: argparse.Namespace) -> int:
    try:
        text = sys.stdin.read() if args.file == "-" else Path(args.file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{args.file} cannot be read: {error}") from None
    with closing(_notes(args, make=True)) as notes:
        try:
            # Not by splitlines(), which also splits at characters that JSON has in its texts.
            count = notes.add(args.agent, text.split("\n"), replace=args.replace)
        except VersionConflict as error:
            raise VersionConflict(
                f"nothing was imported, for {error}; --replace puts the new ones in their place"
            ) from None
    print(json.dumps({"imported": count}) if args.json else f"notes imported: {count}")
    return 0


def _remove(args: argparse.Namespace) -> int:
    if args.unused < 0:
        raise ConfigError("--unused takes a number of hours of at least 0")
    before = time.time() - args.unused * 3600
    with closing(_notes(args)) as notes:
        found = left_by_runs(notes, _agents(args, notes))
        old = [one for one in found if one.last <= before]
        count, kept = sum(len(one.notes) for one in old), len({one.run for one in found if one.last > before})
        if old and not args.json:
            rows = [[_visible(one.agent), one.run, str(len(one.notes)), _when(one.last)] for one in old]
            show_table(("agent", "run", "notes", "last written"), rows, right=("notes",))
        if kept:
            _say(f"runs that wrote within {args.unused:g} hours are left alone: {kept} (--unused HOURS)")
        if old and not args.yes and not _sure(count):
            _say("nothing was removed")
            return 1
        removed = sum(notes.remove(one.agent, one.notes) for one in old)
    if args.json:
        print(json.dumps({"removed": removed, "runs": len({one.run for one in old}), "left": kept}))
    else:
        print(f"notes removed: {removed}" + (f"; changed meanwhile: {count - removed}" if count > removed else ""))
    return 0


def _sure(count: int) -> bool:
    if not sys.stdin.isatty():
        raise ConfigError(f"nobody is there to be asked whether {count} notes are to be removed: say --yes")
    print(f"Remove these {count} notes? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


# Where and whose


def _notes(args: argparse.Namespace, *, make: bool = False) -> Notes:
    from aios_adapters.cli.notes import open_folder, open_kernel

    folder, embedder = args.data, getattr(args, "embedder", None)
    if not folder and not args.kernel and not os.environ.get("AIOS_KERNEL"):
        folder = os.environ.get("AIOS_DATA")
    if folder:
        return open_folder(folder, embedder=embedder, make=make)
    if embedder:
        raise ConfigError("--embedder goes with --data: a kernel has an embedder of its own")
    return open_kernel(args.kernel)


def _agents(args: argparse.Namespace, notes: Notes) -> list[str]:
    return [args.agent] if args.agent else notes.agents()


# What people read


def _last(every: Iterator[dict[str, Any]], limit: int) -> tuple[list[dict[str, Any]], int]:
    """The last of them, and how many there are."""
    count, found = 0, deque[dict[str, Any]](maxlen=limit or None)
    for note in every:
        found.append(note)
        count += 1
    return list(found), count


def _show(found: list[dict[str, Any]], columns: tuple[str, ...]) -> None:
    if not found:
        _say("no notes")
        return
    show_table(columns, [[_cell(note, column) for column in columns] for note in found], right=("score", "version"))


def _cell(note: dict[str, Any], column: str) -> str:
    if column == "score":
        return f"{note['score']:.3f}"
    if column == "changed":
        return _when(note["updated"])
    text = _visible(str(note[{"agent": "owner", "by": "agent"}.get(column, column)]))
    return text if column != "text" or len(text) <= WIDTH else text[: WIDTH - 3] + "..."


def _when(seconds: float) -> str:
    try:
        return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except (OverflowError, ValueError, OSError):  # an imported note may say anything
        return "?"


def _visible(text: str) -> str:
    from aios_kernel.access.showing import visible

    return visible(text)


def _say(text: str) -> None:
    print(f"aios: {text}", file=sys.stderr)
