"""`aios trace`: summarise a trace file, and draw it."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from aios_adapters.cli.tables import show_table
from aios_kernel.errors import ConfigError

if TYPE_CHECKING:
    from aios_kernel.trace import Slice

__all__ = ["add_parser", "agents", "resources"]

EPILOG = """\
examples:
  aios trace run.json                 who waited and who ran, as tables
  aios trace run.json --png run.png   the timeline picture
  aios trace run.json --json          the same numbers for programs

A trace is written by `aios demo --trace run.json`, `aios_adapters.enable(trace="run.json")` or AIOS_TRACE=run.json.
It also opens at https://ui.perfetto.dev.
"""


def add_parser(subparsers: Any) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "trace",
        help="summarise and draw a trace file",
        description="Summarise a trace file per agent and per resource; with --png, draw who ran when.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", help="a trace written by the kernel (Chrome trace JSON), also an unfinished one")
    parser.add_argument("--png", metavar="OUT", help="draw the timeline into this file (needs matplotlib)")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of tables")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Read, print, draw."""
    found = _read(args.file)
    report: dict[str, Any] = {"agents": agents(found), "resources": resources(found)}
    if args.png:
        from aios_adapters.timeline import plot

        report["png"] = str(plot(found, args.png))
    if args.json:
        print(json.dumps(report, indent=2))
    else:
        _show(report)
    return 0


def _read(file: str) -> list[Slice]:
    from aios_kernel.trace import read_trace

    try:
        return read_trace(file)
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror or error}") from None


def agents(found: Iterable[Slice]) -> list[dict[str, Any]]:
    """One row per agent: its calls, tokens, times and outcomes; times in seconds."""
    by_pid: dict[int, list[Slice]] = {}
    for one in found:
        by_pid.setdefault(one.pid, []).append(one)
    return [_agent(by_pid[pid]) for pid in sorted(by_pid)]


def _agent(mine: Sequence[Slice]) -> dict[str, Any]:
    ends = _ends(mine)
    return {
        "agent": mine[0].agent,
        "group": mine[0].group,
        "framework": mine[0].framework,
        "calls": len(ends),
        "input_tokens": sum(one.usage.input_tokens for one in ends),
        "output_tokens": sum(one.usage.output_tokens for one in ends),
        "waited": _seconds(mine, "wait"),
        "ran": _seconds(mine, "run"),
        "turnaround": round(max(one.end for one in mine) - min(one.start for one in mine), 6),
        "outcomes": dict(Counter(one.outcome for one in ends)),
    }


def resources(found: Iterable[Slice]) -> list[dict[str, Any]]:
    """One row per resource: its calls, how long they waited, and how many ran at a time; times in seconds."""
    by_name: dict[str, list[Slice]] = {}
    for one in found:
        by_name.setdefault(one.resource, []).append(one)
    return [_resource(name, by_name[name]) for name in sorted(by_name)]


def _resource(name: str, mine: Sequence[Slice]) -> dict[str, Any]:
    waits: Counter[int] = Counter()
    for one in mine:
        waits[one.sid] += 0 if one.phase == "run" else round(one.seconds * 1e6)
    span = max(one.end for one in mine) - min(one.start for one in mine)
    ordered = sorted(waits.values())
    return {
        "resource": name,
        "calls": len(waits),
        "mean_wait": round(sum(ordered) / len(ordered) / 1e6, 6),
        "p90_wait": ordered[min(len(ordered) - 1, int(0.9 * len(ordered)))] / 1e6,
        "ran": _seconds(mine, "run"),
        "running_on_average": round(_seconds(mine, "run") / span, 3) if span else 0.0,
        "pushed_back": sum(one.outcome == "pushed back" for one in mine),
    }


def _ends(mine: Iterable[Slice]) -> list[Slice]:
    """The last slice of each call."""
    return [one for one in mine if one.outcome not in {"granted", "pushed back"}]


def _seconds(mine: Iterable[Slice], phase: str) -> float:
    return round(sum(one.seconds for one in mine if one.phase == phase), 6)


def _show(report: dict[str, Any]) -> None:
    columns = ("agent", "framework", "calls", "tokens in", "out", "waited s", "ran s", "turnaround s", "outcomes")
    show_table(columns, [_agent_row(row) for row in report["agents"]], right=columns[2:8])
    print()
    columns = ("resource", "calls", "mean wait s", "p90 wait s", "running", "pushed back")
    show_table(columns, [_resource_row(row) for row in report["resources"]], right=columns[1:])
    if "png" in report:
        print(f"\ntimeline: {report['png']}")


def _agent_row(row: dict[str, Any]) -> list[str]:
    times = [f"{row[key]:.2f}" for key in ("waited", "ran", "turnaround")]
    tokens = [str(row["input_tokens"]), str(row["output_tokens"])]
    outcomes = ", ".join(f"{count} {outcome}" for outcome, count in row["outcomes"].items())
    team = f"{row['group']}: " if row["group"] not in {"", row["agent"]} else ""
    return [team + row["agent"], row["framework"] or "-", str(row["calls"]), *tokens, *times, outcomes]


def _resource_row(row: dict[str, Any]) -> list[str]:
    times = [f"{row[key]:.3f}" for key in ("mean_wait", "p90_wait")]
    return [row["resource"], str(row["calls"]), *times, f"{row['running_on_average']:.1f}", str(row["pushed_back"])]
