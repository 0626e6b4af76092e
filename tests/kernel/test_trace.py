"""Chrome traces: what the events become, that viewers accept it, and that it can be read back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from aios_kernel.abi import Agent, ChatCall, Usage
from aios_kernel.clock import MockClock
from aios_kernel.cores.scripted import ScriptedCore
from aios_kernel.errors import ConfigError, QueueFull
from aios_kernel.events import Event
from aios_kernel.kernel import Kernel
from aios_kernel.trace import ChromeTrace, read_trace, slices

LLM = "llm:test"


def event(name: Any, time: float, sid: int = 1, pid: int = 2, **details: Any) -> Event:
    return Event(
        name, time, sid=sid, pid=pid, agent=f"a{pid}", kind="llm", label="chat m", resource=LLM, details=details
    )


def one_call(sid: int = 1, pid: int = 2, start: float = 10.0) -> list[Event]:
    usage = Usage(input_tokens=7, output_tokens=3)
    return [
        event("submit", start, sid, pid),
        event("grant", start + 1, sid, pid, core="test", lease=False),
        event("first_token", start + 1.5, sid, pid),
        event("finish", start + 2, sid, pid, usage=usage),
    ]


def write(path: Path, events: list[Event], *, close: bool = True) -> list[dict[str, Any]]:
    trace = ChromeTrace(path)
    for one in events:
        trace(one)
    if close:
        trace.close()
    text = path.read_text()
    return json.loads(text if close else text + "]")


def check_format(records: list[dict[str, Any]]) -> None:
    """Hold the records against the Trace Event Format: required keys, microseconds in order, slices that nest."""
    last = 0
    depth: Counter[tuple[int, int]] = Counter()
    named: set[int] = set()
    for record in records:
        assert {"name", "ph", "ts", "pid", "tid"} <= set(record)
        assert isinstance(record["ts"], int) and isinstance(record["pid"], int) and isinstance(record["tid"], int)
        assert record["ph"] in "BEiCM"
        assert record["ts"] >= last
        last = record["ts"]
        where = (record["pid"], record["tid"])
        if record["ph"] == "M" and record["name"] == "process_name":
            named.add(record["pid"])
        elif record["ph"] == "B":
            depth[where] += 1
            assert depth[where] == 1, "slices of one thread follow one another"
            assert record["pid"] in named, "a process has its name before its first slice"
        elif record["ph"] == "E":
            depth[where] -= 1
            assert depth[where] == 0
        elif record["ph"] == "i":
            assert record["s"] in "tpg"
        elif record["ph"] == "C":
            assert all(value >= 0 for value in record["args"].values())
    assert not any(depth.values())


def test_one_call(tmp_path: Path) -> None:
    """A call becomes a slice of waiting, a slice of running with its usage, and an instant at the first token."""
    records = write(tmp_path / "t.json", one_call())
    check_format(records)
    drawn = [(r["ph"], r["name"], r["ts"]) for r in records if r["ph"] in "BEi"]
    assert drawn == [
        ("B", "wait", 0),
        ("E", "wait", 1_000_000),
        ("B", "chat m", 1_000_000),
        ("i", "first token", 1_500_000),
        ("E", "chat m", 2_000_000),
    ]
    assert records[-2]["args"] == {"outcome": "ok", "input_tokens": 7, "output_tokens": 3, "cached_tokens": 0}
    assert [one.first_token for one in read_trace(tmp_path / "t.json")] == [None, 1.5]
    names = {r["name"]: r["args"] for r in records if r["ph"] == "M"}
    assert names["process_name"]["name"] == "a2" and names["thread_name"]["name"] == LLM


def test_push_back_splits_a_call_into_attempts(tmp_path: Path) -> None:
    """A refused attempt ends its slice with the status, and the call waits again."""
    events = [
        event("submit", 0.0),
        event("grant", 1.0),
        event("push_back", 2.0, status=429, retry_after=3.0),
        event("resume", 5.0),
        event("finish", 6.0, usage=Usage(output_tokens=1)),
    ]
    check_format(write(tmp_path / "t.json", events))
    found = [(s.phase, s.start, s.end, s.outcome) for s in read_trace(tmp_path / "t.json")]
    assert found == [
        ("wait", 0.0, 1.0, "granted"),
        ("run", 1.0, 2.0, "pushed back"),
        ("wait", 2.0, 5.0, "granted"),
        ("run", 5.0, 6.0, "ok"),
    ]


@pytest.mark.parametrize(
    ("events", "phase", "outcome"),
    [
        ([event("submit", 0.0), event("cancel", 1.0)], "wait", "cancelled"),
        ([event("submit", 0.0), event("fail", 1.0, error=QueueFull("full"))], "wait", "failed"),
        ([event("submit", 0.0), event("grant", 0.5), event("fail", 1.0, error=OSError("secret"))], "run", "failed"),
        ([event("submit", 0.0), event("grant", 0.5)], "run", "unfinished"),
    ],
)
def test_other_ends(tmp_path: Path, events: list[Event], phase: str, outcome: str) -> None:
    """Cancellation, failure in the queue or while running, and a trace closed early: all end their slice and say how."""
    check_format(write(tmp_path / "t.json", events))
    last = read_trace(tmp_path / "t.json")[-1]
    assert (last.phase, last.outcome) == (phase, outcome)


def test_errors_of_others_are_named_but_not_quoted(tmp_path: Path) -> None:
    """A foreign error's message may hold a prompt and stays out; the kernel's own messages are written."""
    write(tmp_path / "t.json", [event("submit", 0.0), event("fail", 1.0, error=OSError("secret"))])
    assert read_trace(tmp_path / "t.json")[-1].error == "OSError"
    write(tmp_path / "t.json", [event("submit", 0.0), event("fail", 1.0, error=QueueFull("too many"))])
    assert read_trace(tmp_path / "t.json")[-1].error == "QueueFull: too many"


def test_content_only_if_the_event_has_it(tmp_path: Path) -> None:
    """Prompts are in the file exactly when the kernel was told to record content."""
    plain = write(tmp_path / "t.json", one_call())
    assert not any("content" in r.get("args", {}) for r in plain)
    told = Event("submit", 0.0, sid=1, pid=2, agent="a", content={"messages": ["hello"]})
    assert write(tmp_path / "u.json", [told])[-3]["args"]["content"] == {"messages": ["hello"]}


def test_overlapping_calls_get_threads_of_their_own(tmp_path: Path) -> None:
    """Calls that one agent makes at once are drawn side by side, and a freed thread is used again."""
    records = write(tmp_path / "t.json", _interleaved())
    check_format(records)
    threads = sorted(r["args"]["name"] for r in records if r["name"] == "thread_name")
    assert threads == [LLM, f"{LLM} (2)"]


def _interleaved() -> list[Event]:
    first, second, third = one_call(1), one_call(2), one_call(3, start=20.0)
    return [e for pair in zip(first, second, strict=True) for e in pair] + third


def test_a_refused_call_is_an_instant(tmp_path: Path) -> None:
    """A call that was refused before it was queued has no slice, only a mark."""
    records = write(tmp_path / "t.json", [event("deny", 0.0, sid=0), event("fail", 1.0, sid=9)])
    check_format(records)
    assert [r["name"] for r in records if r["ph"] == "i"] == ["denied", "failed"]


def test_late_and_repeated_events(tmp_path: Path) -> None:
    """A trace that starts in mid-call, an event delivered twice and a clock a hair behind keep the format."""
    events = [event("grant", 5.0), event("grant", 5.0), event("first_token", 4.9), event("finish", 6.0)]
    records = write(tmp_path / "t.json", [*events, events[-1]])
    check_format(records)
    assert [s.phase for s in read_trace(tmp_path / "t.json")] == ["run"]


def test_a_killed_program_leaves_a_loadable_file(tmp_path: Path) -> None:
    """After kill -9 every event so far is in the file, whole, and the open call is unfinished."""
    program = f"""
