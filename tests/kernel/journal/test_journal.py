"""The journal before a kernel: what is recorded answers, exactly once, in every mode; what is not goes live."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import stat
import threading
from typing import Any

import pytest

from aios_kernel.abi import Agent, ChatCall, MemoryCall, Reply, Sampling, ToolCall, ToolRequest, Usage
from aios_kernel.cores.scripted import ScriptedCore
from aios_kernel.errors import AccessDenied, ConfigError, CoreError, JournalDivergence, JournalError
from aios_kernel.identity import current_agent
from aios_kernel.journal import Journal, Journaled
from aios_kernel.journal._file import File, row_for
from aios_kernel.kernel import Kernel
from aios_kernel.managers import Manager
from tests.support.waiting import wait_until

ANN = Agent(name="ann", framework="f")


class Notes(Manager):
    """Counts what it is asked."""

    kinds = frozenset({"memory"})

    def __init__(self):
        super().__init__("notes")
        self.handled = 0

    def handle(self, call, process):
        self.handled += 1
        return {"id": self.handled}


class Run:
    """One run of a program over the same journal."""

    def __init__(self, path, mode="record", checks=(), **options: Any):
        self.asked: list[str] = []
        self.notes = Notes()
        core = ScriptedCore(self._answer)
        self.journal = Journal(path, mode, **options)
        self.kernel = Journaled(Kernel(llm=core, managers=[self.notes], checks=checks), self.journal)
        self._lock = threading.Lock()

    def _answer(self, call):
        text = call.messages[-1]["content"]
        with self._lock:
            self.asked.append(text)
            number = len(self.asked)
        if text == "fail":
            raise ValueError("no")
        tools = (ToolRequest(id=f"c{number}", name="t", arguments="{}"),) if text == "tool" else ()
        return Reply(text=f"{text} answered {number}", tool_calls=tools, usage=Usage(input_tokens=3, output_tokens=4))

    def ask(self, text, agent: Agent | None = ANN, **fields: Any):
        with self.kernel.syscall(chat(text, agent, **fields)) as grant:
            return grant.reply()

    def stream(self, text, agent=ANN):
        with self.kernel.syscall(chat(text, agent, stream=True)) as grant:
            return list(grant.deltas())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kernel.close()


def chat(text, agent: Agent | None = ANN, **fields: Any):
    return ChatCall(agent=agent, model="m", messages=({"role": "user", "content": text},), **fields)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "deep" / "run.journal"


def test_a_second_run_is_answered_without_asking(path):
    """Same replies, tool calls, vectors' order and usage; the core is not called once."""
    with Run(path) as run:
        first = [run.ask("a"), run.ask("tool"), run.ask("a"), run.ask("a", Agent(name="bob"))]
        assert len(run.asked) == 4
    with Run(path) as run:
        assert [run.ask("a"), run.ask("tool"), run.ask("a"), run.ask("a", Agent(name="bob"))] == first
        assert run.asked == []
        assert run.kernel.status().syscalls == {}
        assert run.journal.status()["replayed"] == 4
        assert run.ask("a").text == "a answered 1"  # a third time: live, and from now on recorded
    with Run(path) as run:
        assert [run.ask("a").text for _ in range(3)] == ["a answered 1", "a answered 3", "a answered 1"]
        assert run.asked == []


def test_streams_are_replayed_as_streams_and_across(path):
    """The same pieces in the same order; the whole of a stream and the pieces of a whole are the same answer."""
    with Run(path) as run:
        pieces = run.stream("tool")
        assert len(pieces) > 2
    with Run(path) as run:
        assert run.stream("tool") == pieces
        assert run.asked == []
    with Run(path) as run, run.kernel.syscall(chat("tool", stream=True)) as grant:
        reply = grant.reply()
        assert (reply.text, reply.tool_calls[0].name, reply.usage.output_tokens) == ("tool answered 1", "t", 4)
    with Run(path) as run:
        run.ask("a")
    with Run(path) as run, run.kernel.syscall(chat("a")) as grant:
        assert "".join(delta.text for delta in grant.deltas()) == "a answered 1"


