"""Memory, files, tools and access on one kernel: what the policy allows is shared, and nothing else."""

from __future__ import annotations

import pytest

from aios_kernel.abi import Agent, MemoryCall, StorageCall, ToolCall
from aios_kernel.access import AccessManager, Callback, parse, verify
from aios_kernel.errors import AccessDenied, SyscallError
from aios_kernel.kernel import Kernel
from aios_kernel.memory import MemoryManager
from aios_kernel.storage import StorageManager
from aios_kernel.toolkit import Tool, ToolManager

POLICY = """
[groups]
readers = ["ann", "bob"]

[[rules]]
who = "group:readers"
do = "reads"
to = ["memory:library", "memory:group:team", "file:agent:library/public/*"]
effect = "allow"

[[rules]]
do = "storage.write"
to = "file:agent:{agent}/*"
effect = "allow"
unattended = true

[[rules]]
do = "tool.run"
to = "tool:own/*"
effect = "allow"
"""


@pytest.fixture
def asked():
    return []


@pytest.fixture
def kernel(tmp_path, asked):
    def decide(request):
        asked.append((request.agent, request.action, request.target))
        return request.agent == "ann"

    tools = ToolManager()
    tools.add(Tool(name="own/wipe", run=lambda: "wiped", destructive=True))
    tools.add(Tool(name="own/look", run=lambda: "looked"))

    def marks(call):
        return (
            {"destructive"} if any(row["name"] == call.name and row.get("destructive") for row in tools.rows()) else ()
        )

    access = AccessManager(parse(POLICY), approver=Callback(decide), audit=tmp_path / "audit.jsonl", marks=marks)
    memory = MemoryManager(tmp_path / "memory.db", allowed=access.allowed)
    storage = StorageManager(tmp_path / "files", allow=access.allow, groups=access.groups)
    kernel = Kernel(checks=(access.check,), managers=[access, memory, storage, tools])
    yield kernel
    kernel.close()
    assert verify(tmp_path / "audit.jsonl").ok


def _do(kernel, call):
    with kernel.syscall(call) as grant:
        return grant.reply().data


def _memory(by, verb, **arguments):
    return MemoryCall(agent=Agent(name=by), verb=verb, arguments=arguments)


def _file(agent, verb, **arguments):
    return StorageCall(agent=Agent(name=agent), verb=verb, arguments=arguments)


def test_notes(kernel, asked):
    """Own notes, a library that readers may read and nobody else changes, and nobody's secrets."""
    _do(kernel, _memory("library", "add", text="the tide turns at noon"))
    note = _do(kernel, _memory("mallory", "add", text="mine"))
    for agent in ("ann", "bob"):
        assert "noon" in str(_do(kernel, _memory(agent, "retrieve", query="tide", agents=["library"])))
    refused = [
        _memory("mallory", "retrieve", query="tide", agents=["library"]),
        _memory("mallory", "retrieve", query="tide", agents=["mallory", "library"]),
        _memory("mallory", "list", agent="library"),
        _memory("ann", "add", text="x", agent="library"),
        _memory("ann", "list", agent="mallory"),
        _memory("group:team", "list", agent="group:team"),
        _memory("ann/", "list", agent="ann"),
    ]
    for call in refused:
        with pytest.raises(AccessDenied):
            _do(kernel, call)
    number = note["id"] if "id" in note else note["note"]["id"]
    with pytest.raises(AccessDenied, match="refused"):
        _do(kernel, _memory("mallory", "remove", id=number))
    assert asked == [("mallory", "memory.remove", "memory:mallory")]
    assert "mine" in str(_do(kernel, _memory("mallory", "get", id=number)))


def test_files(kernel, asked):
    """A public folder by the policy; the rest stays the owner's; deleting is asked for."""
    _do(kernel, _file("library", "write", path="public/a.txt", content="open"))
    _do(kernel, _file("library", "write", path="private/b.txt", content="shut"))
    assert _do(kernel, _file("ann", "read", root="agent:library", path="public/a.txt"))["content"] == "open"
    for call in (
        _file("ann", "read", root="agent:library", path="private/b.txt"),
        _file("ann", "read", root="agent:library", path="public/../private/b.txt"),
        _file("ann", "write", root="agent:library", path="public/a.txt", content="x"),
        _file("mallory", "read", root="agent:library", path="public/a.txt"),
        _file("library", "delete", path="public/a.txt"),
    ):
        with pytest.raises(SyscallError):
            _do(kernel, call)
    assert asked == [("library", "storage.delete", "file:agent:library/public/a.txt")]
    _do(kernel, _file("ann", "write", path="c.txt", content="x"))
    _do(kernel, _file("ann", "delete", path="c.txt"))
    assert asked[1:] == [("ann", "storage.delete", "file:agent:ann/c.txt")]


def test_tools(kernel, asked):
    """A tool that is marked destructive is asked for, another is not."""
    assert _do(kernel, ToolCall(agent=Agent(name="ann"), name="own/look", arguments={})) == "looked"
    assert asked == []
    assert _do(kernel, ToolCall(agent=Agent(name="ann"), name="own/wipe", arguments={})) == "wiped"
    with pytest.raises(AccessDenied):
        _do(kernel, ToolCall(agent=Agent(name="bob"), name="own/wipe", arguments={}))
    assert [one[0] for one in asked] == ["ann", "bob"]
