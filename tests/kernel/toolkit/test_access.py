"""Tools under the access manager: what is marked destructive needs somebody's yes, what is sandboxed does not."""

from __future__ import annotations

import pytest

from aios_kernel.abi import Agent, ToolCall
from aios_kernel.access import AccessManager, Policy
from aios_kernel.errors import AccessDenied
from aios_kernel.kernel import Kernel
from aios_kernel.toolkit import Tool, ToolManager
from aios_kernel.toolkit.sandbox import Sandbox
from aios_kernel.toolkit.shipped.code import code_tools


def test_marks_decide():
    """With nobody to ask, the destructive ones are refused before they run, by whatever name the caller gives the call."""
    ran = []
    tools = [
        Tool(name="x/harmless", run=lambda: ran.append("harmless")),
        Tool(name="x/wipe", run=lambda: ran.append("wipe"), destructive=True),
        Tool(name="x/boxed", run=lambda: ran.append("boxed"), code=True),
        *code_tools(Sandbox(bwrap="no-such-bwrap", allow_unsandboxed=True)),
    ]
    manager = ToolManager(tools, shipped=(), load_entry_points=False)
    access = AccessManager(Policy(default="allow"), marks=manager.marks)
    kernel = Kernel(managers=[access, manager], checks=(access.check,))

    def ask(name, **fields):
        with kernel.syscall(ToolCall(agent=Agent(name="ann"), name=name, **fields)) as grant:
            return None if grant.lease else grant.reply().data

    for fields in ({}, {"code": True}):
        ask("x/boxed", **fields)
    ask("x/harmless")
    for name, arguments in (("x/wipe", {}), ("aios/python", {"code": "1"}), ("aios/shell", {"code": "true"})):
        with pytest.raises(AccessDenied):
            ask(name, arguments=arguments)
    # A framework's own tool of the same name is not the kernel's: nothing is known of where its code runs.
    with pytest.raises(AccessDenied):
        ask("x/boxed", code=True, lease=True)
    assert ran == ["boxed", "boxed", "harmless"]
    kernel.close()