import os
from aios_kernel.trace import ChromeTrace
from aios_kernel.events import Event
trace = ChromeTrace({str(tmp_path / "t.json")!r})
trace(Event("submit", 0.0, sid=1, pid=2, agent="a"))
trace(Event("grant", 1.0, sid=1, pid=2, agent="a"))
os.kill(os.getpid(), 9)
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -9
    assert [(s.phase, s.outcome) for s in read_trace(tmp_path / "t.json")] == [
        ("wait", "granted"),
        ("run", "unfinished"),
    ]
    # What Perfetto does with an unclosed array: append the bracket.
    json.loads((tmp_path / "t.json").read_text() + "]")


def test_a_cut_line_is_left_out(tmp_path: Path) -> None:
    """A file cut in the middle of a line (a full disk) is read up to there."""
    path = tmp_path / "t.json"
    write(path, one_call())
    os.truncate(path, path.stat().st_size - 60)
    assert [s.phase for s in read_trace(path)] == ["wait", "run"]


def test_what_is_no_trace(tmp_path: Path) -> None:
    """Another file is refused with a sentence; the object form of other tools is read."""
    (tmp_path / "t.json").write_text("hello")
    with pytest.raises(ConfigError, match="not a Chrome trace"):
        read_trace(tmp_path / "t.json")
    records = write(tmp_path / "u.json", one_call())
    (tmp_path / "v.json").write_text(json.dumps({"traceEvents": records}))
    assert read_trace(tmp_path / "v.json") == read_trace(tmp_path / "u.json")


def test_close_is_idempotent_and_final(tmp_path: Path) -> None:
    """Closing twice does no harm, and events after it are ignored."""
    with ChromeTrace(tmp_path / "t.json") as trace:
        trace(event("submit", 0.0))
    trace.close()
    trace(event("submit", 1.0, sid=2))
    assert len(read_trace(tmp_path / "t.json")) == 1


def test_a_kernel_traced(tmp_path: Path) -> None:
    """Subscribed to a real kernel, the trace tells agents, frameworks, waiting and tokens apart."""
    clock = MockClock()
    kernel = Kernel(llm=ScriptedCore(["one two three", "four"]), clock=clock)
    seen: list[Event] = []
    trace = ChromeTrace(tmp_path / "t.json")
    kernel.bus.subscribe(trace)
    kernel.bus.subscribe(seen.append)
    for name in ("ada", "bob"):
        agent = Agent(name=name, framework="plain", group="team")
        with kernel.syscall(ChatCall(agent=agent, model="m", messages=[{"role": "user", "content": "hi"}])) as grant:
            grant.reply()
        clock.advance(1.0)
    kernel.close()
    trace.close()
    check_format(json.loads((tmp_path / "t.json").read_text()))
    found = read_trace(tmp_path / "t.json")
    assert [(s.agent, s.framework) for s in found if s.phase == "run"] == [("ada", "plain"), ("bob", "plain")]
    assert found[1].usage.output_tokens == 3 and found[1].group == "team"
    assert slices(seen) == found
