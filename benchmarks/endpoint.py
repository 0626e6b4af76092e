"""Many agents on a small endpoint: failed calls, total time and turnaround, with and without the kernel.

    python benchmarks/endpoint.py [--json FILE|-] [--repeats N] [--agents N] [--only capacity|rates]

`capacity`: an endpoint that serves 16 at once and refuses the rest with 429, with and without Retry-After. The peer is
the same endpoint queueing by itself, bare SDK; ratios are against the peer of the same repeat. An endpoint that asks
for a wait after the first burst cannot be done before that wait is over: `floor` adds it to the peer.
`rates`: an endpoint with requests and tokens per window (seconds instead of a minute). The floor is arithmetic: what
exceeds the first allowance takes its time.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import _common as common

common.use_checkout()

CALLS, CAPACITY, LATENCY = 3, 16, 0.05
RPM, TPM, WINDOW = 200, 8000, 3.0
MAX_TOKENS = 16


@dataclass
class Arm:
    """One way to make the calls, and the endpoint it makes them on."""

    endpoint: list[str]
    retries: int = 2
    kernel: bool = False
    limits: dict[str, float] = field(default_factory=dict)
    floor: float = 0.0


@dataclass
class Run:
    """What one run of one arm gave."""

    failed: int
    total: float
    turnaround: list[float]


def main() -> int:
    """Measure, print, and say whether the goals are met."""
    args = _arguments()
    common_options = ["--latency", str(LATENCY), "--reply-tokens", "16"]
    worst = 0
    result: dict[str, Any] = {"machine": common.machine(), "agents": args.agents, "calls": CALLS, "scenarios": {}}
    for name, arms in _scenarios(args, common_options).items():
        if args.only not in (None, name.partition(" ")[0]):
            continue
        runs = _measure(arms, args.agents, args.repeats)
        _report(name, arms, runs)
        worst += sum(run.failed for arm, done in runs.items() if arms[arm].kernel for run in done)
        result["scenarios"][name] = {arm: [_row(run) for run in done] for arm, done in runs.items()}
    result["machine"]["load_average_after"] = common.machine()["load_average"]
    common.write_json(args.json, result)
    print(f"\nfailed calls with the kernel: {worst} (goal 0); load average {result['machine']['load_average_after']}")
    return 1 if worst else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", help="write the result to a file, - for standard output")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--agents", type=int, default=250)
    parser.add_argument("--only", choices=["capacity", "rates"])
    parser.add_argument("--retry-after", type=float, default=1.0, help="seconds the endpoint asks for, where it does")
    return parser.parse_args()


def _scenarios(args: argparse.Namespace, options: list[str]) -> dict[str, dict[str, Arm]]:
    small = [*options, "--capacity", str(CAPACITY)]
    reject = [*small, "--mode", "reject"]
    asks = [*reject, "--retry-after", str(args.retry_after)]
    rates = [*options, "--rpm", str(RPM), "--tpm", str(TPM), "--window", str(WINDOW)]
    told = {"rpm": RPM, "tpm": TPM, "window": WINDOW}
    return {
        "capacity 16": _arms(small, reject, {"in_flight": CAPACITY}),
        f"capacity 16, Retry-After {args.retry_after:g}": _arms(
            small, asks, {"in_flight": CAPACITY}, wait=args.retry_after
        ),
        f"rates {RPM} requests, {TPM} tokens per {WINDOW:g} s": _arms(None, rates, told, _ideal(args.agents * CALLS)),
        f"rates, Retry-After {args.retry_after:g}": _arms(
            None, [*rates, "--retry-after", str(args.retry_after)], told, _ideal(args.agents * CALLS)
        ),
    }


def _arms(
    queueing: list[str] | None, refusing: list[str], told: dict[str, float], floor: float = 0.0, wait: float = 0.0
) -> dict[str, Arm]:
    peer = {} if queueing is None else {"peer: queueing, bare": Arm(queueing)}
    return {
        **peer,
        "bare, 2 retries": Arm(refusing, 2, floor=floor + wait),
        "bare, 10 retries": Arm(refusing, 10, floor=floor + wait),
        "enable()": Arm(refusing, kernel=True, floor=floor + wait),
        "enable(limits)": Arm(refusing, kernel=True, limits=told, floor=floor),
    }


def _ideal(calls: int) -> float:
    """Seconds the rates allow at best: the first allowance at once, the rest as it refills."""
    tokens = 16 + MAX_TOKENS  # a prompt and a reply, roughly
    return max(0.0, (calls - RPM) / RPM, (calls * tokens - TPM) / TPM) * WINDOW


def _measure(arms: dict[str, Arm], agents: int, repeats: int) -> dict[str, list[Run]]:
    runs: dict[str, list[Run]] = {arm: [] for arm in arms}
    for repeat, arm in common.interleaved(list(arms), repeats):
        runs[arm].append(_run(arms[arm], agents))
        print(f"  {repeat + 1}/{repeats} {arm}: {runs[arm][-1].total:.2f} s", file=sys.stderr)
    return runs


def _run(arm: Arm, agents: int) -> Run:
    import aios_adapters

    with common.endpoint(*arm.endpoint) as url:
        if arm.kernel:
            aios_adapters.enable(only=["openai"], limits={"llm:*": arm.limits} if arm.limits else {})
        try:
            return asyncio.run(_agents(url, arm.retries, agents))
        finally:
            aios_adapters.disable()


async def _agents(url: str, retries: int, agents: int) -> Run:
    import openai

    run = Run(0, 0.0, [])
    async with openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=retries) as client:

        async def agent(name: int) -> None:
            for call in range(CALLS):
                begin = time.perf_counter()
                try:
                    await client.chat.completions.create(
                        model="sim",
                        messages=[{"role": "user", "content": f"agent {name} asks for step {call} of its plan"}],
                        max_tokens=MAX_TOKENS,
                    )
                except openai.APIStatusError:
                    run.failed += 1
                run.turnaround.append(time.perf_counter() - begin)

        begin = time.perf_counter()
        await asyncio.gather(*map(agent, range(agents)))
        run.total = time.perf_counter() - begin
    return run


def _report(name: str, arms: dict[str, Arm], runs: dict[str, list[Run]]) -> None:
    print(f"\n{name}")
    rows: list[list[Any]] = []
    for arm, done in runs.items():
        peers = [run.total for run in next(iter(runs.values()))] if arms[next(iter(arms))].floor == 0 else None
        floor = arms[arm].floor
        ratios = [run.total / peers[n] for n, run in enumerate(done)] if peers else []
        floors = [run.total / ((peers[n] if peers else 0.0) + floor) for n, run in enumerate(done)]
        rows.append(
            [
                arm,
                sum(run.failed for run in done),
                common.with_interval([run.total for run in done]),
                common.with_interval(ratios) if ratios else "-",
                common.with_interval(floors) if floor or peers else "-",
                f"{statistics.mean(statistics.mean(run.turnaround) for run in done):.2f}",
                f"{statistics.mean(common.p90(run.turnaround) for run in done):.2f}",
            ]
        )
    headings = ["arm", "failed", "total s", "x peer", "x floor", "turnaround s: mean", "p90"]
    common.table(headings, rows)


def _row(run: Run) -> dict[str, Any]:
    row = asdict(run)
    turnaround = row.pop("turnaround")
    return {**row, "mean_turnaround": statistics.mean(turnaround), "p90_turnaround": common.p90(turnaround)}


if __name__ == "__main__":
    sys.exit(main())
