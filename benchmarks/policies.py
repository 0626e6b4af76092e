"""Waiting and turnaround of every scheduling policy on one recorded mixed workload, simulated on the real run queue.

    python benchmarks/policies.py [--json] [--plot FILE] [--seed N]

The recording is generated from a seed: interactive agents that come and go with short calls, long batch agents, bursts
of new agents, in groups and with priorities. Time is a mock clock's: a call takes SECONDS_PER_TOKEN x its tokens.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import random
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "kernel"))

from aios_kernel.abi import Agent, Usage  # noqa: E402
from aios_kernel.clock import MockClock  # noqa: E402
from aios_kernel.process import Process  # noqa: E402
from aios_kernel.scheduling import FixedLimiter, Outcome, RunQueue, Task  # noqa: E402
from aios_kernel.scheduling.registry import policy  # noqa: E402
from aios_kernel.serial import Serial  # noqa: E402

SECONDS_PER_TOKEN = 0.01
IN_FLIGHT = 4
SPECS = (
    "fifo",
    "fixed",
    "rr:quantum=256",
    "priority:interval=10",
    "wfq",
    "las",
    "las:aging=10",
    "groups",
    "groups:within=las",
    "groups:between=fixed,order=chat|burst|batch",
)


@dataclass(frozen=True)
class Program:
    """One recorded agent: when it starts, and its calls one after the other."""

    agent: Agent
    start: float
    #: Per call: tokens reserved, tokens used, seconds of the agent's own work before the next call.
    calls: tuple[tuple[int, int, float], ...]


@dataclass
class Report:
    """Seconds waited per call, and from the first submission to the last reply per agent, by kind of agent."""

    waits: dict[str, list[float]]
    turnarounds: dict[str, list[float]]
    finished: float


def recording(seed: int) -> list[Program]:
    """The workload: 40 interactive agents, 6 batch agents, 4 bursts of 20 agents, over about ten minutes."""
    rng = random.Random(seed)

    def calls(count: int, mean: float, think: float) -> tuple[tuple[int, int, float], ...]:
        used = [max(8, round(rng.lognormvariate(math.log(mean), 0.6))) for _ in range(count)]
        return tuple((round(u * rng.uniform(0.8, 2.0)), u, rng.expovariate(1 / think)) for u in used)

    def program(name: str, kind: str, start: float, priority: int, work: Any) -> Program:
        return Program(Agent(name=name, group=kind, priority=priority, weight=12.0 / priority), start, work)

    chat = [program(f"chat{n}", "chat", rng.uniform(0, 540), 2, calls(rng.randint(3, 8), 80, 8.0)) for n in range(40)]
    batch = [program(f"batch{n}", "batch", rng.uniform(0, 30), 8, calls(40, 900, 0.2)) for n in range(6)]
    burst = [
        program(f"burst{b}.{n}", "burst", 60 + 140 * b + rng.uniform(0, 2), 4, calls(2, 250, 1.0))
        for b in range(4)
        for n in range(20)
    ]
    return [*chat, *batch, *burst]


def simulate(spec: str, programs: list[Program], in_flight: int = IN_FLIGHT) -> Report:
    """Run the recording on a run queue under the policy; returns what everybody waited."""
    clock, seqs = MockClock(), itertools.count(1)
    queue = RunQueue("llm:recorded", policy(spec), serial=Serial(), clock=clock, limiter=FixedLimiter(in_flight))
    report = Report({}, {}, 0.0)

    def run(program: Program, process: Process, number: int) -> None:
        reserved, used, think = program.calls[number]
        kind = program.agent.group
        task = Task(next(seqs), process, kind="llm", estimate=float(reserved), arrived=clock.now())

        def granted() -> bool:
            report.waits.setdefault(kind, []).append(task.waited)
            clock.call_at(clock.now() + used * SECONDS_PER_TOKEN, done)
            return True

        def done() -> None:
            queue.release(task, Outcome(usage=Usage(output_tokens=used)))
            if number + 1 < len(program.calls):
                clock.call_at(clock.now() + think, lambda: run(program, process, number + 1))
            else:
                report.turnarounds.setdefault(kind, []).append(clock.now() - program.start)
                report.finished = clock.now()

        task.notify = granted
        queue.submit(task)

    for pid, program in enumerate(programs, 1):
        process = Process(pid, program.agent)
        clock.call_at(program.start, lambda p=program, q=process: run(p, q, 0))
    while (due := clock.next_timer()) is not None:
        clock.advance(due - clock.now())
    return report


def statistics(report: Report) -> dict[str, float]:
    """Mean and 90th percentile over all, and the mean wait by kind; seconds."""
    waits = sorted(itertools.chain(*report.waits.values()))
    turnarounds = sorted(itertools.chain(*report.turnarounds.values()))
    return {
        "wait_mean": _mean(waits),
        "wait_p90": _p90(waits),
        "turnaround_mean": _mean(turnarounds),
        "turnaround_p90": _p90(turnarounds),
        **{f"wait_{kind}": _mean(report.waits[kind]) for kind in ("chat", "burst", "batch")},
        "finished": report.finished,
    }


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _p90(values: list[float]) -> float:
    return values[math.ceil(0.9 * len(values)) - 1]


def table(rows: dict[str, dict[str, float]]) -> str:
    """The rows as a Markdown table."""
    heads = ["wait mean", "wait p90", "turnaround mean", "turnaround p90", "chat", "burst", "batch", "all done"]
    lines = ["| policy | " + " | ".join(heads) + " |", "|---|" + "---:|" * len(heads)]
    for spec, row in rows.items():
        name = spec.replace("|", "\\|")
        lines.append(f"| `{name}` | " + " | ".join(f"{value:.1f}" for value in row.values()) + " |")
    return "\n".join(lines)


def plot(rows: dict[str, dict[str, float]], file: str) -> None:
    """Draw mean and 90th percentile of waiting per policy; needs matplotlib."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(9, 4.5), layout="constrained")
    places = range(len(rows))
    for offset, key, label in ((-0.2, "wait_mean", "mean"), (0.2, "wait_p90", "90th percentile")):
        axes.barh([place + offset for place in places], [row[key] for row in rows.values()], 0.4, label=label)
    axes.set_yticks(list(places), list(rows))
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_xlabel("seconds waited per call")
    axes.legend()
    figure.savefig(file)


def main() -> None:
    """Simulate every policy and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--plot", metavar="FILE", help="draw the waiting times into an image")
    parser.add_argument("--seed", type=int, default=7, help="of the recording (default: 7)")
    options = parser.parse_args()
    programs = recording(options.seed)
    rows = {spec: statistics(simulate(spec, programs)) for spec in SPECS}
    if options.plot:
        plot(rows, options.plot)
    print(json.dumps(rows, indent=2) if options.json else table(rows))


if __name__ == "__main__":
    main()
