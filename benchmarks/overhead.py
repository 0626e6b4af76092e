"""What the kernel costs: import, CPU per syscall, time against the bare SDK, memory and CPU per waiting agent.

    python benchmarks/overhead.py [--json FILE|-] [--repeats N] [--quick]

CPU figures are process CPU time, so that a busy machine disturbs them little; times against the bare SDK are ratios of
runs taken in turn. `--quick` makes fewer calls.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import _common as common

common.use_checkout()

HEAVY = ("torch", "numpy", "openai", "langchain_core", "autogen", "autogen_core", "llama_index", "httpx", "asyncio")
IMPORT = f"""
import json, sys, time
begin = time.process_time()
import aios_adapters
cost = time.process_time() - begin
print(json.dumps([cost, [name for name in {HEAVY!r} if name in sys.modules]]))
"""
LATENCY = 0.05


def main() -> int:
    """Measure, print with the goals, and say whether they are met."""
    args = _arguments()
    result: dict[str, Any] = {"machine": common.machine()}
    checks: list[tuple[str, str, str, bool]] = []
    for measure in (_import_cost, _gate_cost, _waiting_cost, _against_sdk):
        found = measure(args)
        result[measure.__name__.strip("_")] = found["figures"]
        checks += found["checks"]
    result["machine"]["load_average_after"] = common.machine()["load_average"]
    common.table(["what", "measured", "goal", "met"], [[*check[:3], "yes" if check[3] else "NO"] for check in checks])
    print(f"load average {result['machine']['load_average_after']} on {os.cpu_count()} CPUs")
    common.write_json(args.json, result)
    return 0 if all(check[3] for check in checks) else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", help="write the result to a file, - for standard output")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="fewer calls")
    return parser.parse_args()


# Import ------------------------------------------------------------------------------------------------------------


def _import_cost(args: argparse.Namespace) -> dict[str, Any]:
    costs, heavy = [], set()
    for _ in range(max(5, args.repeats)):
        command = [sys.executable, "-c", IMPORT]
        out = subprocess.run(command, env=common.environment(), capture_output=True, text=True, check=True)
        cost, found = json.loads(out.stdout)
        costs.append(1000 * cost)
        heavy |= set(found)
    cost = statistics.median(costs[1:])  # the first one may compile
    return {
        "figures": {"cpu_ms": costs, "heavy_modules": sorted(heavy)},
        "checks": [
            ("import aios_adapters, CPU ms", f"{cost:.1f}", "<= 50", cost <= 50),
            ("heavy modules it loads", ", ".join(sorted(heavy)) or "none", "none", not heavy),
        ],
    }


# The gate ----------------------------------------------------------------------------------------------------------


def _gate_cost(args: argparse.Namespace) -> dict[str, Any]:
    count = 3000 if args.quick else 20_000
    sync = [_cpu(lambda: _sync_calls(count)) / count * 1e6 for _ in range(args.repeats)]
    asynchronous = [_cpu(lambda: asyncio.run(_async_calls(count))) / count * 1e6 for _ in range(args.repeats)]
    return {
        "figures": {"sync_us": sync, "async_us": asynchronous},
        "checks": [
            (f"{kind} syscall, empty lease, CPU us", f"{min(costs):.1f}", "<= 100", min(costs) <= 100)
            for kind, costs in (("sync", sync), ("async", asynchronous))
        ],
    }


def _cpu(function: Callable[[], object]) -> float:
    begin = time.process_time()
    function()
    return time.process_time() - begin


def _call() -> Any:
    from aios_kernel import ChatCall

    return ChatCall(model="m", endpoint="http://host/v1", messages=({"role": "user", "content": "hello"},))


def _sync_calls(count: int) -> None:
    from aios_kernel import Kernel, Usage

    kernel, call, usage = Kernel(), _call(), Usage(input_tokens=1, output_tokens=1)
    for _ in range(count):
        with kernel.syscall(call) as grant:
            grant.report(usage)
    kernel.close()


async def _async_calls(count: int) -> None:
    from aios_kernel import Kernel, Usage

    kernel, call, usage = Kernel(), _call(), Usage(input_tokens=1, output_tokens=1)
    for _ in range(count):
        async with kernel.syscall(call) as grant:
            grant.report(usage)
    kernel.close()


# Many that wait ----------------------------------------------------------------------------------------------------


def _waiting_cost(args: argparse.Namespace) -> dict[str, Any]:
    few, many = 100, 2000 if args.quick else 10_000
    memory, grant_many = asyncio.run(_wait_and_drain(many))
    grant_few = min(asyncio.run(_wait_and_drain(few))[1] for _ in range(5 * args.repeats))
    ratio = grant_many / grant_few
    return {
        "figures": {
            "agents": many,
            "bytes_per_agent": memory,
            "grant_us_at_100": grant_few * 1e6,
            "grant_us": grant_many * 1e6,
        },
        "checks": [
            (f"{many} waiting agents, kB each", f"{memory / 1000:.1f}", "<= 20", memory <= 20_000),
            (
                f"CPU us per grant at {few} and {many} waiting",
                f"{1e6 * grant_few:.1f}, {1e6 * grant_many:.1f}",
                "<= 2 x",
                ratio <= 2,
            ),
        ],
    }


async def _wait_and_drain(agents: int) -> tuple[float, float]:
    """Bytes per waiting agent (its task and its syscall), and CPU seconds per grant when they are let go."""
    from aios_kernel import Agent, ChatCall, Kernel

    kernel = Kernel(limits={"llm:*": {"in_flight": 1}})
    messages = ({"role": "user", "content": "hello"},)

    async def agent(number: int) -> None:
        call = ChatCall(agent=Agent(name=f"a{number}"), model="m", endpoint="e", messages=messages)
        async with kernel.syscall(call):
            pass

    # In a task of its own: calls made inside an open call could borrow its place, and would not wait.
    held, done = asyncio.Event(), asyncio.Event()

    async def holder() -> None:
        async with kernel.syscall(ChatCall(model="m", endpoint="e", messages=messages)):
            held.set()
            await done.wait()

    holding = asyncio.create_task(holder())
    await held.wait()
    gc.collect()
    before = _resident()
    tasks = [asyncio.create_task(agent(number)) for number in range(agents)]
    while sum(row["waiting"] for row in kernel.status().resources) < agents:  # noqa: ASYNC110
        await asyncio.sleep(0)  # each round lets every task go one step
    gc.collect()
    memory = (_resident() - before) / agents
    begin = time.process_time()
    done.set()
    await asyncio.gather(holding, *tasks)
    cost = (time.process_time() - begin) / agents
    kernel.close()
    return memory, cost


def _resident() -> int:
    """Bytes of this process in memory; where the system does not tell, its highest so far."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


