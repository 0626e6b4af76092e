"""Tools and code: each use is one syscall, and what the kernel refuses reaches the model as a failed tool."""

from __future__ import annotations

import asyncio
import json
import threading

import pytest
from autogen_agentchat.agents import AssistantAgent, CodeExecutorAgent
from autogen_agentchat.base import Handoff
from autogen_agentchat.messages import CodeExecutionEvent, HandoffMessage
from autogen_core import CancellationToken
from autogen_core.code_executor import CodeBlock, CodeExecutor, CodeResult
from autogen_core.tools import FunctionTool, StaticStreamWorkbench, TextResultContent, ToolResult, Workbench
from autogen_ext.models.replay import ReplayChatCompletionClient

from aios_kernel.abi import ToolCall
from aios_kernel.errors import AccessDenied
from aios_kernel.kernel import Kernel
from tests.adapters.autogen.programs import CODE, INFO, Slices, agent, client, nested, weigh
from tests.support import columns

pytestmark = pytest.mark.shows(columns.TOOLS)


def denying(name: str) -> Kernel:
    """A kernel that refuses one tool."""

    def check(call, process):
        if isinstance(call, ToolCall) and call.name == name:
            raise AccessDenied(f"{process.name} may not use {name}")

    return Kernel(checks=(check,))


@pytest.fixture
def deny(enabled):
    kernels = []

    def start(name):
        kernels.append(denying(name))
        return enabled(kernel=kernels[-1])

    yield start
    for kernel in kernels:
        kernel.close()


@pytest.mark.shows(columns.DENIAL)
async def test_denied(endpoint, deny):
    """The agent goes on, its result is marked as an error, and its model reads why in the next request."""
    deny("weigh")
    async with client(endpoint.base_url) as llm:
        result = await agent(llm, "weigh and measure", reflect_on_tool_use=True)
    executed = {one.name: one for one in result.messages[2].content}
    assert executed["weigh"].is_error
    assert not executed["measure"].is_error
    told = [message["content"] for message in endpoint.requests[1].body["messages"] if message["role"] == "tool"]
    assert "alice may not use weigh" in told
    assert result.messages[-1].type == "TextMessage"


@pytest.mark.shows(columns.DENIAL)
async def test_denied_agent_tool(endpoint, deny):
    """An agent used as a tool runs as a stream; its refusal reaches the model all the same."""
    deny("inner")
    async with client(endpoint.base_url) as llm:
        result = await nested(llm)
    assert result.messages[2].content[0].is_error
    assert len(endpoint.requests) == 1


async def test_own_exception(enabled):
    """What a tool raises comes out as it is, or becomes AutoGen's failed result, with the kernel or without."""

    def fail(what: str) -> str:
        raise ZeroDivisionError(what)

    tool = FunctionTool(fail, "Fail.")
    kernel = enabled()
    with pytest.raises(ZeroDivisionError, match="apple"):
        await tool.run_json({"what": "apple"}, CancellationToken())
    assert kernel.status().agents[0]["failed"] == 1


async def test_streaming_tool(enabled):
    """A tool that yields is one syscall, with the same pieces and the same final result."""
    bench = StaticStreamWorkbench([Slices()])
    native = [item async for item in bench.call_tool_stream("slices", {"what": "pie"})]
    kernel = enabled()
    assert [item async for item in bench.call_tool_stream("slices", {"what": "pie"})] == native
    assert kernel.status().syscalls == {"tool": 1}


async def test_handoffs_are_no_tools(deny):
    """A handoff names the next speaker and runs nothing: it is no syscall, and cannot be refused into a crash."""
    kernel = deny("transfer_to_bob")
    call = {"id": "c", "name": "transfer_to_bob", "arguments": "{}"}
    result = {
        "finish_reason": "function_calls",
        "content": [call],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1},
    }
    from autogen_core.models import CreateResult

    llm = ReplayChatCompletionClient([CreateResult(cached=False, **result)], model_info=INFO)
    reply = await AssistantAgent("alice", llm, handoffs=[Handoff(target="bob")]).run(task="go")
    assert isinstance(reply.messages[-1], HandoffMessage)
    assert "tool" not in kernel.status().syscalls


