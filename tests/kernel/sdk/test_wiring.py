"""Where kernels get their managers: the daemon, `enable(data=)`, and a policy that the managers hear of."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import aios_adapters
from aios_adapters.cli.serve import data_folder
from aios_adapters.remote import RemoteKernel
from aios_kernel import Kernel, MemoryCall, Reply
from aios_kernel.access import AccessManager, Callback, Request, parse
from aios_kernel.address import Address, default_address
from aios_kernel.agents import ReActAgent
from aios_kernel.cores.scripted import ScriptedCore
from aios_kernel.errors import AccessDenied, CoreError, KernelClosed, UnknownName
from aios_kernel.managers.lazy import LazyManager
from aios_kernel.managers.standard import standard_managers
from aios_kernel.memory import MemoryManager
from aios_kernel.sdk import Client

POLICY = """
default = "allow"

[[rules]]
who = "bob"
do = "reads"
to = ["memory:ann", "file:agent:ann/*"]
effect = "allow"

[[rules]]
do = "storage.write"
effect = "allow"
"""


@contextlib.contextmanager
def daemon(*arguments: str) -> Iterator[tuple[RemoteKernel, subprocess.Popen[str]]]:
    """A daemon in a process of its own, and a client of it."""
    command = [sys.executable, "-m", "aios_adapters", "serve", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        first = process.stdout.readline()
        assert first.startswith("aios: ready on "), first
        with contextlib.closing(RemoteKernel(first.split()[3])) as gate:
            yield gate, process
    finally:
        process.kill()
        process.communicate()


def test_the_daemon_keeps_what_agents_keep(tmp_path: Path):
    """Notes and files outlive the daemon, in the folder it is told; it makes nothing there before."""
    data, socket = tmp_path / "data", f"--socket={tmp_path / 'k.sock'}"
    with daemon(socket, f"--data={data}") as (gate, process):
        ann = Client(gate, "ann")
        assert ann.call_tool("aios/calculator", {"expression": "6*7"}) == "42"
        assert not data.exists()
        ann.create_memory("The key is in the pot.")
        ann.write_file("a.txt", "kept")
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    with daemon(socket, f"--data={data}") as (gate, _):
        ann = Client(gate, "ann")
        assert ann.search_memories("key")[0]["text"] == "The key is in the pot."
        assert ann.call_tool("aios/read_file", {"path": "a.txt"}) == "kept"


def test_a_daemon_without_managers(tmp_path: Path):
    """It leaves memory, files and tools to the programs, and writes nothing."""
    with daemon(f"--socket={tmp_path / 'k.sock'}", "--no-managers") as (gate, _):
        with pytest.raises(CoreError, match="MemoryManager"):
            Client(gate, "ann").create_memory("x")
        with gate.syscall(MemoryCall(verb="add")) as grant:
            assert grant.lease
    assert not (tmp_path / "k.data").exists()


def test_where_a_daemon_keeps_things(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The user's daemon in the user's folder, one with a socket of its own beside that."""
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    users = tmp_path / ".local" / "share" / "aios-adapters"
    assert data_folder(default_address()) == data_folder(Address(host="127.0.0.1", port=1)) == users
    assert data_folder(Address(path="/somewhere/k.sock")) == Path("/somewhere/k.data")
    monkeypatch.setenv("XDG_DATA_HOME", "/else")
    assert data_folder(default_address()) == Path("/else/aios-adapters")


@pytest.mark.parametrize("how", ["keyword", "environment"])
def test_enabled_with_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str):
    """The embedded kernel has them too, when it is told where."""
    if how == "environment":
        monkeypatch.setenv("AIOS_DATA", str(tmp_path / "data"))
    if how == "keyword":
        aios_adapters.enable(data=tmp_path / "data")
    else:
        aios_adapters.enable()
    try:
        gate = aios_adapters.kernel()
        assert gate is not None
        assert not (tmp_path / "data").exists()
        Client(gate, "ann").write_file("a", "b")
        assert (tmp_path / "data" / "files").is_dir()
    finally:
        aios_adapters.disable()


