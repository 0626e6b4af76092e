"""What the journal costs, and how fast it gives back: functions for the benchmarks."""

from __future__ import annotations

import statistics
import tempfile
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import _common as common
import _kills

common.use_checkout()

from aios_kernel.abi import Agent, ChatCall, Reply  # noqa: E402
from aios_kernel.cores.scripted import ScriptedCore  # noqa: E402
from aios_kernel.journal import Journal, Journaled, Record  # noqa: E402
from aios_kernel.kernel import Kernel  # noqa: E402


def cost_per_call(calls_: int = 500) -> dict[str, float]:
    """Microseconds of one served call bare, recorded and replayed; the core answers at once. Calls come one after another."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal"
        arms = {"bare_us": None, "recorded_us": "record", "replayed_us": "strict"}
        row: dict[str, float] = {"calls": calls_}
        for arm, mode in arms.items():
            kernel: Any = Kernel(llm={"served": ScriptedCore(lambda _: "word " * 20)})
            gate = kernel if mode is None else Journaled(kernel, Journal(path, mode))
            row[arm] = statistics.median(_ask(gate, "a", turn) for turn in range(calls_))
            gate.close()
        row["bytes_per_call"] = _kills.size_of(Path(folder)) / calls_
    return {name: round(value, 1) for name, value in row.items()}


def recorded_together(agents: int, *, seconds: float = 3.0) -> dict[str, float]:
    """Calls recorded per second by so many agents at once, which share the disk's syncs."""
    with tempfile.TemporaryDirectory() as folder:
        kernel = Kernel(llm={"served": ScriptedCore(lambda _: "word " * 20)})
        gate = Journaled(kernel, Journal(Path(folder) / "journal"))
        waited: list[float] = []
        end = time.monotonic() + seconds

        def work(number: int) -> None:
            turn = 0
            while time.monotonic() < end:
                waited.append(_ask(gate, f"a{number}", turn := turn + 1))

        begin = time.monotonic()
        _threads(agents, work)
        took = time.monotonic() - begin
        gate.close()
    return {
        "agents": agents,
        "calls_per_second": round(len(waited) / took, 1),
        "p90_ms": round(common.p90(waited) / 1000, 2),
    }


def replay_speed(records: int) -> dict[str, float]:
    """Calls answered per second by a journal that holds so many."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal"
        fill(path, records)
        begin = time.monotonic()
        gate = Journaled(Kernel(llm={"served": ScriptedCore(lambda _: "not asked")}), Journal(path, "strict"))
        opened = time.monotonic() - begin
        begin = time.monotonic()
        for turn in range(records):
            _ask(gate, "a", turn)
        took = time.monotonic() - begin
        gate.close()
    return {"records": records, "opening_s": round(opened, 4), "calls_per_second": round(records / took, 1)}


def fill(path: Path, records: int) -> None:
    """Have a journal hold the answers to so many calls of one agent."""
    with closing(Journal(path)) as journal:
        asked = (journal.look(call_of("a", turn), Agent(name="a")) for turn in range(records))
        tickets = [journal.write(one, answer()) for one in asked]
        for ticket in tickets:
            if ticket is not None:
                ticket.wait()


def answer() -> Record:
    """What is recorded for a call."""
    return Record(reply=Reply(text="word " * 20))


def call_of(agent: str, turn: int) -> ChatCall:
    """One of an agent's calls."""
    messages = [{"role": "user", "content": f"{turn} a prompt of ordinary length " * 10}]
    return ChatCall(agent=Agent(name=agent), model="served", messages=messages)


def _ask(gate: Any, agent: str, turn: int) -> float:
    """Microseconds until the answer."""
    call = call_of(agent, turn)
    begin = time.perf_counter()
    with gate.syscall(call) as grant:
        grant.reply()
    return 1e6 * (time.perf_counter() - begin)


def _threads(count: int, work: Any) -> None:
    threads = [threading.Thread(target=work, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