class Recorder(CodeExecutor):
    """A code executor that runs nothing."""

    async def execute_code_blocks(self, code_blocks, cancellation_token):
        return CodeResult(exit_code=0, output=f"ran {len(code_blocks)}")

    async def start(self):
        pass

    async def stop(self):
        pass

    async def restart(self):
        pass


@pytest.mark.shows(columns.CODE)
@pytest.mark.filterwarnings("ignore:No approval function")  # AutoGen itself warns
@pytest.mark.parametrize("denied", [False, True])
async def test_code(denied, deny):
    """Code is a tool call marked as code; a refusal is the output of a run that failed, and the agent goes on."""
    kernel = deny("execute_code_blocks" if denied else "nothing")
    calls = []
    kernel.checks.insert(0, lambda call, process: calls.append((call, process.name)))
    llm = ReplayChatCompletionClient([CODE, "all done"], model_info=INFO)
    coder = CodeExecutorAgent("coder", code_executor=Recorder(), model_client=llm)
    messages = [message async for message in coder.run_stream(task="count")]
    run = next(message for message in messages if isinstance(message, CodeExecutionEvent))
    assert (run.result.exit_code, "may not" in run.result.output) == ((1, True) if denied else (0, False))
    code = next(call for call, name in calls if isinstance(call, ToolCall) and name == "coder")
    assert code.code
    assert code.arguments == [{"language": "sh", "code": "echo 6 times 7\n"}]
    assert await Recorder().execute_code_blocks([CodeBlock(code="x", language="sh")], CancellationToken())


class Remote(Workbench):
    """A workbench without BaseTools, as that of an MCP server."""

    async def list_tools(self):
        return [{"name": "weigh", "description": "Weigh."}]

    async def call_tool(self, name, arguments=None, cancellation_token=None, call_id=None):
        return ToolResult(name=name, result=[TextResultContent(content="450 g")])

    async def start(self):
        pass

    async def stop(self):
        pass

    async def reset(self):
        pass

    async def save_state(self):
        return {}

    async def load_state(self, state):
        pass

    def _to_config(self):
        raise NotImplementedError


async def test_remote_workbench(enabled, deny):
    """The tools of a workbench without BaseTools are syscalls; a refusal is the workbench's own failed result."""
    kernel = enabled()
    assert (await Remote().call_tool("weigh", {"what": "x"})).to_text() == "450 g"
    assert kernel.status().syscalls == {"tool": 1}
    deny("weigh")
    refused = await Remote().call_tool("weigh", {"what": "x"})
    assert refused.is_error
    assert "may not use weigh" in refused.to_text()


async def test_llm_inside_a_tool(endpoint, enabled):
    """A model called inside a tool is a syscall of its own, of the agent whose tool it is."""
    async with client(endpoint.base_url) as llm:

        async def expert(what: str) -> str:
            """Ask an expert to weigh."""
            from tests.adapters.autogen.programs import create

            return (await create(llm)).content

        weigher = FunctionTool(expert, "Weigh.", name="weigh")
        kernel = enabled(limits={"llm:*": {"in_flight": 1}})
        alice = AssistantAgent("alice", llm, tools=[weigher])
        await asyncio.wait_for(alice.run(task="weigh"), 60)
    row = next(row for row in kernel.status().agents if row["name"] == "alice")
    assert (row["syscalls"]["llm"], row["syscalls"]["tool"]) == (2, 1)


async def test_sync_function_keeps_its_agent(endpoint, enabled):
    """AutoGen runs plain functions in a bare thread pool; what they call is still their agent's."""
    seen = []

    def look(what: str) -> str:
        from aios_kernel.identity import current_agent

        seen.append((current_agent.get().name, threading.current_thread() is threading.main_thread()))
        return weigh(what)

    tool = FunctionTool(look, "Weigh.", name="weigh")
    enabled()
    async with client(endpoint.base_url) as llm:
        agents = [AssistantAgent(name, llm, tools=[tool]) for name in ("alice", "bob")]
        await asyncio.gather(*(one.run(task="weigh") for one in agents))
    assert sorted(seen) == [("alice", False), ("bob", False)]
    assert json.dumps(seen)
