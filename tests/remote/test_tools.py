"""Tools of a shared kernel: another process's calls are checked, run, limited and answered as those of this one."""

from __future__ import annotations

import threading

import pytest

import aios_adapters
from aios_adapters.tools import for_openai
from aios_kernel.abi import Agent, ToolCall
from aios_kernel.errors import ToolArguments, ToolFailed, ToolTimeout, ToolUnavailable, ToolUnknown
from aios_kernel.identity import current_agent
from aios_kernel.toolkit import Tool, ToolManager
from aios_kernel.toolkit.sandbox import Sandbox
from aios_kernel.toolkit.shipped.code import code_tools
from tests.support.waiting import wait_until


def ask(gate, name, arguments=None, agent="ann"):
    with gate.syscall(ToolCall(agent=Agent(name=agent), name=name, arguments=arguments)) as grant:
        return grant.reply().data


def whose() -> str:
    """Say who calls."""
    agent = current_agent.get()
    return agent.name if agent else ""


def fail() -> None:
    """Fail."""
    raise ZeroDivisionError("by nothing")


def long() -> str:
    """Say much."""
    return "x" * 50_000


def test_tools_of_a_daemon(rig):
    """Results, identity and every kind of error arrive as they are in the kernel's own process."""
    hang = threading.Event()
    tools = [whose, fail, long, Tool(name="local/hang", run=hang.wait, timeout=0.3)]
    manager = ToolManager(tools, shipped=code_tools(Sandbox(bwrap="no-such-bwrap")), load_entry_points=False)
    remote = rig.serve(managers=[manager])
    assert ask(remote, "local/whose", agent="ben") == "ben"
    stored = ask(remote, "local/long")
    assert ask(remote, "aios/read_result", {"reference": stored["stored"], "length": 5})["text"] == "xxxxx"
    for name, arguments, error, says in (
        ("local/whose", {"x": 1}, ToolArguments, "no arguments are taken"),
        ("whose", {}, ToolUnknown, "Did you mean 'local/whose'"),
        ("local/fail", None, ToolFailed, "ZeroDivisionError: by nothing"),
        ("local/hang", None, ToolTimeout, "within 0.3 seconds"),
        ("aios/python", {"code": "print(1)"}, ToolUnavailable, "Install bubblewrap"),
    ):
        with pytest.raises(error, match=says):
            ask(remote, name, arguments)
    hang.set()
    wait_until(lambda: not manager.status()["hanging"])
    with remote.syscall(
        ToolCall(agent=Agent(name="g", framework="langchain"), name="search", arguments={"q": 1}, lease=True)
    ) as g:
        assert g.lease
    assert any(row["origin"] == "seen in langchain" for row in ask(remote, "aios/list_tools"))


def test_handed_over_the_channel(rig):
    """What programs are handed is the same for a kernel elsewhere."""
    remote = rig.serve(managers=[ToolManager([whose], shipped=(), load_entry_points=False)])
    specs, run = for_openai("local/*", kernel=remote)
    assert [spec["function"]["name"] for spec in specs] == ["whose"]
    with aios_adapters.agent("desk"):
        assert run("whose", "{}") == "desk"
