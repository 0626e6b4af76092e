"""The timeline picture: who waited and who ran when, one row per agent, as a PNG (or any format matplotlib writes).

Colours are Okabe and Ito's, which people with any kind of colour vision can tell apart.
"""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aios_kernel.errors import ConfigError
from aios_kernel.events import Event
from aios_kernel.trace import Slice, read_trace, slices

if TYPE_CHECKING:
    import os

__all__ = ["plot"]

COLOURS = {
    "llm": "#0072B2",
    "tool": "#E69F00",
    "memory": "#009E73",
    "storage": "#CC79A7",
    "embedding": "#56B4E9",
    "access": "#F0E442",
}
NAMES = {"llm": "LLM"}
OTHER, WAITING, FAILED, INK, GRID = "#555555", "#D9D9D9", "#D55E00", "#222222", "#EEEEEE"
#: What is marked at the end of a slice: outcome -> (marker, label).
MARKS: dict[str, tuple[Any, str]] = {
    "failed": ("x", "failed"),
    "denied": ("x", "failed"),
    "pushed back": (4, "pushed back"),
    "cancelled": ("|", "cancelled"),
}
WIDTH = 11.0  # inches
ROW, MAX_ROWS_HEIGHT = 0.3, 10.5  # inches; above 35 agents the rows get thinner instead
LABELLED_ROWS = 60  # more rows than this and only some of them get a label
MAX_LANES = 8  # calls of one agent drawn side by side
MIN_WIDTH = 0.002  # of the whole time: shorter runs (a calculator) are drawn this wide, so that they can be seen


@dataclass(frozen=True, slots=True)
class _Row:
    """One agent's slices, each with the lane it is drawn in."""

    name: str
    placed: list[tuple[Slice, int]]
    lanes: int


def plot(
    source: str | os.PathLike[str] | Iterable[Event] | Sequence[Slice],
    path: str | os.PathLike[str],
    *,
    title: str = "",
    names: dict[int, str] | None = None,
) -> Path:
    """Draw a trace file, events or slices into `path` and return it.

    `names` replaces the agents' names by pid, and gives their order. Raises ConfigError without matplotlib, or when there is nothing to draw.
    """
    found = _slices(source)
    if not found:
        raise ConfigError("there is nothing to draw: the trace holds no calls")
    figure = _figure()
    rows = _rows(found, names or {})
    height = min(MAX_ROWS_HEIGHT, ROW * len(rows))
    total = height + 1.95
    canvas = figure(figsize=(WIDTH, total), facecolor="white")
    left = 0.35 + 0.075 * min(30, max(len(row.name) for row in rows))
    box: tuple[float, float] = (left / WIDTH, (WIDTH - left - 0.25) / WIDTH)
    axes = canvas.add_axes((box[0], 1.45 / total, box[1], height / total))
    load = canvas.add_axes((box[0], 0.5 / total, box[1], 0.8 / total), sharex=axes)
    _draw_rows(axes, rows, found)
    _draw_load(load, found)
    _legend(canvas, found, title or _caption(rows, found), 1 - 0.12 / total, left / WIDTH)
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    canvas.savefig(target, dpi=150)
    return target


def _figure() -> Any:
    """Matplotlib's figure without pyplot: no global state, no display, any thread."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ConfigError("the timeline picture needs matplotlib: pip install matplotlib") from None
    return Figure


def _slices(source: Any) -> list[Slice]:
    if isinstance(source, (str, Path)) or hasattr(source, "__fspath__"):
        return read_trace(source)
    items: list[Any] = list(source)
    return slices(items) if items and isinstance(items[0], Event) else items


def _caption(rows: Sequence[_Row], found: Sequence[Slice]) -> str:
    calls = sum(one.phase == "run" and one.outcome != "pushed back" for one in found)
    span = max(one.end for one in found) - min(one.start for one in found)
    agents = f"{len(rows)} agent{'s' if len(rows) != 1 else ''}"
    return f"{agents}, {calls} call{'s' if calls != 1 else ''} in {span:.3g} s"


# Rows ----------------------------------------------------------------------------------------------------------------


def _rows(found: Sequence[Slice], names: dict[int, str]) -> list[_Row]:
    by_agent: dict[int, list[Slice]] = defaultdict(list)
    for one in found:
        by_agent[one.pid].append(one)
    # Named agents first, in the order in which they are named; the others in the order in which they came.
    order = {pid: place for place, pid in enumerate(names)}
    pids = sorted(by_agent, key=lambda pid: (order.get(pid, len(order)), pid))
    return [_row(names.get(pid) or _name(by_agent[pid][0]), by_agent[pid]) for pid in pids]


def _name(one: Slice) -> str:
    """An agent's name, after that of its group, since members of several teams are often called the same."""
    return f"{one.group}: {one.agent}" if one.group and one.group != one.agent else one.agent