# Against the bare SDK ----------------------------------------------------------------------------------------------


def _against_sdk(args: argparse.Namespace) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    checks: list[tuple[str, str, str, bool]] = []
    for capacity in (16, 1):
        agents, calls = (50, 1) if args.quick and capacity == 1 else (100, 3) if args.quick else (250, 3)
        totals: dict[str, list[float]] = {"bare": [], "kernel": []}
        for _, arm in common.interleaved(list(totals), args.repeats):
            totals[arm].append(_run(capacity, agents, calls, kernel=arm == "kernel"))
        ratios = [ours / bare for ours, bare in zip(totals["kernel"], totals["bare"], strict=True)]
        figures[f"capacity {capacity}"] = {"agents": agents, "calls": calls, **totals}
        middle = statistics.median(ratios)
        what = f"{agents} agents x {calls} calls, capacity {capacity}: time x bare SDK"
        checks.append((what, common.with_interval(ratios, 3), "<= 1.05", middle <= 1.05))
    return {"figures": figures, "checks": checks}


def _run(capacity: int, agents: int, calls: int, *, kernel: bool) -> float:
    import aios_adapters

    with common.endpoint("--latency", str(LATENCY), "--capacity", str(capacity)) as url:
        if kernel:
            aios_adapters.enable(only=["openai"])
        try:
            return asyncio.run(_agents(url, agents, calls))
        finally:
            aios_adapters.disable()


async def _agents(url: str, agents: int, calls: int) -> float:
    import openai

    async with openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0, timeout=600) as client:

        async def agent(number: int) -> None:
            for call in range(calls):
                content = f"agent {number} asks for step {call}"
                await client.chat.completions.create(model="sim", messages=[{"role": "user", "content": content}])

        begin = time.perf_counter()
        await asyncio.gather(*map(agent, range(agents)))
        return time.perf_counter() - begin


if __name__ == "__main__":
    sys.exit(main())
