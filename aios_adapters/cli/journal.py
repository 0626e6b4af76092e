"""`aios journal`: what a journal holds, how two differ, and all of it as JSON lines."""

from __future__ import annotations

import argparse
import json
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from aios_adapters.cli.tables import show_table
from aios_kernel.errors import ConfigError

if TYPE_CHECKING:
    from aios_kernel.journal import Row

__all__ = ["add_parser"]

EPILOG = """\
examples:
  aios journal show run.journal                 every recorded call, in the order in which it was answered
  aios journal show run.journal --agent ann --json
  aios journal diff before.journal after.journal
  aios journal export run.journal > run.jsonl   one JSON object per call, with request and answer

A journal is written by `aios run --journal run.journal program.py`, `enable(journal="run.journal")` or AIOS_JOURNAL. A program that
is run again with it is answered from it. Requests are kept without secrets, answers as they were. Exit code of diff: 1
if they differ.
"""
COLUMNS = ("record", "time", "agent", "call", "n", "asked", "answered")
WIDTH = 40  # characters of a request or an answer in a table


def add_parser(subparsers: Any) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "journal",
        help="show, compare and export journals",
        description="Show, compare and export the journals of recorded calls.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    for name, run, text in (
        ("show", show, "list the recorded calls"),
        ("export", export, "print one JSON object per call"),
    ):
        one = actions.add_parser(name, help=text, description=text.capitalize() + ".")
        one.add_argument("file")
        one.add_argument("--agent", metavar="NAME", help="only this agent's, with or without its framework")
        one.add_argument("--json", action="store_true", help="print JSON")
        one.set_defaults(run=run)
    two = actions.add_parser("diff", help="compare two journals", description="Compare two journals, agent by agent.")
    two.add_argument("file")
    two.add_argument("other")
    two.add_argument("--json", action="store_true", help="print JSON")
    two.set_defaults(run=diff)


def show(args: argparse.Namespace) -> int:
    """List the records."""
    rows = _rows(args.file, args.agent)
    if args.json:
        print(json.dumps([_data(row) for row in rows], indent=2))
    else:
        show_table(COLUMNS, [_cells(row) for row in rows])
    return 0


def export(args: argparse.Namespace) -> int:
    """Print each record on a line."""
    for row in _rows(args.file, args.agent):
        print(json.dumps(_data(row)))
    return 0


def diff(args: argparse.Namespace) -> int:
    """Compare."""
    from aios_kernel.journal import compare

    lines = list(compare(_rows(args.file), _rows(args.other)))
    if args.json:
        print(json.dumps({"differ": bool(lines), "lines": lines}, indent=2))
    else:
        print("\n".join(lines) if lines else "no difference")
    return 1 if lines else 0


def _rows(file: str, agent: str | None = None) -> list[Row]:
    from aios_kernel.journal import Journal

    if not Path(file).is_file():
        raise ConfigError(f"there is no journal {file}")
    journal = Journal(file, "strict")  # which writes nothing
    try:
        rows = list(journal.rows())
    finally:
        journal.close()
    return [row for row in rows if agent is None or agent in {row.agent, row.agent.rpartition("/")[2]}]


def _data(row: Row) -> dict[str, Any]:
    return {
        "record": row.id,
        "time": row.time,
        "agent": row.agent,
        "kind": row.kind,
        "call": row.label,
        "hash": row.hash,
        "n": row.n,
        "request": json.loads(row.request),
        "answer": _shown(row),
    }


def _cells(row: Row) -> list[str]:
    when = datetime.fromtimestamp(row.time, timezone.utc).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    asked, answered = _asked(json.loads(row.request)), _answered(_shown(row))
    return [str(row.id), when, row.agent, row.label, str(row.n), _short(asked), _short(answered)]


def _shown(row: Row) -> Any:
    from aios_kernel.journal import shown

    return shown(json.loads(row.answer))


def _asked(request: dict[str, Any]) -> Any:
    messages = request.get("messages")
    if messages:
        return messages[-1].get("content") or messages[-1]
    found = (request.get(key) for key in ("prompt", "inputs", "arguments", "verb"))
    return next((one for one in found if one), "")


def _answered(answer: dict[str, Any]) -> Any:
    if "reply" in answer:
        reply = answer["reply"]
        return reply.get("text") or reply.get("tool_calls") or reply.get("data") or "(vectors)"
    if "deltas" in answer:
        return "".join(delta.get("text", "") for delta in answer["deltas"]) or "(tool calls, streamed)"
    if "opaque" in answer:
        return f"(not kept: {answer['opaque']})"
    native = answer["native"]
    kept = native.get("openai") if isinstance(native, dict) else None  # pyright: ignore[reportUnknownMemberType,reportUnknownVariableType]
    if isinstance(kept, dict):
        return _message(kept.get("text", ""))  # pyright: ignore[reportUnknownMemberType,reportUnknownArgumentType]
    return native.get("result", {}).get("value", native) if isinstance(native, dict) else native  # pyright: ignore[reportUnknownMemberType,reportUnknownVariableType]


def _message(body: Any) -> Any:
    """The words in a body of OpenAI's API, where it is one message or the stream of one."""
    try:
        if isinstance(body, list):
            events = cast("list[Any]", body)
            return _streamed(events) or events
        message = body["choices"][0]["message"]
    except (LookupError, TypeError, AttributeError):
        return cast("Any", body)
    return message.get("content") or message


def _streamed(events: list[Any]) -> str:
    choices = [choice for one in events if one != "[DONE]" for choice in one.get("choices") or ()]
    return "".join(choice["delta"].get("content") or "" for choice in choices)


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    line = " ".join(text.split())
    return line if len(line) <= WIDTH else line[: WIDTH - 3] + "..."
