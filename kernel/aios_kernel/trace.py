"""Chrome traces: write the bus's events as a file that Perfetto opens, and read such a file back as slices.

An agent is a process, a resource a thread of it (several where one agent has several calls there at a time), a call one
slice of waiting and one of running per attempt. Format: the JSON array form of the Trace Event Format.
"""

from __future__ import annotations

import itertools
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from aios_kernel.abi import Usage
from aios_kernel.errors import AiosError, ConfigError
from aios_kernel.secrets import redact_data
from aios_kernel.serial import Serial

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping

    from typing_extensions import Self

    from aios_kernel.events import Event

__all__ = ["ChromeTrace", "Slice", "read_trace", "slices"]

Record = dict[str, Any]
KERNEL_PID = 1_000_000  # what belongs to no agent; pid 0 is the idle process to trace viewers
MICROSECONDS = 1e6
OUTCOMES: Mapping[str, str] = {"finish": "ok", "fail": "failed", "cancel": "cancelled", "deny": "denied"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """One stretch of a call: waiting for its turn, or running.

    Times are seconds from the first event. `lane` tells calls of one agent and resource apart that overlap. `outcome`
    is "granted" for a wait that led to a run; else "ok", "failed", "cancelled", "denied", "pushed back", "unfinished".
    """

    phase: Literal["wait", "run"]
    start: float
    end: float
    pid: int
    agent: str
    framework: str = ""
    group: str = ""
    kind: str = ""
    label: str = ""
    resource: str = ""
    lane: int = 0
    sid: int = 0
    outcome: str = ""
    error: str = ""
    usage: Usage = field(default_factory=Usage)
    first_token: float | None = None

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.end - self.start


class ChromeTrace:
    """Subscribe to a bus and write each event at once; `close()` ends the file, which may be read before that.

    A crashed program leaves a file without its closing bracket: Perfetto and `read_trace` open it all the same.
    Any thread may call and close; prompts and replies are written only where the events carry them.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self.path.open("w", encoding="utf-8")
        self._recorder = _Recorder()
        self._serial = Serial()
        self._file.write("[\n")
        self._file.flush()
        self._first = True

    def __call__(self, event: Event) -> None:
        """Write one event."""
        self._serial.post(self._write, event)

    def close(self) -> None:
        """End open slices and the file; idempotent, and later events are ignored."""
        self._serial.post(self._close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _write(self, event: Event) -> None:
        if not self._file.closed:
            self._append(self._recorder.records(event))

    def _close(self) -> None:
        if not self._file.closed:
            self._append(self._recorder.unfinished())
            self._file.write("\n]\n")
            self._file.close()

    def _append(self, records: Iterable[Record]) -> None:
        lines = [json.dumps(redact_data(record), separators=(",", ":"), default=str) for record in records]
        if lines:
            self._file.write(("" if self._first else ",\n") + ",\n".join(lines))
            self._file.flush()  # a killed process loses nothing, a forked one inherits no half line
            self._first = False


def read_trace(path: str | os.PathLike[str]) -> list[Slice]:
    """Return the slices of a trace file, also of one that a crash left unfinished; ConfigError if it is none."""
    return _pair(_load(Path(path)))


def slices(events: Iterable[Event]) -> list[Slice]:
    """Return the slices of a list of events."""
    recorder = _Recorder()
    return _pair([record for event in events for record in recorder.records(event)])


# Writing: events to records ------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Call:
    """An open call: where it is drawn, and the slice that is open."""

    pid: int
    resource: str
    lane: int
    tid: int
    name: str
    kind: str
    running: bool = False


class _Recorder:
    """Turn events into trace records; keeps the open calls. An event that was already seen changes nothing."""

    def __init__(self) -> None:
        self._start: float | None = None
        self._now = 0
        self._calls: dict[int, _Call] = {}
        self._agents: set[int] = set()
        self._tids: dict[tuple[int, str, int], int] = {}
        # Viewers take the thread whose tid is its process's pid for the main thread: keep the two ranges apart.
        self._next_tid = itertools.count(10_000_001)
        self._load: dict[str, dict[str, int]] = {}

    def records(self, event: Event) -> list[Record]:
        """Return what the event adds to the trace."""
        self._advance(event.time)
        found = self._introduce(event)
        if event.name == "submit":
            found += self._submit(event)
        elif event.name in ("grant", "resume"):
            found += self._run(event)
        elif event.name == "push_back":
            found += self._push_back(event)
        elif event.name in OUTCOMES:
            found += self._end(event)
        elif event.name != "spawn":
            found.append(self._instant(event))
        return found

    def unfinished(self) -> list[Record]:
        """Return what ends the open slices."""
        return [self._record("E", call, {"outcome": "unfinished"}) for call in self._calls.values()]

    def _advance(self, time: float) -> None:
        if self._start is None:
            self._start = time
        # Threads may deliver two events a hair out of order; a trace's clock never runs backwards.
        self._now = max(self._now, round((time - self._start) * MICROSECONDS))

    def _introduce(self, event: Event) -> list[Record]:
        if event.pid in self._agents:
            return []
        self._agents.add(event.pid)
        pid = event.pid or KERNEL_PID
        about = {key: value for key in ("framework", "group") if (value := event.details.get(key))}
        name = event.agent or ("kernel" if not event.pid else f"agent {event.pid}")
        found = [
            self._meta("process_name", pid, {"name": name, **about}),
            self._meta("process_sort_index", pid, {"sort_index": event.pid}),
        ]
        labels = ", ".join(about.values())
        return [*found, self._meta("process_labels", pid, {"labels": labels})] if labels else found

    def _submit(self, event: Event) -> list[Record]:
        if event.sid in self._calls:
            return []
        call, found = self._open(event)
        return [*found, self._begin(call, "wait", event), self._count(call, waiting=1)]

    def _run(self, event: Event) -> list[Record]:
        found: list[Record] = []
        call = self._calls.get(event.sid)
        if call is not None and call.running:
            return []
        if call is None:
            call, found = self._open(event)
        else:
            found = [self._record("E", call, {"outcome": "granted"})]
            self._count(call, waiting=-1)
        call.running, call.name = True, event.label or event.kind or "call"
        return [*found, self._begin(call, event.kind or "call", event), self._count(call, running=1)]

    def _push_back(self, event: Event) -> list[Record]:
        call = self._calls.get(event.sid)
        if call is None or not call.running:
            return []
        ended = self._record("E", call, {"outcome": "pushed back", **_details(event)})
        self._count(call, running=-1)
        call.running, call.name = False, "wait"
        return [ended, self._begin(call, "wait", event), self._count(call, waiting=1)]

    def _end(self, event: Event) -> list[Record]:
        call = self._calls.pop(event.sid, None)
        if call is None:  # refused before it was queued
            return [self._instant(event)]
        args = {"outcome": OUTCOMES[event.name], **_details(event)}
        change = {"running": -1} if call.running else {"waiting": -1}
        return [self._record("E", call, args), self._count(call, **change)]

    def _open(self, event: Event) -> tuple[_Call, list[Record]]:
        pid, resource = event.pid or KERNEL_PID, event.resource or event.kind or "call"
        taken = {call.lane for call in self._calls.values() if (call.pid, call.resource) == (pid, resource)}
        lane = next(number for number in itertools.count() if number not in taken)
        key = (pid, resource, lane)
        found: list[Record] = []
        if key not in self._tids:
            self._tids[key] = next(self._next_tid)
            name = f"{resource} ({lane + 1})" if lane else resource
            found.append(self._meta("thread_name", pid, {"name": name}, self._tids[key]))
        call = _Call(pid, resource, lane, self._tids[key], "wait", event.kind)
        self._calls[event.sid] = call
        return call, found

    def _begin(self, call: _Call, category: str, event: Event) -> Record:
        args = {"sid": event.sid, "kind": call.kind, "call": event.label, "resource": call.resource, "lane": call.lane}
        more = {} if event.name == "push_back" else _details(event)
        return self._record("B", call, {**args, **more}) | {"cat": category}

    def _record(self, phase: str, call: _Call, args: Mapping[str, Any]) -> Record:
        return {"name": call.name, "ph": phase, "ts": self._now, "pid": call.pid, "tid": call.tid, "args": dict(args)}

    def _instant(self, event: Event) -> Record:
        call = self._calls.get(event.sid)
        pid = event.pid or KERNEL_PID
        name = OUTCOMES.get(event.name, event.name.replace("_", " "))
        args = {"sid": event.sid, "kind": event.kind, "call": event.label, "resource": event.resource}
        where = {"pid": pid, "tid": call.tid if call else 0, "s": "t" if call else "p"}
        return {"name": name, "ph": "i", "ts": self._now, **where, "args": args | _details(event)}

    def _meta(self, name: str, pid: int, args: Mapping[str, Any], tid: int = 0) -> Record:
        return {"name": name, "ph": "M", "ts": self._now, "pid": pid, "tid": tid, "args": dict(args)}

    def _count(self, call: _Call, *, waiting: int = 0, running: int = 0) -> Record:
        """Draw how many calls of a resource wait and run, beside the agents."""
        load = self._load.setdefault(call.resource, {"waiting": 0, "running": 0})
        load["waiting"] += waiting
        load["running"] += running
        return {
            "name": call.resource,
            "ph": "C",
            "ts": self._now,
            "pid": KERNEL_PID,
            "tid": 0,
            "args": dict(load),
        }


def _details(event: Event) -> Record:
    """What the event says beside its name, flat; content only when the event has it."""
    args: Record = {}
    for key, value in event.details.items():
        if isinstance(value, Usage):
            args |= asdict(value)
        elif isinstance(value, BaseException):
            # The message of somebody else's error may quote a prompt; the kernel's own do not.
            args[key] = f"{type(value).__name__}: {value}" if isinstance(value, AiosError) else type(value).__name__
        elif value is not None:
            args[key] = value
    if event.content is not None:
        args["content"] = event.content
    return args


# Reading: records to slices ------------------------------------------------------------------------------------------


def _load(path: Path) -> list[Record]:
    text = path.read_text(encoding="utf-8").strip()
    try:
        found: Any = json.loads(text)
    except ValueError:
        found = _salvage(text)
    if isinstance(found, dict):  # the object form, as other tools write it
        found = cast("Record", found).get("traceEvents")
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in cast("list[Any]", found)):
        raise ConfigError(f"{path} is not a Chrome trace: expected a JSON array of events")
    return cast("list[Record]", found)


def _salvage(text: str) -> list[Record] | None:
    """Read line by line what a crash left of an array."""
    if not text.startswith("["):
        return None
    found: list[Record] = []
    for line in text[1:].strip().splitlines():
        try:
            found.append(json.loads(line.strip().rstrip(",")))
        except ValueError:
            break
    return found


def _pair(records: Iterable[Record]) -> list[Slice]:
    agents: dict[int, Mapping[str, str]] = {}
    open_slices: dict[tuple[int, int], Record] = {}
    found: list[Slice] = []
    last = 0
    for record in records:
        phase, where = record.get("ph"), (record.get("pid", 0), record.get("tid", 0))
        last = max(last, record.get("ts", 0))
        if phase == "M" and record.get("name") == "process_name":
            agents[where[0]] = record["args"]
        elif phase == "B":
            open_slices[where] = record
        elif phase == "i" and record.get("name") == "first token" and where in open_slices:
            open_slices[where] = open_slices[where] | {"first": record["ts"] / MICROSECONDS}
        elif phase == "E" and where in open_slices:
            found.append(_slice(agents, open_slices.pop(where), record["ts"], record.get("args", {})))
    found += [_slice(agents, begin, last, {"outcome": "unfinished"}) for begin in open_slices.values()]
    return sorted(found, key=lambda one: (one.start, one.sid))


def _slice(agents: Mapping[int, Mapping[str, str]], begin: Record, end: int, args: Mapping[str, Any]) -> Slice:
    said: Mapping[str, Any] = begin.get("args", {})
    agent = agents.get(begin["pid"], {})
    tokens = {key: int(args.get(key, 0)) for key in ("input_tokens", "output_tokens", "cached_tokens")}
    return Slice(
        phase="wait" if begin.get("cat") == "wait" else "run",
        start=begin["ts"] / MICROSECONDS,
        end=end / MICROSECONDS,
        pid=begin["pid"],
        agent=agent.get("name", f"agent {begin['pid']}"),
        framework=agent.get("framework", ""),
        group=agent.get("group", ""),
        kind=said.get("kind") or begin.get("cat", ""),
        label=said.get("call") or begin.get("name", ""),
        resource=said.get("resource", ""),
        lane=said.get("lane", 0),
        sid=said.get("sid", 0),
        outcome=args.get("outcome", ""),
        error=args.get("error", ""),
        usage=Usage(**tokens),
        first_token=begin.get("first"),
    )