def test_async_and_threads_share_positions(path):
    """Twenty equal requests at once: twenty answers recorded, the same twenty given back, in threads and in a loop."""

    def threads(run):
        replies = []
        workers = [threading.Thread(target=lambda: replies.append(run.ask("same").text)) for _ in range(20)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(30)
        return replies

    async def loop(run):
        async def one():
            async with run.kernel.syscall(chat("same")) as grant:
                return (await grant.areply()).text

        return await asyncio.gather(*(one() for _ in range(20)))

    with Run(path) as run:
        first = sorted(threads(run))
        assert len(set(first)) == 20
    with Run(path) as run:
        assert sorted(asyncio.run(loop(run))) == first
        assert run.asked == []
    with Run(path) as run:
        assert sorted(threads(run)) == first
        assert run.asked == []


def test_astreams(path):
    """An asynchronous stream is recorded and replayed too."""

    async def stream(run):
        async with run.kernel.syscall(chat("a b c", stream=True)) as grant:
            return [delta async for delta in grant.adeltas()]

    with Run(path) as run:
        first = asyncio.run(stream(run))
    with Run(path) as run:
        assert asyncio.run(stream(run)) == first
        assert run.asked == []


def test_a_divergence_goes_live_and_what_follows_is_answered_where_it_fits(path):
    """Another prompt is another call; the calls around it keep their answers."""
    with Run(path) as run:
        for text in ("a", "b", "c"):
            run.ask(text)
    with Run(path) as run:
        assert [run.ask(text).text for text in ("a", "B", "c")] == ["a answered 1", "B answered 1", "c answered 3"]
        assert run.asked == ["B"]
        assert [row.label for row in run.journal.left()] == ["chat m"]


def test_what_failed_or_was_left_is_not_answered_again(path):
    """No error and no half stream is an answer; a retry that succeeds is found by the re-run's first attempt."""
    with Run(path) as run:
        with pytest.raises(CoreError):
            run.ask("fail")
        with run.kernel.syscall(chat("left", stream=True)) as grant:
            deltas = grant.deltas()
            next(deltas)
            deltas.close()
        assert list(run.journal.rows()) == []
        run.stream("left")
    with Run(path) as run:
        run.stream("left")
        assert run.asked == []


def test_replay_mode_leaves_the_journal_as_it_is(path):
    """What diverges goes live and is not kept."""
    with Run(path) as run:
        run.ask("a")
    with Run(path, "replay") as run:
        assert [run.ask("a").text, run.ask("b").text] == ["a answered 1", "b answered 1"]
        assert run.asked == ["b"]
    with Run(path, "replay") as run:
        run.ask("b")
        assert run.asked == ["b"]
        assert len(list(run.journal.rows())) == 1


def test_strict_mode_shows_the_difference(path):
    """The error names agent and call, and the lines that differ; nothing reaches the core."""
    with Run(path) as run:
        run.ask("first question")
        run.ask("second question")
    with Run(path, "strict") as run:
        run.ask("first question")
        with pytest.raises(JournalDivergence) as raised:
            run.ask("another question", sampling=Sampling(seed=7))
        lines = str(raised.value).splitlines()
        assert "agent 'f/ann' is not in the journal" in lines[0]
        assert any(line.startswith("-") and "second question" in line for line in lines)
        assert any(line.startswith("+") and "another question" in line for line in lines)
        assert any(line.startswith("+") and '"seed": 7' in line for line in lines)
        assert run.asked == []
        run.ask("second question")
        with pytest.raises(JournalDivergence, match="no more calls"):
            run.ask("first question")


def test_refresh_begins_anew(path):
    """Everything is asked again and recorded again."""
    with Run(path) as run:
        run.ask("x")
        run.ask("a")
    with Run(path, "refresh") as run:
        assert run.ask("a").text == "a answered 1"
    with Run(path) as run:
        assert run.ask("a").text == "a answered 1"
        assert run.asked == []
        assert [row.n for row in run.journal.rows()] == [1]


def test_managers_are_answered_and_leases_of_memory_are_not_journaled(path):
    """A note is not added twice; what a framework does with its own memory it has to do again."""
    add = MemoryCall(agent=ANN, verb="add", arguments={"text": "x"})
    with Run(path) as run:
        for _ in range(2):
            with run.kernel.syscall(add) as grant:
                grant.reply()
        with run.kernel.syscall(MemoryCall(agent=ANN, verb="add", lease=True)) as grant:
            assert grant.lease
    with Run(path) as run:
        with run.kernel.syscall(add) as grant:
            assert grant.reply().data == {"id": 1}
        assert run.notes.handled == 0
        with run.kernel.syscall(MemoryCall(agent=ANN, verb="add", lease=True)) as grant:
            assert grant.lease


def test_leases_are_recorded_as_their_adapters_say(path):
    """A replayed lease is none: the adapter finds what it kept; a bare reply of it does not exist."""
    call = ToolCall(agent=ANN, name="t", arguments={"x": 1}, call_id="1")
    with Run(path) as run, run.kernel.syscall(call) as grant:
        assert grant.lease
        assert grant.records
        grant.record({"form": [1, 2]})
    again = ToolCall(agent=ANN, name="t", arguments={"x": 1}, call_id="2")
    with Run(path) as run, run.kernel.syscall(again) as grant:
        assert not grant.lease
        assert grant.replay == {"form": [1, 2]}
        with pytest.raises(JournalError, match="through the same adapter"):
            grant.reply()


def test_a_tool_whose_result_could_not_be_kept_is_not_run_twice(path):
    """Unless it is declared to do no harm."""
    call = ToolCall(agent=ANN, name="send", arguments={"to": "bob"})
    with Run(path) as run, run.kernel.syscall(call) as grant:
        grant.record(opaque="a socket")
    with Run(path) as run, pytest.raises(JournalError, match="not run a second time"):
        run.kernel.syscall(call).__enter__()
    with Run(path, idempotent=["se*"]) as run, run.kernel.syscall(call) as grant:
        assert grant.lease


def test_a_refused_call_is_refused_although_its_answer_is_known(path):
    """Access is decided today, not by yesterday's journal; the agent of the context counts."""

    def check(call, process):
        if process.name == "eve":
            raise AccessDenied("not eve")

    with Run(path) as run:
        run.ask("a", Agent(name="eve"))
    with Run(path, checks=(check,)) as run:
        token = current_agent.set(Agent(name="eve"))
        with pytest.raises(AccessDenied):
            run.ask("a", None)
        current_agent.reset(token)


def test_a_damaged_tail_loses_nothing_acknowledged(path):
    """A process that died leaves a log behind it; rubbish after its end, and a lost index, do no harm."""
    run = Run(path)
    texts = [run.ask(str(n)).text for n in range(20)]
    copy = path.with_name("copy.journal")
    for end in ("", "-wal", ".key"):
        copy.with_name(copy.name + end).write_bytes(path.with_name(path.name + end).read_bytes())
    run.kernel.close()
    with copy.with_name(copy.name + "-wal").open("ab") as file:
        file.write(os.urandom(5000))
    with Run(copy) as run:
        assert [run.ask(str(n)).text for n in range(20)] == texts
        assert run.asked == []


def test_a_file_that_is_no_journal_is_told(tmp_path):
    """Nothing of somebody else's is touched."""
    text = tmp_path / "notes.txt"
    text.write_text("notes " * 500, encoding="utf-8")
    with pytest.raises(JournalError, match=r"notes\.txt cannot be opened"):
        Journal(text)
    other = sqlite3.connect(tmp_path / "other.db")
    other.execute("CREATE TABLE t (x)")
    other.close()
    with pytest.raises(JournalError, match="no journal of this version"):
        Journal(tmp_path / "other.db")
    with pytest.raises(JournalError, match="there is no journal"):
        Journal(tmp_path / "missing", "strict")
    with pytest.raises(ConfigError, match="journal mode"):
        Journal(tmp_path / "x", "rewind")
    assert text.read_text(encoding="utf-8") == "notes " * 500


def test_only_its_owner_reads_it_and_requests_hold_no_secrets(path):
    """The file is 0600, its log too; keys in a request are not in it."""
    secret = "sk-proj-" + "A1b2C3d4" * 5
    with Run(path) as run:
        with run.kernel.syscall(
            ToolCall(agent=ANN, name="t", arguments={"api_key": "hunter2hunter2", "text": secret})
        ) as grant:
            grant.record(1)
        files = list(path.parent.iterdir())
        assert sorted(file.name for file in files) == [f"run.journal{end}" for end in ("", "-shm", "-wal", ".key")]
        for file in files:
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
            assert secret.encode() not in file.read_bytes()
            assert b"hunter2" not in file.read_bytes()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_goes_on(path):
    """Parent and child record into one journal; a re-run finds both."""
    with Run(path) as run:
        run.ask("parent")
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                run.ask("child")
                code = 0
            finally:
                os._exit(code)
        assert os.waitpid(pid, 0)[1] == 0
        run.ask("parent again")
    with Run(path) as run:
        for text in ("parent", "child", "parent again"):
            run.ask(text)
        assert run.asked == []


def test_many_calls_share_a_sync(path):
    """What gathers while one group is being synced is the next group: a hundred calls in two commits."""
    commits = []

    def slow_disk(point):
        commits.append(point)
        if len(commits) == 1:
            wait_until(lambda: run.journal.counts["recorded"] == 100)

    with Run(path, crash_point=slow_disk) as run:
        workers = [threading.Thread(target=run.ask, args=(str(n),)) for n in range(100)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(30)
        assert commits.count("after commit") == 2
        assert len(list(run.journal.rows())) == 100


def test_a_row_that_is_written_while_a_row_is_written_waits_for_nobody(tmp_path):
    """Garbage is collected wherever something is made, also in the journal's own thread: it would wait for itself for ever."""
    inner = []

    def nested(point):
        if point == "before commit" and not inner:
            inner.append(file.write(row_for("a", "2", "llm", "chat", "{}", "{}")))
            inner[0].wait()

    file = File(tmp_path / "j", crash_point=nested)
    file.write(row_for("a", "1", "llm", "chat", "{}", "{}")).wait()
    file.close()
    with contextlib.closing(File(tmp_path / "j")) as again:
        assert [row.hash for row in again.rows()] == ["1", "2"]
