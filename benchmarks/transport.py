"""What it costs to share a kernel: time to a lease and per streamed token, in this process and over the channel.

    python benchmarks/transport.py [--json FILE|-] [--repeats N] [--quick] [--agents N]

A lease is timed from the call to the grant, on an idle resource, so that nothing is measured but the way there and back.
Clients are processes; each makes a call, thinks a random time of `--think` seconds on average, and calls again, all at
once. `--quick` takes fewer clients; `--agents` threads call in each.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import _common as common

common.use_checkout()

from aios_adapters.remote import RemoteKernel  # noqa: E402
from aios_kernel import Agent, ChatCall, Kernel  # noqa: E402
from aios_kernel.cores.scripted import ScriptedCore  # noqa: E402

CALL = ChatCall(model="own", messages=[{"role": "user", "content": "a prompt of ordinary length " * 40}])
STREAM = ChatCall(model="served", stream=True)
WORDS = 1000
WARM_UP = 3
GOAL_MS = 1.0


def main() -> int:
    """Measure, print with the goal, and say whether it is met."""
    args = _arguments()
    if args.server:
        _serve(args.server)
        return 0
    result: dict[str, Any] = {"machine": common.machine(), "leases": [], "streams": {}}
    rows: list[list[str]] = []
    with tempfile.TemporaryDirectory() as folder, _server(Path(folder) / "kernel.sock") as where:
        plan = [("embedded", 1), *(("shared", count) for count in ((1, 8, 32) if args.quick else (1, 32, 250)))]
        for arm, clients in plan:
            values = sorted(_leases(None if arm == "embedded" else where, clients, args))
            found = {"p50": statistics.median(values), "p90": common.p90(values), "calls": len(values)}
            result["leases"].append({"kernel": arm, "clients": clients, "agents": args.agents, "ms": found})
            goal = f"p50 <= {GOAL_MS:g} ms" if arm == "shared" else ""
            rows.append([f"lease, {arm}, {clients} x {args.agents}", _ms(found["p50"]), _ms(found["p90"]), goal])
        for arm, gate in (("embedded", _kernel()), ("shared", RemoteKernel(where))):
            with closing(gate):
                tokens = [_token(gate) for _ in range(args.repeats)]
            result["streams"][arm] = tokens
            rows.append([f"token of a stream, {arm}", _ms(statistics.median(tokens)), _ms(max(tokens)), ""])
    result["machine"]["load_average_after"] = common.machine()["load_average"]
    common.table(["what", "p50 ms", "p90 ms", "goal"], rows)
    print(f"load average {result['machine']['load_average_after']} on {os.cpu_count()} CPUs")
    common.write_json(args.json, result)
    return 0 if all(row["ms"]["p50"] <= GOAL_MS for row in result["leases"] if row["kernel"] == "shared") else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", help="write the result to a file, - for standard output")
    parser.add_argument("--repeats", type=int, default=5, help="streams per kernel")
    parser.add_argument("--quick", action="store_true", help="1, 8 and 32 clients instead of 1, 32 and 250")
    parser.add_argument("--agents", type=int, default=1, help="threads that call in each client")
    parser.add_argument("--calls", type=int, default=20, help="calls of each agent")
    parser.add_argument("--think", type=float, default=1.0, help="seconds between an agent's calls, on average")
    parser.add_argument("--server", help=argparse.SUPPRESS)
    return parser.parse_args()


def _ms(value: float) -> str:
    return f"{value:.3f}"


# The server --------------------------------------------------------------------------------------------------------


def _kernel() -> Kernel:
    return Kernel(llm={"served": ScriptedCore(lambda _: "word " * WORDS), "own": "lease"})


def _serve(path: str) -> None:
    import uvicorn

    from aios_integrations.server.channel import make_channel

    config = uvicorn.Config(make_channel(_kernel()), uds=path, http="httptools", lifespan="off", log_config=None)
    uvicorn.Server(config).run()


@contextmanager
def _server(path: Path) -> Iterator[str]:
    process = subprocess.Popen([sys.executable, __file__, "--server", str(path)], env=common.environment())
    try:
        while process.poll() is None and not path.exists():
            time.sleep(0.05)
        yield f"unix:{path}"
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


# Leases ------------------------------------------------------------------------------------------------------------


def _leases(where: str | None, clients: int, args: argparse.Namespace) -> Iterator[float]:
    """Milliseconds to each lease of every client, all of which begin at one moment."""
    begin_read, begin_write = os.pipe()
    pipes = []
    for number in range(clients):
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(begin_write)
            _client(where, number, args, begin_read, write)
        os.close(write)
        pipes.append((pid, os.fdopen(read)))
    os.close(begin_read)
    for _, pipe in pipes:
        pipe.readline()  # it is connected
    os.close(begin_write)  # go
    for pid, pipe in pipes:
        yield from json.loads(pipe.readline())
        pipe.close()
        os.waitpid(pid, 0)


def _client(where: str | None, number: int, args: argparse.Namespace, begin: int, out: int) -> None:
    """Be one client, in a process of its own."""
    code = 1
    try:
        gate: Any = _kernel() if where is None else RemoteKernel(where)
        for _ in range(WARM_UP):
            _lease(gate, CALL)
        os.write(out, b"\n")
        os.read(begin, 1)
        found: list[float] = []
        threads = [
            threading.Thread(target=_agent, args=(gate, f"agent {n}", random.Random(100 * number + n), args, found))
            for n in range(args.agents)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        with os.fdopen(out, "w") as stream:
            stream.write(json.dumps(found) + "\n")
        gate.close()
        code = 0
    finally:
        os._exit(code)


def _agent(gate: Any, name: str, dice: random.Random, args: argparse.Namespace, found: list[float]) -> None:
    call = ChatCall(model=CALL.model, messages=CALL.messages, agent=Agent(name=name))
    for _ in range(args.calls):
        time.sleep(dice.expovariate(1 / args.think))
        found.append(_lease(gate, call))


def _lease(gate: Any, call: ChatCall) -> float:
    begun = time.perf_counter()
    with gate.syscall(call):
        return 1000 * (time.perf_counter() - begun)


# Streams -----------------------------------------------------------------------------------------------------------


def _token(gate: Any) -> float:
    """Milliseconds per piece of one stream whose core takes no time."""
    begun = time.perf_counter()
    with gate.syscall(STREAM) as grant:
        count = sum(1 for _ in grant.deltas())
    return 1000 * (time.perf_counter() - begun) / count


if __name__ == "__main__":
    sys.exit(main())
