"""Tools and code: each use is one syscall, and what the kernel refuses reaches the model as a failed tool."""

from __future__ import annotations

import asyncio

import pytest
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.tools import BaseTool, FunctionTool, QueryEngineTool, ToolMetadata, ToolOutput
from llama_index.core.tools.calling import acall_tool, call_tool
from llama_index.core.workflow import Context

from aios_kernel.abi import ToolCall
from aios_kernel.errors import AccessDenied
from tests.adapters.llama_index.programs import agent, coder, fail, measure, message, model, react, team, weigh
from tests.support.columns import CODE, DENIAL, ONCE, TOOLS

pytestmark = pytest.mark.shows(TOOLS)


def tools_called(deny):
    return [call for call in deny.calls if isinstance(call, ToolCall)]


@pytest.mark.shows(DENIAL)
@pytest.mark.parametrize("make", [agent, react])
async def test_denied(make, endpoint, deny):
    """The agent goes on, its tool output is an error, and the model reads why in the next request."""
    deny("weigh")
    result = await make(endpoint.base_url, "bob").run("weigh")
    (used,) = result.tool_calls
    assert (used.tool_output.is_error, used.tool_output.content) == (True, "bob may not use weigh")
    assert isinstance(getattr(used.tool_output, "exception", AccessDenied()), AccessDenied)
    assert "bob may not use weigh" in str(endpoint.requests[1].body["messages"][-1]["content"])
    assert str(result) == "It is done."


@pytest.mark.shows(DENIAL)
async def test_denied_in_a_team(endpoint, deny):
    """The agent whose turn it is is the one that is refused; the handoff before it is no tool."""
    deny("weigh")
    result = await team(endpoint.base_url).run("hand over, then weigh")
    assert [call.name for call in tools_called(deny)] == ["weigh"]
    assert result.tool_calls[-1].tool_output.content == "writer may not use weigh"
    assert str(result) == "It is done."


@pytest.mark.shows(CODE, DENIAL)
async def test_code(endpoint, deny):
    """Code that a model wrote is marked as code, and may be refused."""
    deny("nothing")
    result = await coder(endpoint.base_url).run("code")
    (call,) = tools_called(deny)
    assert (call.name, call.arguments, call.code) == ("execute", {"code": "6 * 7"}, True)
    assert result.tool_calls[0].tool_output.content == "42"
    endpoint.reset()
    deny.calls.clear()


@pytest.mark.shows(CODE, DENIAL)
async def test_denied_code(endpoint, deny):
    """The model is told that its code was not run."""
    deny("execute")
    result = await coder(endpoint.base_url).run("code")
    assert result.tool_calls[0].tool_output.content == "coder may not use execute"
    assert "coder may not use execute" in str(endpoint.requests[1].body["messages"])


@pytest.mark.shows(DENIAL, ONCE)
async def test_called_directly(deny):
    """Outside an agent a refused tool gives an output that says so; the kernel is asked once."""
    deny("weigh")
    tool = FunctionTool.from_defaults(weigh)
    outputs = [
        tool(what="pear"),
        tool.call(what="pear"),
        await tool.acall(what="pear"),
        call_tool(tool, {"what": "pear"}),
        await acall_tool(tool, {"what": "pear"}),
    ]
    assert {(output.is_error, output.content, output.tool_name) for output in outputs} == {
        (True, "root may not use weigh", "weigh")
    }
    assert [call.arguments for call in tools_called(deny)] == [{"what": "pear"}] * 5


class Plain(BaseTool):
    """A tool without an asynchronous side."""

    @property
    def metadata(self):
        return ToolMetadata(name="plain", description="Plain.")

    def __call__(self, input):  # noqa: A002
        return ToolOutput(content=f"plain {input}", tool_name="plain", raw_input={"input": input}, raw_output=input)


async def test_every_kind_of_tool(endpoint, enabled):
    """Function tools, asynchronous ones, those with a context or given values, plain and query tools are one use each."""

    async def with_context(ctx: Context, what: str) -> str:
        """Look."""
        return f"{what} {type(ctx).__name__}"

    def partial(what: str, secret: str) -> str:
        """Look."""
        return f"{what} {secret}"

    tools = [
        FunctionTool.from_defaults(with_context),
        FunctionTool.from_defaults(partial, partial_params={"secret": "s3"}),
        FunctionTool.from_defaults(measure),
        Plain(),
    ]

    async def run():
        context = Context(agent(endpoint.base_url))
        outputs = [await tools[0].acall(ctx=context, what="a"), tools[1](what="b"), tools[2](what="c")]
        outputs += [await acall_tool(tools[3], {"input": "d"}), call_tool(tools[3], {"input": "e"})]
        return [output.content for output in outputs]

    native = await run()
    kernel = enabled()
    assert await run() == native
    assert kernel.status().syscalls == {"tool": 5}


