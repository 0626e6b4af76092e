"""A journal before a kernel in another process: it is the client's, and outlives the server."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import aios_adapters
from aios_adapters import calls
from aios_adapters.remote import RemoteKernel
from aios_evals.endpoint import Endpoint
from aios_kernel import AccessDenied, ChatCall, KernelLost, Reply, ToolCall, Usage
from aios_kernel.abi import Agent, EmbeddingCall, MemoryCall
from aios_kernel.cores.scripted import ScriptedCore
from aios_kernel.journal import Journal, Journaled
from tests.kernel.journal.test_secrets import PLANTED, SAID
from tests.remote.conftest import Rig
from tests.remote.test_loss import serve
from tests.support.journaled import journaled
from tests.support.waiting import PATIENCE

ANN = Agent(name="ann")


def _chat(text: str, **fields: Any) -> ChatCall:
    return ChatCall(agent=ANN, model="m", messages=[{"role": "user", "content": text}], **fields)


class Program:
    """One run of a program as the client of a served kernel, with the test's journal before it."""

    def __init__(self, gate: RemoteKernel, path: Path, mode: str = "record") -> None:
        self.kernel = Journaled(gate, Journal(path, mode))
        self.done: list[str] = []

    def run(self) -> list[Any]:
        """Every kind of call, in a thread and in an event loop."""
        with contextlib.closing(self.kernel):
            return [*self._calls(), *asyncio.run(self._acalls())]

    def _calls(self) -> list[Any]:
        with self.kernel.syscall(_chat("one")) as grant:
            reply = grant.reply()
        with self.kernel.syscall(_chat("two", stream=True)) as grant:
            deltas = list(grant.deltas())
        with self.kernel.syscall(EmbeddingCall(agent=ANN, model="e", inputs=("x",))) as grant:
            vectors = grant.reply().vectors
        with self.kernel.syscall(ToolCall(agent=ANN, name="t", lease=True)) as grant:
            if grant.lease:
                self.done.append("tool")
                grant.report(Usage(input_tokens=1))
                grant.record({"result": 5})
        return [reply, deltas, vectors]

    async def _acalls(self) -> list[Any]:
        async with self.kernel.syscall(_chat("three")) as grant:
            reply = await grant.areply()
        async with self.kernel.syscall(_chat("four", stream=True)) as grant:
            deltas = [delta async for delta in grant.adeltas()]
        return [reply, deltas]


def _answer(call: Any) -> Reply:
    if isinstance(call, EmbeddingCall):
        return Reply(vectors=((0.5, 0.25),))
    return Reply(text=f"an answer to {call.messages[-1]['content']}", usage=Usage(input_tokens=3, output_tokens=4))


def test_a_second_run_asks_the_server_nothing(rig: Rig, tmp_path: Path) -> None:
    """Served and leased calls, whole and streamed, in threads and event loops; a server's agents count nothing for them."""
    gate = rig.serve(llm=ScriptedCore(_answer))
    first = Program(gate, tmp_path / "j")
    got = first.run()
    before = rig.kernel.status().syscalls
    assert before == {"llm": 4, "embedding": 1, "tool": 1}
    second = Program(rig.client(), tmp_path / "j", "strict")
    assert second.run() == got
    assert (first.done, second.done) == (["tool"], [])
    assert rig.kernel.status().syscalls == before
    assert second.kernel.journal.status()["replayed"] == 6


def test_what_a_program_recorded_alone_answers_it_behind_a_server(rig: Rig, tmp_path: Path) -> None:
    """A journal does not care where the kernel is."""
    from aios_kernel import Kernel

    alone: Any = Kernel(llm=ScriptedCore(_answer))
    got = Program(alone, tmp_path / "j").run()
    gate = rig.serve(llm=ScriptedCore(["another answer"] * 9))
    assert Program(gate, tmp_path / "j", "strict").run() == got
    assert rig.kernel.status().syscalls == {}


def test_the_server_is_told_of_what_goes_live(rig: Rig, tmp_path: Path) -> None:
    """What a checked server refuses is refused, and is no answer; its own managers serve what is asked of them."""

    def check(call: Any, process: Any) -> None:
        if isinstance(call, ToolCall):
            raise AccessDenied("no tools")

    gate = rig.serve(llm=ScriptedCore(_answer), checks=(check,))
    for _ in range(2):
        kernel = Journaled(rig.client(), Journal(tmp_path / "j"))
        with (
            contextlib.closing(kernel),
            pytest.raises(AccessDenied, match="no tools"),
            kernel.syscall(ToolCall(agent=ANN, name="t")),
        ):
            pass
        assert kernel.journal.status()["recorded"] == 0
    assert gate.status().syscalls == rig.kernel.status().syscalls


def test_the_file_has_no_secret_of_what_a_server_said(rig: Rig, tmp_path: Path) -> None:
    """The journal is the client's, with what that means for secrets."""
    gate = rig.serve(llm=ScriptedCore(lambda call: SAID))
    kernel = Journaled(gate, Journal(tmp_path / "folder" / "j"))
    with contextlib.closing(kernel), kernel.syscall(_chat("ask")) as grant:
        assert grant.reply().text == SAID
    data = b"".join(path.read_bytes() for path in (tmp_path / "folder").iterdir())
    assert [secret for secret in PLANTED if secret.encode() in data] == []


