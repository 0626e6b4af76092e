"""Five frameworks share one kernel: MetaGPT, Open Interpreter, AutoGen 0.2, AutoGen 0.7 and LangGraph, one model, fair shares.

    python benchmarks/shared.py [--policy wfq] [--slots 2] [--llm CORE] [--png FILE] [--trace FILE] [--json]

Each framework's program is one of examples/, unchanged, in an environment and a process of its own (`python -m tests.envs
build`); the model is the embedded one, in the daemon, for two calls at a time. A framework takes a second or twenty to import:
an agent that calls is paused until an agent of every program has called, and the picture and the waits begin there, so
that they show the sharing and not the imports.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Generator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import _common as common

common.use_checkout()

from aios_adapters.cli.tables import plain_table  # noqa: E402
from aios_adapters.remote.control import Control  # noqa: E402
from aios_adapters.timeline import plot  # noqa: E402
from aios_kernel.trace import Slice, read_trace  # noqa: E402
from tests.support.examples import FIVE, Example  # noqa: E402

COLUMNS = ("agent", "framework", "llm", "tool", "memory", "tokens in", "out", "waited s", "ran s", "outcome")
PATIENCE = 300  # seconds for all programs to arrive, and for each to end


def main() -> int:
    """Run the show; exit code 0 if every program ended well."""
    args = _arguments()
    missing = [one.environment for one in FIVE if not one.built]
    if missing:
        _say(f"building environments, once: {', '.join(missing)}")
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(args.trace or Path(folder) / "trace.json")
        options = ["--policy", args.policy, "--trace", str(trace), "--limits", f"llm:*:in_flight={args.slots}"]
        options += ["--llm", args.llm] if args.llm else ["--model", "embedded"]
        with _daemon(Path(folder) / "kernel.sock", *options) as address:
            _say(f"{len(FIVE)} programs on {address}, policy {args.policy}")
            codes = _run(address, Path(folder))
        found = [one for one in read_trace(trace) if one.agent != "root"]
    rows = _rows(found, codes)
    together = _since_all_are_there(found)
    names = {row["pid"]: f"{row['framework']}: {row['agent']}" for row in rows}
    png = plot(together, args.png, title=f"{len(FIVE)} frameworks, {args.policy}", names=names)
    if args.json:
        print(json.dumps({"machine": common.machine(), "agents": rows, "png": str(png)}, indent=2))
    else:
        table = [[str(row[name]) for name in COLUMNS] for row in rows]
        print(plain_table(COLUMNS, table, right=COLUMNS[2:9]))
        print(f"timeline: {png}")
    return max(abs(code) for code in codes.values())


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--policy", default="wfq", help="scheduling policy (default: wfq, fair shares)")
    parser.add_argument("--slots", type=int, default=2, metavar="N", help="calls that the model runs at a time (2)")
    parser.add_argument("--llm", metavar="CORE", help="another core than the embedded model, such as openai:URL")
    parser.add_argument("--png", default="shared.png", metavar="FILE", help="where the timeline goes (shared.png)")
    parser.add_argument("--trace", metavar="FILE", help="keep the Chrome trace")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser.parse_args()


@contextlib.contextmanager
def _daemon(socket: Path, *options: str) -> Generator[str]:
    """Run `aios serve` from its ready line to its drained end."""
    command = [sys.executable, "-m", "aios_adapters", "serve", "--socket", str(socket), *options]
    daemon = subprocess.Popen(command, env=common.environment(), stdout=subprocess.PIPE, text=True)
    assert daemon.stdout is not None
    try:
        if not daemon.stdout.readline().startswith("aios: ready"):
            raise SystemExit("the daemon did not start")
        yield f"unix:{socket}"
        daemon.send_signal(signal.SIGTERM)
        daemon.wait(PATIENCE)
    finally:
        daemon.kill()
        daemon.wait()


def _run(address: str, folder: Path) -> dict[Example, int]:
    """Start the programs, let them begin together, and wait for their ends."""
    with contextlib.ExitStack() as stack:
        running: dict[Example, subprocess.Popen[str]] = {}
        for one in FIVE:
            log = stack.enter_context((folder / f"{one.environment}.log").open("w"))
            running[one] = one.start(address, folder / one.environment, stdout=log, stderr=log)
            stack.callback(running[one].kill)
        _start_line(Control(address), running)
        codes = {one: process.wait(PATIENCE) for one, process in running.items()}
    for one, code in codes.items():
        if code:
            _say(f"{one.file} ended with {code}:\n{(folder / f'{one.environment}.log').read_text()[-2000:]}")
    return codes


def _start_line(kernel: Control, running: dict[Example, subprocess.Popen[str]]) -> None:
    """Pause each agent as it comes, until there is one of every program that still runs."""
    held: dict[int, str] = {}
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        for agent in kernel.agents():
            if agent["framework"] and agent["pid"] not in held:
                held[agent["pid"]] = agent["framework"]
                kernel.decide(agent["pid"], "pause")
        if {one.adapter for one, process in running.items() if process.poll() is None} <= set(held.values()):
            break
        time.sleep(0.05)
    _say(f"all are there: {', '.join(sorted(set(held.values())))}")
    for pid in held:
        kernel.decide(pid, "resume")


def _since_all_are_there(found: Sequence[Slice]) -> list[Slice]:
    """What came after the last program's first call, with times from there."""
    begin = max(min(one.start for one in found if one.framework == program.adapter) for program in FIVE)
    return [
        replace(
            one, start=max(one.start, begin) - begin, end=one.end - begin, first_token=_later(one.first_token, begin)
        )
        for one in found
        if one.end > begin
    ]


def _later(moment: float | None, begin: float) -> float | None:
    return None if moment is None else max(0.0, moment - begin)


def _rows(found: Sequence[Slice], codes: dict[Example, int]) -> list[dict[str, Any]]:
    """One row per agent, those of one program together. Calls are all there were; waits are since all were there."""
    waits: dict[int, float] = defaultdict(float)
    for one in _since_all_are_there(found):
        waits[one.pid] += one.seconds if one.phase == "wait" else 0
    by_agent: dict[int, list[Slice]] = defaultdict(list)
    for one in found:
        if one.phase == "run":
            by_agent[one.pid].append(one)
    programs = {key: one for one in codes for key in (one.adapter, one.file)}
    rows = [_row(ran, programs, codes) | {"waited s": round(waits[pid], 2)} for pid, ran in by_agent.items()]
    order = [one.framework for one in codes]
    return sorted(rows, key=lambda row: (order.index(row["framework"]), row["pid"]))


def _row(ran: Sequence[Slice], programs: dict[str, Example], codes: dict[Example, int]) -> dict[str, Any]:
    first = ran[0]
    program = programs[first.framework or first.agent]  # a call of no agent's is one of the program itself
    failed = sum(one.outcome != "ok" for one in ran)
    code = codes[program]
    return {
        "pid": first.pid,
        "agent": first.agent,
        "framework": program.framework,
        **{name: sum(one.kind == name for one in ran) for name in ("llm", "tool", "memory")},
        "tokens in": sum(one.usage.input_tokens for one in ran),
        "out": sum(one.usage.output_tokens for one in ran),
        "ran s": round(sum(one.seconds for one in ran), 2),
        "outcome": f"exit {code}" if code else f"ok ({failed} failed)" if failed else "ok",
    }


def _say(text: str) -> None:
    print(f"shared: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