def _row(name: str, found: Sequence[Slice]) -> _Row:
    """Put calls that overlap in lanes of their own; the slices of one call stay in one lane."""
    spans: dict[int, tuple[float, float]] = {}
    for one in found:
        start, end = spans.get(one.sid, (math.inf, -math.inf))
        spans[one.sid] = (min(start, one.start), max(end, one.end))
    busy_until: list[float] = []
    lane_of: dict[int, int] = {}
    for sid, (start, end) in sorted(spans.items(), key=lambda item: item[1]):
        lane = next((i for i, busy in enumerate(busy_until) if busy <= start), len(busy_until))
        busy_until[lane : lane + 1] = [end]
        lane_of[sid] = min(lane, MAX_LANES - 1)
    return _Row(name, [(one, lane_of[one.sid]) for one in found], min(MAX_LANES, len(busy_until)))


def _draw_rows(axes: Any, rows: Sequence[_Row], found: Sequence[Slice]) -> None:
    start, end = min(one.start for one in found), max(one.end for one in found)
    span = max(end - start, 1e-9)
    axes.set_xlim(0 if start < 0.05 * span else start, end + 0.005 * span)
    axes.set_ylim(len(rows) - 0.5 + 0.05, -0.5 - 0.05)
    boxes: dict[str, list[Any]] = defaultdict(list)
    marks: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for number, row in enumerate(rows):
        for one, lane in row.placed:
            low, high = _place_of(one, number, lane, row.lanes)
            for colour, left, right in _parts(one, span):
                boxes[colour].append([(left, low), (right, low), (right, high), (left, high)])
            if one.outcome in MARKS:
                marks[one.outcome].append((one.end, (low + high) / 2))
    _fill(axes, boxes, thin=len(rows) > LABELLED_ROWS)
    for outcome, points in marks.items():
        size = 30 if len(rows) <= LABELLED_ROWS else 6
        x, y = zip(*points, strict=True)
        axes.scatter(x, y, marker=MARKS[outcome][0], s=size, color=FAILED, linewidths=1.2, zorder=4, clip_on=False)
    _label_rows(axes, rows)
    _bare(axes)
    axes.tick_params(labelbottom=False, bottom=False)


def _place_of(one: Slice, row: int, lane: int, lanes: int) -> tuple[float, float]:
    """Where a slice is drawn, from top to bottom: waiting is half as high as running."""
    height = 0.8 / lanes
    middle = row - 0.4 + (lane + 0.5) * height
    half = height / 2 * (0.92 if one.phase == "run" else 0.4)
    return middle - half, middle + half


def _parts(one: Slice, span: float) -> list[tuple[str, float, float]]:
    """The parts of a slice with their colours: a run is paler until its first token."""
    if one.phase == "wait":
        return [(WAITING, one.start, one.end)]
    colour, end = COLOURS.get(one.kind, OTHER), max(one.end, one.start + MIN_WIDTH * span)
    if one.first_token is None:
        return [(colour, one.start, end)]
    return [(_pale(colour), one.start, one.first_token), (colour, one.first_token, end)]


def _pale(colour: str) -> str:
    """Half way from a colour to white."""
    return "#" + "".join(f"{(int(colour[at : at + 2], 16) + 255) // 2:02X}" for at in (1, 3, 5))