# Programs ------------------------------------------------------------------------------------------------------------

PROGRAM = """
import openai, os, signal, sys
client = openai.OpenAI(base_url=sys.argv[1], api_key="k", max_retries=0)
said = []
for number in range(4):
    if number == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
    message = {"role": "user", "content": f"question {number}"}
    stream = client.chat.completions.create(model="sim", messages=[message], stream=number % 2 == 1)
    said.append(repr(list(stream) if number % 2 else stream))
print(said)
"""


def test_a_program_that_was_killed_goes_on_behind_another_server(tmp_path: Path) -> None:
    """Program and server are killed; with a new server the program is answered what it had, and asks only the rest."""
    program, address = tmp_path / "program.py", f"unix:{tmp_path / 'k.sock'}"
    program.write_text(PROGRAM, encoding="utf-8")
    command = [sys.executable, "-m", "aios_adapters", "run", f"--journal={tmp_path / 'j'}", str(program)]
    environ = {**os.environ, "AIOS_KERNEL": address}
    out = []
    with Endpoint(reply_tokens=4) as endpoint:
        for dies, code, live in ((2, -signal.SIGKILL, 2), (9, 0, 2), (9, 0, 0)):
            server = serve(tmp_path / "k.sock")
            more = [endpoint.base_url, str(dies)]
            done = subprocess.run(
                [*command, *more], env=environ, capture_output=True, text=True, check=False, timeout=60
            )
            with contextlib.closing(RemoteKernel(address)) as gate:
                assert gate.status().syscalls.get("llm", 0) == live
            server.kill()
            server.wait(PATIENCE)
            assert done.returncode == code, done.stderr
            out.append(done.stdout)
        assert len(endpoint.requests) == 4
    assert out[1] == out[2]
    assert out[1].count("ChatCompletion(") == 2


def test_what_is_done_while_the_server_is_lost_is_recorded(tmp_path: Path) -> None:
    """A program that goes on without a kernel has paid all the same."""
    server = serve(tmp_path / "k.sock")
    settings: dict[str, Any] = {"kernel": f"unix:{tmp_path / 'k.sock'}", "on_kernel_loss": "run"}
    done: list[str] = []

    def ask(text: str) -> str:
        def native() -> str:
            done.append(text)
            return f"{text} {len(done)}"

        return calls.llm_call("x", lambda: _chat(text), native, lambda reply: reply.text)

    def stream() -> list[str]:
        def native() -> list[str]:
            done.append("stream")
            return ["a", "b"]

        made = calls.llm_stream("x", lambda: _chat("s", stream=True), native, lambda delta: [delta.text])
        return list(made)

    async def aask() -> str:
        async def native() -> str:
            done.append("async")
            return "c"

        return await calls.allm_call("x", lambda: _chat("a"), native, lambda reply: reply.text)

    def rest() -> list[Any]:
        return [ask("two"), stream(), asyncio.run(aask())]

    with journaled(tmp_path / "j", **settings):
        first = [ask("one")]
        server.kill()
        server.wait(PATIENCE)
        first += rest()
    assert done == ["one", "two", "stream", "async"]
    server = serve(tmp_path / "k.sock")
    try:
        with journaled(tmp_path / "j", "strict", **settings):
            assert [ask("one"), *rest()] == first
    finally:
        server.kill()
        server.wait(PATIENCE)
    assert len(done) == 4


def test_without_a_server_a_replay_says_which_one_is_missing(tmp_path: Path) -> None:
    """Enabling needs the kernel that is named, also where a journal could answer everything; `run` goes on without."""
    address = f"unix:{tmp_path / 'none.sock'}"
    with pytest.raises(KernelLost, match=r"none\.sock"), journaled(tmp_path / "j", kernel=address):
        pass
    aios_adapters.disable()
    with journaled(tmp_path / "j", kernel=address, on_kernel_loss="run") as journal:
        calls.llm_call("x", lambda: _chat("one"), lambda: "once", lambda reply: reply.text)
        assert journal.counts["recorded"] == 1
    with journaled(tmp_path / "j", "strict", kernel=address, on_kernel_loss="run"):
        assert calls.llm_call("x", lambda: _chat("one"), lambda: "twice", lambda reply: reply.text) == "once"


def test_memory_that_a_server_keeps_is_given_back(rig: Rig, tmp_path: Path) -> None:
    """What a manager of the server did for a call is done once."""
    from aios_kernel.memory import MemoryManager

    rig.serve(managers=[MemoryManager("memory")])
    call = MemoryCall(agent=ANN, verb="add", arguments={"text": "a note"})
    got = []
    for _ in range(2):
        kernel = Journaled(rig.client(), Journal(tmp_path / "j"))
        with contextlib.closing(kernel), kernel.syscall(call) as grant:
            got.append(grant.reply().data)
    assert got[0] == got[1]
    with rig.client().syscall(MemoryCall(agent=ANN, verb="list")) as grant:
        assert str(grant.reply().data).count("a note") == 1
