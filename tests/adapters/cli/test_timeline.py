"""The timeline picture: it is drawn for few and many agents, from every kind of source."""

# pyright: reportPrivateUsage=false
from __future__ import annotations

import random
import sys
from pathlib import Path
from typing import Any

import pytest

from aios_adapters import timeline
from aios_adapters.cli import main
from aios_kernel.errors import ConfigError
from aios_kernel.events import Event
from aios_kernel.trace import ChromeTrace, slices

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(autouse=True)
def _matplotlib() -> None:
    pytest.importorskip("matplotlib")


def calls(agents: int, *, each: int = 3, slots: int = 2) -> list[Event]:
    """Agents that share few slots; some calls are pushed back, some fail, and tools are quick."""
    source = random.Random(agents)
    events: list[Event] = []
    free = [0.0] * slots
    for number in range(agents * each):
        slot = min(range(slots), key=free.__getitem__)
        start, end = free[slot], free[slot] + source.uniform(0.5, 1.5)
        free[slot] = end
        kind = source.choice(["llm", "llm", "tool", "somebody's"])
        base: dict[str, Any] = {
            "sid": number + 1, "pid": number % agents + 2, "agent": f"agent-{number % agents}", "kind": kind,
            "resource": kind,
        }  # fmt: skip
        events += [Event("submit", max(0.0, start - 2), **base), Event("grant", start, **base)]
        if number % 7 == 0:
            events += [Event("push_back", start + 0.1, **base), Event("resume", start + 0.3, **base)]
        events.append(Event("fail" if number % 11 == 0 else "finish", end, **base))
    return sorted(events, key=lambda event: event.time)


@pytest.mark.parametrize("agents", [1, 3, 40, 300])
def test_any_number_of_agents(agents: int, tmp_path: Path) -> None:
    """From one agent to hundreds the picture is drawn, and stays of a size that can be looked at."""
    path = timeline.plot(calls(agents), tmp_path / "deep" / "t.png")
    data = path.read_bytes()
    assert data.startswith(PNG)
    width, height = int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    assert width == 1650
    assert 300 < height < 2000


def test_sources(tmp_path: Path) -> None:
    """A trace file, its events and its slices give the same picture."""
    events = calls(3)
    with ChromeTrace(tmp_path / "t.json") as trace:
        for event in events:
            trace(event)
    sources: list[Any] = [tmp_path / "t.json", str(tmp_path / "t.json"), events, iter(events), slices(events)]
    pictures = {timeline.plot(one, tmp_path / f"{n}.png").read_bytes() for n, one in enumerate(sources)}
    assert len(pictures) == 1


def test_calls_at_once_are_side_by_side() -> None:
    """Calls of one agent that overlap get lanes; the parts of one call share one; a freed lane is used again."""
    found = slices(
        [
            Event("submit", 0.0, sid=1, pid=2), Event("grant", 1.0, sid=1, pid=2), Event("submit", 1.5, sid=2, pid=2),
            Event("finish", 2.0, sid=1, pid=2), Event("submit", 2.5, sid=3, pid=2), Event("cancel", 3.0, sid=2, pid=2),
            Event("cancel", 3.0, sid=3, pid=2),
        ]
    )  # fmt: skip
    (row,) = timeline._rows(found, {})
    assert {one.sid: lane for one, lane in row.placed} == {1: 0, 2: 1, 3: 0}
    assert row.lanes == 2


def test_a_run_is_paler_until_its_first_token() -> None:
    """The stretch before the first token is drawn in a paler tint; without one the run is of one colour."""
    events = [
        Event("submit", 0.0, sid=1, kind="llm"), Event("grant", 1.0, sid=1, kind="llm"),
        Event("first_token", 2.0, sid=1, kind="llm"), Event("finish", 4.0, sid=1, kind="llm"),
    ]  # fmt: skip
    wait, run = slices(events)
    assert timeline._parts(wait, 4.0) == [(timeline.WAITING, 0.0, 1.0)]
    assert timeline._parts(run, 4.0) == [("#7FB8D8", 1.0, 2.0), ("#0072B2", 2.0, 4.0)]
    (whole,) = [one for one in slices([*events[:2], events[3]]) if one.phase == "run"]
    assert timeline._parts(whole, 4.0) == [("#0072B2", 1.0, 4.0)]


def test_names_order_the_rows() -> None:
    """Names given by pid replace the agents' own and put them in that order."""
    rows = timeline._rows(slices(calls(3)), {4: "last first", 2: "then"})
    assert [row.name for row in rows] == ["last first", "then", "agent-1"]


def test_load_counts_what_runs_and_waits() -> None:
    """The lower panel's levels are the calls that run, by kind, and that wait."""
    events = [Event("submit", 0.0, sid=n, pid=n, kind="llm") for n in (1, 2)]
    events += [Event("grant", 1.0, sid=1, pid=1, kind="llm"), Event("finish", 2.0, sid=1, pid=1, kind="llm")]
    events += [Event("cancel", 3.0, sid=2, pid=2, kind="llm")]
    times, levels = timeline._load(slices(events))
    assert times == [0.0, 1.0, 2.0, 3.0]
    assert levels == {"": [2, 1, 1, 0], "llm": [0, 1, 0, 0]}


def test_without_matplotlib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without matplotlib the error says what to install, and the command line gives it as one line."""
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ConfigError, match="pip install matplotlib"):
        timeline.plot(calls(1), tmp_path / "t.png")
    with ChromeTrace(tmp_path / "t.json") as trace:
        trace(calls(1)[0])
    assert main(["trace", str(tmp_path / "t.json"), "--png", str(tmp_path / "t.png")]) == 2