async def test_what_the_program_adds_is_hidden(deny):
    """The kernel sees what the model gave, not contexts and values that the program puts in."""

    def partial(what: str, secret: str) -> str:
        """Look."""
        return f"{what} {secret}"

    deny("nothing")
    tool = FunctionTool.from_defaults(partial, partial_params={"secret": "s3"})
    assert tool(what="b").content == "b s3"
    assert tool("a").content == "a s3"
    assert [call.arguments for call in tools_called(deny)] == [{"what": "b"}, {"what": "a"}]


async def test_failures_are_native(enabled):
    """What a tool raises is raised, and counts as a failed syscall."""
    kernel, ends = enabled(), []
    kernel.bus.subscribe(lambda event: ends.append(event.name) if event.name in {"finish", "fail"} else None)
    tool = FunctionTool.from_defaults(fail)
    with pytest.raises(ZeroDivisionError):
        tool(what="x")
    with pytest.raises(ZeroDivisionError):
        await tool.acall(what="x")
    assert ends == ["fail", "fail"]


@pytest.mark.shows(ONCE)
async def test_a_model_inside_a_tool_is_a_syscall_of_its_own(endpoint, enabled):
    """A tool that asks a model, and a query engine as a tool, wait for no turn that they hold themselves."""
    kernel = enabled(limits={"llm:*": {"in_flight": 1}, "tool:*": {"in_flight": 1}})

    async def ask(what: str) -> str:
        """Ask."""
        return str((await model(endpoint.base_url).achat(message(what))).message.content)

    helper = FunctionTool.from_defaults(ask, name="weigh")
    result = await agent(endpoint.base_url, tools=(helper,)).run("weigh")
    assert str(result) == "It is done."
    assert kernel.status().syscalls["llm"] == 3
    assert kernel.status().syscalls["tool"] == 1


async def test_limited(endpoint, enabled):
    """With one use at a time, uses of a tool do not overlap, and nothing is lost."""
    running, most = 0, 0

    async def weigh(what: str) -> str:
        """Weigh."""
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1
        return f"{what} weighs 450 g"

    agents = [agent(endpoint.base_url, f"agent-{n}", tools=(weigh,)) for n in range(4)]
    await asyncio.gather(*(one.run("weigh") for one in agents))
    assert most > 1
    most = 0
    enabled(limits={"tool:weigh": {"in_flight": 1}})
    results = await asyncio.gather(*(one.run("weigh") for one in agents))
    assert most == 1
    assert {result.tool_calls[0].tool_output.content for result in results} == {"apple 0 weighs 450 g"}


def test_a_query_engine_is_a_tool(enabled):
    """The engine's model is asked inside the tool's syscall, in one of its own."""
    from llama_index.core import MockEmbedding, VectorStoreIndex
    from llama_index.core.schema import TextNode

    from tests.adapters.llama_index.models import Words

    index = VectorStoreIndex([TextNode(text="pears")], embed_model=MockEmbedding(3))
    engine = index.as_query_engine(llm=Words())
    tool = QueryEngineTool.from_defaults(engine, name="look", description="Look.")
    native = str(tool.call("pears"))
    kernel = enabled()
    assert str(tool.call("pears")) == native
    assert kernel.status().syscalls == {"tool": 1, "llm": 1, "embedding": 1}


async def test_an_agent_as_a_tool(endpoint, enabled):
    """An agent inside another's tool is itself; the tool's use is its user's."""
    kernel = enabled()
    inner = agent(endpoint.base_url, "inner")

    async def helper(what: str) -> str:
        """Ask the other."""
        return str(await inner.run("weigh"))

    outer = FunctionAgent(name="outer", tools=[helper], llm=model(endpoint.base_url))
    await outer.run("helper")
    rows = {row["name"]: row["syscalls"] for row in kernel.status().agents if row["syscalls"]}
    assert {name: (calls["llm"], calls["tool"]) for name, calls in rows.items()} == {"outer": (2, 1), "inner": (2, 1)}
