"""Tools: each use is one syscall, and what the kernel refuses reaches the model as the message of a failed tool."""

from __future__ import annotations

import asyncio

import pytest
from langchain.agents import create_agent
from langchain_core.messages import ToolMessage
from langchain_core.tools import BaseTool, StructuredTool, ToolException, tool

from aios_kernel.abi import ToolCall
from aios_kernel.errors import AccessDenied
from aios_kernel.kernel import Kernel
from tests.adapters.langchain.programs import TOOLS, ask, fail, measure, model, react, weigh
from tests.support import columns

pytestmark = pytest.mark.shows(columns.TOOLS)

CALL = {"type": "tool_call", "id": "call_1", "name": "weigh", "args": {"what": "pear"}}


@pytest.fixture
def deny(enabled):
    """A kernel that refuses one tool: `deny("weigh")`; `deny.calls` are those it was asked about."""
    kernels, calls = [], []

    def start(name):
        def check(call, process):
            calls.append(call)
            if isinstance(call, ToolCall) and call.name == name:
                raise AccessDenied(f"{process.name} may not use {name}")

        kernels.append(Kernel(checks=(check,)))
        return enabled(kernel=kernels[-1])

    start.calls = calls
    yield start
    for kernel in kernels:
        kernel.close()


@pytest.mark.shows(columns.DENIAL)
async def test_denied(endpoint, deny):
    """The agent goes on, the tool message is marked as an error, and the model reads why in the next request."""
    deny("weigh")
    for agent in (create_agent(model(endpoint.base_url), [weigh], name="bob"), react(endpoint.base_url, "bob")):
        endpoint.reset()
        result = agent.invoke(ask("weigh"))
        message = result["messages"][2]
        assert (message.status, message.name, message.content) == ("error", "weigh", "bob may not use weigh")
        told = endpoint.requests[1].body["messages"][-1]
        assert (told["role"], told["content"]) == ("tool", "bob may not use weigh")
        assert result["messages"][-1].type == "ai"


@pytest.mark.shows(columns.DENIAL)
async def test_denied_in_parallel(endpoint, deny):
    """Of two tools at once, the one refused fails and the other works."""
    deny("measure")
    result = await create_agent(model(endpoint.base_url), TOOLS).ainvoke(ask("weigh and measure"))
    assert [(m.name, m.status) for m in result["messages"] if m.type == "tool"] == [
        ("weigh", "success"),
        ("measure", "error"),
    ]


@pytest.mark.shows(columns.DENIAL)
async def test_denied_outside_an_agent(deny):
    """A refusal is a message where there is a call to answer, else the tool's own form of a failure."""
    deny("weigh")
    for message in (weigh.invoke(CALL), await weigh.ainvoke(CALL)):
        assert (type(message), message.status, message.tool_call_id) == (ToolMessage, "error", "call_1")
    with pytest.raises(ToolException, match="may not use weigh") as raised:
        weigh.invoke({"what": "pear"})
    assert isinstance(raised.value.__cause__, AccessDenied)
    handled = StructuredTool.from_function(weigh.func, name="weigh", handle_tool_error=lambda error: f"sorry: {error}")
    assert handled.invoke({"what": "pear"}) == "sorry: root may not use weigh"
    assert handled.invoke(CALL).content == "sorry: root may not use weigh"


async def test_own_exceptions(endpoint, enabled):
    """What a tool raises comes out as natively, from the tool and from the agent; the syscall is a failed one."""
    agent = create_agent(model(endpoint.base_url), [fail])
    kernel = enabled()
    for use in (lambda: fail.invoke({"what": "x"}), lambda: agent.invoke(ask("fail"))):
        with pytest.raises(ZeroDivisionError):
            use()
    with pytest.raises(ZeroDivisionError):
        await fail.ainvoke({"what": "x"})
    assert sum(row["failed"] for row in kernel.status().agents) == 3


def test_a_failure_the_tool_handles(enabled):
    """An error that a tool turns into a message stays that message, and counts as failed."""

    @tool
    def shaky(what: str) -> str:
        """Shake."""
        raise ToolException(what)

    shaky.handle_tool_error = True
    native = shaky.invoke({**CALL, "name": "shaky"})
    kernel = enabled()
    assert shaky.invoke({**CALL, "name": "shaky"}) == native
    assert native.status == "error"
    assert kernel.status().agents[0]["failed"] == 1


def test_what_the_kernel_is_told(deny):
    """The call has the tool's name, its arguments and the id of the model's call."""
    deny("nothing")
    weigh.invoke(CALL)
    weigh.run({"what": "plum"})
    first, second = deny.calls
    assert (first.name, first.arguments, first.call_id) == ("weigh", {"what": "pear"}, "call_1")
    assert (second.arguments, second.call_id) == ({"what": "plum"}, None)


async def test_a_tool_of_ones_own_class(enabled):
    """A class with its own `run` that calls the base's is one syscall; a reference taken before is caught."""

    class Mine(BaseTool):
        name: str = "mine"
        description: str = "Mine."

        def _run(self, what: str) -> str:
            return what

        def run(self, *args, **kwargs):
            return super().run(*args, **kwargs)

    run = weigh.invoke
    kernel = enabled()
    assert Mine().invoke({"what": "a"}) == "a"
    assert await Mine().ainvoke({"what": "a"}) == "a"
    assert run({"what": "a"}) == "a weighs 450 g"
    assert kernel.status().syscalls == {"tool": 3}


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_llm_inside_a_tool(asynchronous, endpoint, enabled):
    """A model called inside a tool is a syscall of its own, of the same agent, and cannot lock itself out."""

    @tool("weigh")
    def expert(what: str) -> str:
        """Weigh."""
        return model(endpoint.base_url).invoke(what).text

    kernel = enabled(limits={"*": {"in_flight": 1}})
    agent = create_agent(model(endpoint.base_url), [expert, measure], name="bob")
    if asynchronous:
        await asyncio.wait_for(agent.ainvoke(ask("weigh")), 60)
    else:
        agent.invoke(ask("weigh"))
    assert [(row["name"], row["syscalls"]) for row in kernel.status().agents if row["syscalls"]] == [
        ("bob", {"llm": 3, "tool": 1})
    ]
