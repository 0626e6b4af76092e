"""How `aios top` looks: one frame as rich's renderables. Imported only where rich is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

__all__ = ["View", "ordered", "render"]

STATES = {"running": "green", "waiting": "yellow", "paused": "magenta", "killed": "red", "idle": "dim"}
ORDERS = ("pid", "tokens", "waiting", "waited")
KEYS = "↑↓ select   p pause/resume   + - priority   k kill   s sort   q quit"
WIDE = 110  # columns from which on every number is shown
AROUND = 11  # lines that are not agents: heads, rules, resources' own head, keys


@dataclass(slots=True)
class View:
    """What the person at the keyboard has chosen; `says` is the last line's answer to a key."""

    selected: int = 0  # a pid
    order: str = "pid"
    asks: str = ""  # a question that waits for y or n
    says: str = ""


def ordered(frame: Mapping[str, Any], view: View) -> list[Mapping[str, Any]]:
    """The agents as they stand on the screen: the dead last, the rest in the order that was chosen."""

    def place(one: Mapping[str, Any]) -> tuple[Any, ...]:
        most = {
            "tokens": one["input_tokens"] + one["output_tokens"],
            "waiting": one["waiting"],
            "waited": one["waited"],
        }
        return one["state"] == "killed", -most.get(view.order, 0), one["pid"]

    return sorted(frame["agents"], key=place)


def render(frame: Mapping[str, Any], view: View, *, size: tuple[int, int], title: str) -> Group:
    """One screen, no larger than `size` (columns, lines)."""
    width, height = size
    agents = ordered(frame, view)
    busiest = sorted(frame["resources"], key=lambda one: (-one["waiting"] - one["running"], one["resource"]))
    resources = busiest[: max(1, (height - AROUND) // 3)]
    room = max(1, height - AROUND - len(resources))
    shown = _window(agents, view.selected, room)
    more = ""
    if len(shown) < len(agents) or len(resources) < len(busiest):
        more = f"{len(shown)} of {len(agents)} agents, {len(resources)} of {len(busiest)} resources are shown"
    last = Text(view.asks or view.says or more, style="bold yellow" if view.asks else "")
    wide = width >= WIDE
    tables = _resources(resources, wide=wide), _agents(shown, view, wide=wide)
    return Group(_head(frame, agents, title), Text(), tables[0], Text(), tables[1], last, Text(KEYS, style="dim"))


def _head(frame: Mapping[str, Any], agents: Sequence[Mapping[str, Any]], title: str) -> Text:
    states = {state: sum(one["state"] == state for one in agents) for state in STATES}
    counts = ", ".join(f"{count} {state}" for state, count in states.items() if count) or "none"
    waiting = sum(one["waiting"] for one in frame["resources"])
    running = sum(one["running"] for one in frame["resources"])
    policy = frame["policies"].get("*", "")
    return Text.assemble(
        ("aios top", "bold"), f"  {title}   policy {policy}\n",
        (f"{frame['tokens_per_second']:.0f} tokens/s", "bold"),
        f"   calls: {running} running, {waiting} waiting   agents: {counts}",
        overflow="ellipsis", no_wrap=True,
    )  # fmt: skip


def _table(columns: Sequence[str], left: Sequence[str], widest: str) -> Table:
    """A table in which the column of names gets what room is left."""
    table = Table(
        box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False, collapse_padding=True, expand=True, show_edge=False
    )
    for name in columns:
        justify = "left" if name.rstrip(" ▾") in left else "right"
        table.add_column(name, justify=justify, no_wrap=True, ratio=1 if name.startswith(widest) else None)
    return table


def _resources(resources: Sequence[Mapping[str, Any]], *, wide: bool) -> Table:
    columns = [
        "resource",
        "policy",
        "running",
        "limit",
        "waiting",
        "calls/s",
        *(["calls", "pushed back"] if wide else []),
    ]
    table = _table(columns, ("resource", "policy"), "resource")
    for one in resources:
        numbers = (one["running"], _limit(one), one["waiting"], f"{one['calls_per_second']:.1f}")
        totals = (one["granted"], one["pushed_back"]) if wide else ()
        style = "" if one["running"] or one["waiting"] else "dim"
        table.add_row(*map(Text, [one["resource"], one["policy"], *map(str, numbers), *map(str, totals)]), style=style)
    return table


def _limit(one: Mapping[str, Any]) -> str:
    if "kv_budget" in one:  # memory, where the core is limited by that
        return f"{100 * one['kv_reserved'] / max(1, one['kv_budget']):.0f}% of memory"
    limit = one.get("limit")
    return "-" if limit is None else str(limit)


def _agents(agents: Sequence[Mapping[str, Any]], view: View, *, wide: bool) -> Table:
    names = ["pid", "agent", *(["framework"] if wide else []), "state", "prio"]
    names += [*(["calls"] if wide else []), "waiting", "running", "tokens", "tok/s", "waited"]
    table = _table(
        [f"{name} ▾" if name == view.order else name for name in names], ("agent", "framework", "state"), "agent"
    )
    for one in agents:
        numbers = [one["waiting"], one["running"], one["input_tokens"] + one["output_tokens"]]
        wait = "-" if one["mean_wait"] is None else f"{one['mean_wait']:.2f} s"
        cells = [str(one["pid"]), _name(one), *([one["framework"] or "-"] if wide else [])]
        row = [*map(Text, cells), Text(one["state"], style=STATES[one["state"]]), Text(str(one["priority"]))]
        row += map(
            Text, [*([str(one["calls"])] if wide else []), *map(str, numbers), f"{one['tokens_per_second']:.0f}", wait]
        )
        table.add_row(*row, style="reverse" if one["pid"] == view.selected else "")
    return table


def _name(one: Mapping[str, Any]) -> str:
    return f"{one['group']}/{one['name']}" if one["group"] not in {"", one["name"]} else str(one["name"])


def _window(agents: Sequence[Mapping[str, Any]], selected: int, room: int) -> Sequence[Mapping[str, Any]]:
    """As many agents as there is room for, the selected one among them."""
    place = next((number for number, one in enumerate(agents) if one["pid"] == selected), 0)
    first = min(max(0, place - room // 2), max(0, len(agents) - room))
    return agents[first : first + room]