def test_enabled_without_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """With nothing said there are no managers and no files."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    aios_adapters.enable()
    try:
        gate = aios_adapters.kernel()
        assert isinstance(gate, Kernel)
        assert gate.managers == ()
        with pytest.raises(CoreError, match="AIOS_DATA"):
            Client(gate, "ann").write_file("a", "b")
    finally:
        aios_adapters.disable()
    assert list(tmp_path.iterdir()) == []


def test_a_setting_that_does_not_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The file's key is `data`; another is told the nearest."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "aios.toml").write_text('date = "x"\n')
    with pytest.raises(UnknownName, match="Did you mean 'data'"):
        aios_adapters.enable()


def test_the_policy_reaches_the_managers(tmp_path: Path):
    """It opens notes and files to others, and knows what is destructive and what is overwritten."""
    asked: list[tuple[str, str]] = []

    def decide(request: Request) -> bool:
        asked.append((request.agent, request.action))
        return False

    access = AccessManager(parse(POLICY), approver=Callback(decide))
    managers = standard_managers(tmp_path, access=access)
    with contextlib.closing(Kernel(checks=(access.check,), managers=[access, *managers])) as kernel:
        ann, bob = Client(kernel, "ann"), Client(kernel, "bob")
        note = ann.create_memory("for bob too")
        assert bob.get_memory(note["id"], owner="ann")["text"] == "for bob too"
        ann.write_file("a", "first")
        assert asked == []
        assert bob.read_file("a", root="agent:ann")["content"] == "first"
        with pytest.raises(AccessDenied):
            ann.write_file("a", "over it")
        with pytest.raises(AccessDenied):
            ann.call_tool("aios/forget", {"id": note["id"]})
        assert asked == [("ann", "storage.write"), ("ann", "tool.run")]


def double(n: int) -> int:
    """Double a number."""
    return 2 * n


def test_an_agent_s_own_tools(tmp_path: Path):
    """Work that an agent does itself stays its own where a manager serves such calls."""
    says = ['Thought: so.\nAction: double\nAction Input: {"n": 21}', "Final Answer: 42"]
    core = ScriptedCore([Reply(text=text) for text in says])
    with contextlib.closing(Kernel(llm=core, managers=standard_managers(tmp_path))) as kernel:
        run = ReActAgent(kernel, tools=[double]).run("twice 21?")
    assert [turn.observation for turn in run.turns] == ["42"]


def test_a_folder_that_cannot_be_used(tmp_path: Path):
    """The call says so, and the next one works once it can be."""
    (tmp_path / "data").write_text("a file")
    with contextlib.closing(Kernel(managers=standard_managers(tmp_path / "data"))) as kernel:
        with pytest.raises(CoreError, match="File exists"):
            Client(kernel, "ann").create_memory("x")
        (tmp_path / "data").unlink()
        assert Client(kernel, "ann").create_memory("x")["version"] == 1


def test_closed_before_it_was_made(tmp_path: Path):
    """A manager that was never needed is not made by closing, nor after it."""
    lazy = LazyManager("memory", lambda: MemoryManager(tmp_path / "m.db"))
    lazy.close()
    with pytest.raises(KernelClosed):
        _ = lazy.manager
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="fork is what this is about")
def test_after_a_fork(tmp_path: Path):
    """A child process goes on with what the parent had opened."""
    with contextlib.closing(Kernel(managers=standard_managers(tmp_path))) as kernel:
        Client(kernel, "ann").create_memory("of the parent")
        child = os.fork()
        if child == 0:
            code = 1
            with contextlib.suppress(BaseException):
                Client(kernel, "ann").create_memory("of the child")
                Client(kernel, "ann").write_file("a", "of the child")
                code = 0
            os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert len(Client(kernel, "ann").search_memories("of the")) == 2
        assert Client(kernel, "ann").read_file("a")["content"] == "of the child"