def _fill(axes: Any, boxes: dict[str, list[Any]], *, thin: bool) -> None:
    from matplotlib.collections import PolyCollection

    for colour, polygons in boxes.items():
        # A white edge keeps calls apart that follow one another; in thin rows it would hide them.
        edge: dict[str, Any] = (
            {"linewidths": 0} if thin or colour == WAITING else {"edgecolors": "white", "linewidths": 0.5}
        )
        layer = 1 if colour == WAITING else 2
        axes.add_collection(PolyCollection(polygons, facecolors=colour, zorder=layer, **edge))


def _label_rows(axes: Any, rows: Sequence[_Row]) -> None:
    every = math.ceil(len(rows) / LABELLED_ROWS)
    shown = range(0, len(rows), every)
    size = 9 if len(rows) * ROW <= MAX_ROWS_HEIGHT else 6.5
    axes.set_yticks(list(shown), [_short(rows[number].name) for number in shown], fontsize=size)
    axes.tick_params(axis="y", length=0, colors=INK)


def _short(name: str, most: int = 30) -> str:
    return name if len(name) <= most else name[: most - 1] + "…"


def _bare(axes: Any) -> None:
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color("#BBBBBB")
    axes.grid(axis="x", color=GRID, zorder=0)
    axes.set_axisbelow(True)


# Load ----------------------------------------------------------------------------------------------------------------


def _draw_load(axes: Any, found: Sequence[Slice]) -> None:
    """How many calls ran, by kind, and on top of them how many waited, at each moment."""
    times, levels = _load(found)
    base = [0] * len(times)
    for key in sorted(levels, key=_place):
        top = [low + count for low, count in zip(base, levels[key], strict=True)]
        colour = WAITING if key == "" else COLOURS.get(key, OTHER)
        axes.fill_between(times, base, top, step="post", color=colour, linewidth=0)
        base = top
    axes.set_ylim(0, max(1, *base) * 1.08)
    axes.set_ylabel("calls", fontsize=8.5, color=INK)
    axes.set_xlabel("seconds", fontsize=9, color=INK, labelpad=2)
    axes.tick_params(labelsize=8.5, colors=INK, length=2)
    axes.yaxis.get_major_locator().set_params(integer=True, nbins=3)
    _bare(axes)


def _load(found: Sequence[Slice]) -> tuple[list[float], dict[str, list[int]]]:
    """The moments of change, and from each on how many calls of each kind run ("": wait)."""
    changes: dict[float, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for one in found:
        key = "" if one.phase == "wait" else one.kind
        changes[one.start][key] += 1
        changes[one.end][key] -= 1
    times = sorted(changes)
    kinds = {key for change in changes.values() for key in change}
    return times, {key: list(itertools.accumulate(changes[time].get(key, 0) for time in times)) for key in kinds}


def _place(kind: str) -> tuple[bool, int, str]:
    """Known kinds in the order of their colours, then the others, then waiting."""
    known = list(COLOURS)
    return (kind == "", known.index(kind) if kind in known else len(known), kind)


def _legend(canvas: Any, found: Sequence[Slice], title: str, top: float, left: float) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    kinds = sorted({one.kind for one in found if one.phase == "run"}, key=_place)
    entries: list[Any] = [
        Patch(color=COLOURS.get(kind, OTHER), label=NAMES.get(kind, kind or "call")) for kind in kinds
    ]
    if any(one.first_token is not None for one in found):
        entries.append(Patch(color=_pale(COLOURS["llm"]), label="before its first token"))
    entries.append(Patch(color=WAITING, label="waiting"))
    outcomes = {one.outcome for one in found}
    marks = dict(MARKS[outcome] for outcome in MARKS if outcome in outcomes)
    entries += [Line2D([], [], color=FAILED, marker=mark, linestyle="", label=label) for mark, label in marks.items()]
    canvas.text(left, top, title, va="top", ha="left", fontsize=11, color=INK)
    canvas.legend(
        handles=entries, loc="upper right", bbox_to_anchor=(1 - 0.15 / WIDTH, top + 0.005), ncols=len(entries),
        frameon=False, fontsize=9, borderaxespad=0, borderpad=0, handlelength=1.2, columnspacing=1.4,
    )  # fmt: skip
