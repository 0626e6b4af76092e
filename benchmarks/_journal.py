"""The journal under `kill -9`: functions for the benchmark, and the program that is killed.

python benchmarks/_journal.py [--kills N]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import threading
import time
import uuid
from contextlib import closing
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import _common as common
import _kills

common.use_checkout()

import aios_adapters  # noqa: E402
from aios_adapters import calls  # noqa: E402
from aios_kernel.abi import Agent, ChatCall, ToolCall  # noqa: E402
from aios_kernel.cores.scripted import ScriptedCore  # noqa: E402
from aios_kernel.errors import AiosError  # noqa: E402
from aios_kernel.journal import Journal, Journaled  # noqa: E402
from aios_kernel.kernel import Kernel  # noqa: E402

AGENTS = 4  # at once, so that their answers share a commit
STEPS = 12
WHOLE = 2 * AGENTS * STEPS  # answers of one program: a call and a tool in each step
POINTS = (
    "before commit",
    "after commit",
    "before the model",
    "after the model",
    "before the effect",
    "after the effect",
    "after a call",
    "after a tool",
)


# Crashes


class Crashes:
    """Kill a program and run it again until it ends, then begin another; look each time what was done more than once."""

    def __init__(self, base: Path, seed: int = 1) -> None:
        self.base, self.random = base, random.Random(seed)
        self.report: dict[str, Any] = {**_kills.new_report(), "programs": 0, "repeated_unacknowledged": 0}
        self.sizes: list[tuple[int, int]] = []
        self._turn = 0
        self._begin()

    def step(self) -> None:
        """One run, killed at a named point or anywhere, unless it ends before."""
        self._turn += 1
        if self._turn % 2:
            point = POINTS[self._turn // 2 % len(POINTS)]
            said, code, error = self._run(point, self.random.randrange(1, 12))
        else:
            # Mostly where it goes on live: what the journal gives back is said again first.
            lines = max(1, len(self._acknowledged) + self.random.randrange(-10, 50))
            said, code, error = self._run("-", 0, lines=lines, pause=self.random.random() / 100)
        _kills.was_killed(self.report, code, error)
        self._take(said)
        self._look(ended=code == 0)
        if code != -signal.SIGKILL:
            self._begin()

    def finish(self) -> None:
        """Let the last program end."""
        said, code, error = self._run("-", 0)
        _kills.was_killed(self.report, code, error)
        self._take(said)
        self._look(ended=code == 0)

    def _run(self, point: str, hits: int, **options: Any) -> tuple[list[str], int, str]:
        return _kills.run_until_killed(__file__, "--child", self.folder, "--at", point, "--hits", hits, **options)

    def _begin(self) -> None:
        self.report["programs"] += 1
        self.folder = self.base / str(self.report["programs"])
        self.folder.mkdir()
        self._done: dict[str, int] = {}  # how often each call was paid for, or each effect was had
        self._acknowledged: dict[str, str] = {}  # what the program was told
        self._counted = 0

    def _take(self, said: list[str]) -> None:
        for line in said:
            verb, name, value = line.split()
            if verb == "did":
                self._done[name] = self._done.get(name, 0) + 1
                self.report["repeated_unacknowledged"] += self._done[name] > 1 and name not in self._acknowledged
                if name in self._acknowledged:
                    self._problem("duplicated", f"{name} was acknowledged and done again")
            elif self._acknowledged.setdefault(name, value) != value:
                self._problem("lost", f"{name} was {self._acknowledged[name]}, then {value}")
        # Counted once a program: what is given back from the journal is acknowledged again in every run.
        self.report["acknowledged"] += len(self._acknowledged) - self._counted
        self._counted = len(self._acknowledged)

    def _look(self, *, ended: bool) -> None:
        begin = time.monotonic()
        path = self.folder / "journal"
        if not path.exists():
            return
        try:
            with closing(Journal(path, "replay")) as journal:
                rows = list(journal.rows())
        except AiosError as error:
            self._problem("unopenable", f"unopenable: {error}")
            return
        took = time.monotonic() - begin
        self.report["recovery_seconds"] = max(self.report["recovery_seconds"], took)
        answers = " ".join(row.answer for row in rows)
        for name, value in self._acknowledged.items():
            if value not in answers:
                self._problem("lost", f"{name} was acknowledged and is not in the journal")
        if any(row.n > 1 for row in rows):
            self._problem("duplicated", "an answer is in the journal twice")
        if ended and len(self._acknowledged) != WHOLE:
            self._problem("lost", f"a program ended with {len(self._acknowledged)} of {WHOLE} answers")
        size = _kills.size_of(self.folder)
        self.report["disk_bytes"] = max(self.report["disk_bytes"], size)
        if ended:
            self.sizes.append((len(rows), size))

    def _problem(self, kind: str, what: str) -> None:
        self.report[kind] += 1
        self.report["problems"].append(what)


class Program:
    """What is killed: agents that ask a model, use a tool, and use what came of it in the next step."""

    def __init__(self, folder: str, point: str, hits: int) -> None:
        self.point, self.left, self.guard = point, hits, threading.Lock()
        self.failed = False
        journal = Journal(Path(folder) / "journal", crash_point=self.die)
        self.kernel = Journaled(Kernel(llm={"served": ScriptedCore(self.model)}), journal)
        aios_adapters.enable(kernel=self.kernel)

    def run(self) -> int:
        """Have all agents work; return the exit status."""
        threads = [threading.Thread(target=self.work, args=(number,)) for number in range(AGENTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.kernel.close()
        return int(self.failed)

    def die(self, at: str) -> None:
        """End here, if this is where to end."""
        with self.guard:
            self.left -= at == self.point
            if at == self.point and self.left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    def say(self, verb: str, name: str, value: str) -> None:
        """Have it outlive the kill."""
        os.write(1, f"{verb} {name} {value}\n".encode())

    def model(self, call: Any) -> str:
        """Answer, for money: every answer is another one."""
        self.die("before the model")
        value = uuid.uuid4().hex
        self.say("did", f"call:{call.messages[0]['content'].split()[0]}", value)
        self.die("after the model")
        return f"the answer is {value}"

    def send(self, name: str) -> dict[str, str]:
        """Have an effect."""
        self.die("before the effect")
        value = uuid.uuid4().hex
        self.say("did", f"tool:{name}", value)
        self.die("after the effect")
        return {"sent": value}

    def work(self, number: int) -> None:
        """Be one agent."""
        known = "nothing"
        try:
            for step in range(STEPS):
                known = self.step(Agent(name=f"a{number}"), f"{number}.{step}", known, stream=bool(step % 2))
        except BaseException:
            self.failed = True
            raise

    def step(self, agent: Agent, name: str, known: str, *, stream: bool) -> str:
        """Ask, then act."""
        messages = [{"role": "user", "content": f"{name} knowing {known}"}]
        with self.kernel.syscall(ChatCall(agent=agent, model="served", messages=messages, stream=stream)) as grant:
            text = "".join(delta.text for delta in grant.deltas()) if stream else grant.reply().text
        said = text.split()[-1]
        self.say("ack", f"call:{name}", said)
        self.die("after a call")
        tool = ToolCall(agent=agent, name="send", arguments={"name": name, "text": said})
        sent = calls.tool_call("own", lambda: tool, lambda: self.send(name), _refused)["sent"]
        self.say("ack", f"tool:{name}", sent)
        self.die("after a tool")
        return sent


def _refused(error: Exception) -> Any:
    raise error


def main() -> None:
    """Print what was measured, as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--at", default="-", help=argparse.SUPPRESS)
    parser.add_argument("--hits", type=int, default=0, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        sys.exit(Program(args.child, args.at, args.hits).run())
    with tempfile.TemporaryDirectory() as folder:
        crashes = Crashes(Path(folder))
        while crashes.report["kills"] < args.kills and not crashes.report["problems"]:
            crashes.step()
        crashes.finish()
        print(json.dumps(crashes.report))


if __name__ == "__main__":
    main()
