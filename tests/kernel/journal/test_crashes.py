"""Killed with -9 at named moments and at random, and run again: what was acknowledged is never paid or done twice."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from aios_evals.endpoint import Endpoint

STEPS = 8
PROGRAM = """
import os, signal, sys

import openai

import aios_adapters
from aios_adapters import calls
from aios_kernel.abi import ToolCall
from aios_kernel.journal import Journal, Journaled
from aios_kernel.kernel import Kernel

folder, point, hits = sys.argv[1], sys.argv[2], int(sys.argv[3])


def note(name, line):
    with open(os.path.join(folder, name), "a") as file:
        file.write(line + "\\n")


def die(at):
    global hits
    if at == point:
        hits -= 1
        if not hits:
            os.kill(os.getpid(), signal.SIGKILL)


def send(number, text):
    die("before effect")
    note("effects", f"{number}")
    die("after effect")
    return {"sent": len(text)}


journal = Journal(os.path.join(folder, "journal"), crash_point=die)
aios_adapters.enable(kernel=Journaled(Kernel(), journal))
client = openai.OpenAI(base_url=os.environ["URL"], api_key="k", max_retries=0)
said = "begin"
for number in range(STEPS):
    message = {"role": "user", "content": f"step {number}: {said}"}
    if number % 2:
        stream = client.chat.completions.create(model="sim", messages=[message], stream=True)
        said = "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
    else:
        said = client.chat.completions.create(model="sim", messages=[message]).choices[0].message.content
    note("acknowledged", f"llm {number}")
    die("after a call")
    build = lambda: ToolCall(name="send", arguments={"number": number, "text": said})
    result = calls.tool_call("x", build, lambda: send(number, said), lambda error: {"denied": str(error)})
    note("acknowledged", f"tool {number}")
    die("after a tool")
    said = f"{said} {result['sent']}"
print(said)
""".replace("STEPS", str(STEPS))


class Program:
    """One program in a folder, run and killed and run again against one endpoint."""

    def __init__(self, folder: Path, endpoint: Endpoint) -> None:
        self.folder, self.endpoint = folder, endpoint
        folder.mkdir()
        (folder / "program.py").write_text(PROGRAM, encoding="utf-8")

    def run(self, point: str = "-", hits: int = 1, kill_after: float | None = None) -> tuple[int, str, str]:
        command = [sys.executable, str(self.folder / "program.py"), str(self.folder), point, str(hits)]
        environ = {**os.environ, "URL": self.endpoint.base_url}
        with subprocess.Popen(
            command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            timer = threading.Timer(kill_after or 120, process.kill)
            timer.start()
            out, err = process.communicate()
            timer.cancel()
        return process.returncode, out, err

    def lines(self, name: str) -> list[str]:
        file = self.folder / name
        return file.read_text(encoding="utf-8").splitlines() if file.exists() else []

    @property
    def asked(self) -> Counter[int]:
        """How often each step was asked of the endpoint."""
        bodies: list[Any] = [record.body for record in self.endpoint.requests]
        parsed = (body if isinstance(body, dict) else json.loads(body) for body in bodies)
        return Counter(int(body["messages"][0]["content"].split(":")[0].split()[1]) for body in parsed)

    def check(self, kills: int) -> None:
        """What was acknowledged before a kill has happened once; each kill repeats one call or tool at most."""
        acknowledged = Counter(self.lines("acknowledged"))
        effects, asked = Counter(map(int, self.lines("effects"))), self.asked
        assert set(asked) == set(effects) == set(range(STEPS))
        for step in range(STEPS):
            # Acknowledged more than once: it was so before a kill, and answered from the journal after it.
            if acknowledged[f"llm {step}"] > 1:
                assert asked[step] == 1
            if acknowledged[f"tool {step}"] > 1:
                assert effects[step] == 1
        repeated = sum(asked.values()) - STEPS + sum(effects.values()) - STEPS
        assert repeated <= kills


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """What the program prints when nothing kills it."""
    with Endpoint(reply_tokens=6) as endpoint:
        code, out, err = Program(tmp_path_factory.mktemp("whole") / "run", endpoint).run()
    assert code == 0, err
    return out


@pytest.mark.parametrize(
    ("point", "hits", "repeats"),
    [
        ("before commit", 3, 1),  # answered, and not yet on the disk: asked again, once
        ("after commit", 3, 0),
        ("after a call", 4, 0),
        ("after a tool", 8, 0),
        ("before effect", 2, 0),
        ("after effect", 5, 1),  # done, and nobody was told
    ],
)
def test_killed_at_a_named_moment(tmp_path, expected, point, hits, repeats):
    """The re-run prints the same; only what was not acknowledged happens again."""
    with Endpoint(reply_tokens=6) as endpoint:
        program = Program(tmp_path / "run", endpoint)
        assert program.run(point, hits)[0] == -signal.SIGKILL
        code, out, err = program.run()
        assert (code, out) == (0, expected), err
        program.check(kills=1)
        assert sum(program.asked.values()) + len(program.lines("effects")) == 2 * STEPS + repeats
        before = len(endpoint.requests)
        assert program.run()[1] == expected
        assert len(endpoint.requests) == before  # a third run pays for nothing


def test_killed_at_random(tmp_path, expected):
    """Killed again and again at moments nobody chose, it ends with the same words, and pays for each kill one call at most."""
    moments = random.Random(5)
    with Endpoint(reply_tokens=6, latency=0.15) as endpoint:
        program = Program(tmp_path / "run", endpoint)
        kills = 0
        for _ in range(40):
            code, out, err = program.run(kill_after=None if kills >= 4 else moments.uniform(0.8, 3.0))
            if code == 0:
                break
            assert code == -signal.SIGKILL, err
            kills += 1
        assert (code, out) == (0, expected), err  # pyright: ignore[reportPossiblyUnboundVariable]
        program.check(kills)
