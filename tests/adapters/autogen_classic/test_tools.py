"""Functions and code: each use is one syscall, and what the kernel refuses reaches the model as a failed function."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path

import autogen
import pytest
from autogen import ConversableAgent
from autogen.coding import CodeBlock, LocalCommandLineCodeExecutor, MarkdownCodeExtractor
from autogen.coding.base import CodeResult

from aios_kernel.abi import ToolCall
from aios_kernel.errors import AccessDenied
from aios_kernel.kernel import Kernel
from tests.adapters.autogen_classic.programs import PROGRAMS, config, pair, run, weigh
from tests.support.columns import ASYNC, CODE, DENIAL, IDENTITY, TOOLS


@pytest.fixture
def deny(enabled):
    """Start a kernel that refuses tools by name, and notes the calls that it sees."""
    kernels, calls = [], []

    def start(*names):
        def check(call, process):
            if isinstance(call, ToolCall):
                calls.append((process.name, call))
                if call.name in names:
                    raise AccessDenied(f"{process.name} may not use {call.name}")

        kernels.append(Kernel(checks=(check,)))
        kernels[-1].calls = calls
        return enabled(kernel=kernels[-1])

    yield start
    for kernel in kernels:
        kernel.close()


def told(endpoint):
    """What the model was told of its tools in the last request."""
    return [message["content"] for message in endpoint.requests[-1].body["messages"] if message["role"] == "tool"]


@pytest.mark.parametrize("name", ["streamed chat", pytest.param("async chat", marks=pytest.mark.shows(ASYNC))])
@pytest.mark.shows(TOOLS, DENIAL)
def test_denied(name, endpoint, deny):
    """The chat goes on, the other tool runs, and the model reads why one was refused, as AutoGen tells of failures."""
    kernel = deny("weigh")
    history, _ = run(PROGRAMS[name][0], config(endpoint.base_url))
    assert told(endpoint) == ["Error: user may not use weigh", "apple 1 is 8 cm wide"]
    assert history[-1]["content"] == "all done TERMINATE"
    asked = {call.name: (agent, call.arguments) for agent, call in kernel.calls}
    assert asked == {"weigh": ("user", {"what": "apple 0"}), "measure": ("user", {"what": "apple 1"})}


@pytest.mark.shows(TOOLS)
def test_outcomes(enabled):
    """What a function does or does not do, AutoGen says with the kernel as without; only the failures have failed."""

    def fail(what: str) -> str:
        raise ZeroDivisionError(what)

    agent = ConversableAgent("carol", llm_config=False, function_map={"weigh": weigh, "fail": fail})
    asked = [
        {"name": "weigh", "arguments": '{"what": "pear"}'},
        {"name": "fail", "arguments": '{"what": "pear"}'},
        {"name": "weigh", "arguments": "no json"},
        {"name": "nothing", "arguments": "{}"},
    ]
    native = [agent.execute_function(call) for call in asked]
    kernel = enabled()
    assert [agent.execute_function(call) for call in asked] == native
    (row,) = [row for row in kernel.status().agents if row["syscalls"]]
    assert (row["name"], row["syscalls"], row["failed"]) == ("carol", {"tool": 4}, 3)


@pytest.mark.shows(TOOLS)
def test_an_override_that_calls_its_base_is_one_call(enabled):
    """A subclass's own way to run functions and its base's are one syscall."""

    class Careful(ConversableAgent):
        def execute_function(self, func_call, **kwargs):
            return super().execute_function(func_call, **kwargs)

    kernel = enabled()
    done, result = Careful("carol", llm_config=False, function_map={"weigh": weigh}).execute_function(
        {"name": "weigh", "arguments": '{"what": "pear"}'}
    )
    assert (done, result["content"]) == (True, "pear weighs 450 g")
    assert kernel.status().syscalls == {"tool": 1}


@pytest.mark.shows(TOOLS, ASYNC)
async def test_limited(enabled):
    """A tool of which one may run at a time runs once at a time, and every caller gets its result."""
    running, most = 0, 0

    async def measure(what: str) -> str:
        nonlocal running, most
        running += 1
        most = max(most, running)
        for _ in range(3):
            await asyncio.sleep(0)
        running -= 1
        return what

    agent = ConversableAgent("carol", llm_config=False, function_map={"measure": measure})
    calls = [{"name": "measure", "arguments": json.dumps({"what": str(number)})} for number in range(4)]
    await asyncio.gather(*(agent.a_execute_function(call) for call in calls))
    assert most == 4
    most = 0
    enabled(limits={"tool:measure": {"in_flight": 1}})
    results = await asyncio.gather(*(agent.a_execute_function(call) for call in calls))
    assert [result["content"] for _, result in results] == ["0", "1", "2", "3"]
    assert most == 1


@pytest.mark.shows(TOOLS, IDENTITY)
def test_a_model_inside_a_tool(endpoint, enabled):
    """A model called inside a tool is a syscall of its own, of the agent that runs the tool."""
    llm = config(endpoint.base_url)

    def expert(what: str) -> str:
        """Ask an expert to weigh."""
        response = autogen.OpenAIWrapper(**llm).create(messages=[{"role": "user", "content": what}])
        return response.choices[0].message.content

    expert.__name__ = "weigh"
    kernel = enabled(limits={"llm:*": {"in_flight": 1}})
    assistant, user = pair(llm, tools=(expert,))
    user.initiate_chat(assistant, message="weigh", silent=True)
    rows = {row["name"]: row["syscalls"] for row in kernel.status().agents}
    assert rows["alice"]["llm"] == 2
    assert (rows["user"]["llm"], rows["user"]["tool"]) == (1, 1)


class Recorder:
    """An executor that runs nothing and inherits nothing, as AutoGen allows."""

    code_extractor = MarkdownCodeExtractor()

    def execute_code_blocks(self, code_blocks):
        return CodeResult(exit_code=0, output=f"ran {len(code_blocks)}")

    def restart(self):
        pass


@pytest.mark.parametrize("denied", [False, True])
@pytest.mark.parametrize("kind", ["local", "own", "legacy"])
@pytest.mark.shows(CODE, DENIAL)
def test_code(kind, denied, endpoint, deny):
    """Code is a tool call marked as code; a refusal is the output of a run that failed, and the agent goes on."""
    settings = {
        "local": {"executor": LocalCommandLineCodeExecutor(work_dir=Path.cwd())},
        "own": {"executor": Recorder()},
        "legacy": {"use_docker": False, "work_dir": "."},
    }[kind]
    name = "run_code" if kind == "legacy" else "execute_code_blocks"
    kernel = deny(*[name] if denied else [])
    assistant, user = pair(config(endpoint.base_url), tools=(), code_execution_config=settings)
    history = user.initiate_chat(assistant, message="write code", max_turns=2, silent=True).chat_history
    assert f"exitcode: {int(denied)}" in history[2]["content"]
    assert ("user may not use" in history[2]["content"]) == denied
    assert history[2]["content"] in json.dumps(endpoint.requests[-1].body, ensure_ascii=False).replace("\\n", "\n")
    ((agent, call),) = kernel.calls
    assert (agent, call.name, call.code) == ("user", name, True)
    assert "echo $((6 * 7))" in str(call.arguments)


@pytest.mark.shows(CODE)
def test_a_refusal_has_the_executors_own_type(deny):
    """A program that reads more of a result than its code and output still can."""
    executor = LocalCommandLineCodeExecutor(work_dir=Path.cwd())
    blocks = [CodeBlock(code="echo 1", language="sh")]
    native = executor.execute_code_blocks(blocks)
    deny("execute_code_blocks")
    refused = executor.execute_code_blocks(blocks)
    assert type(refused) is type(native)
    assert (refused.exit_code, refused.code_file) == (1, None)


@pytest.mark.shows(CODE, DENIAL)
def test_ipython(endpoint, deny):
    """AutoGen's own executor for IPython inherits nothing: its agent's first reply has it covered."""
    pytest.importorskip("jupyter_client", reason="the extra `ipython` is not installed")
    from autogen.coding.jupyter import EmbeddedIPythonCodeExecutor
    from autogen.coding.jupyter.embedded_ipython_code_executor import IPythonCodeResult

    executor = EmbeddedIPythonCodeExecutor(output_dir=str(Path.cwd()))
    agent = ConversableAgent("coder", llm_config=False, code_execution_config={"executor": executor})
    message = [{"role": "user", "content": "```python\nprint(6 * 7)\n```"}]
    deny()
    assert "Code output: 42" in agent.generate_reply(messages=message)
    kernel = deny("execute_code_blocks")
    reply = agent.generate_reply(messages=message)
    assert reply == "exitcode: 1 (execution failed)\nCode output: coder may not use execute_code_blocks"
    assert [(name, call.code) for name, call in kernel.calls] == [("coder", True)] * 2
    blocks = [CodeBlock(code="print(1)", language="python")]
    assert type(executor.execute_code_blocks(blocks)) is IPythonCodeResult
    executor._kernel_client.stop_channels()
    executor._kernel_manager.shutdown_kernel(now=True)
    executor._kernel_manager.context.destroy()


@pytest.mark.shows(CODE)
def test_a_run_that_fails_has_failed(enabled):
    """An exit code other than zero is a failed syscall with AutoGen's own result."""
    executor = LocalCommandLineCodeExecutor(work_dir=Path.cwd())
    kernel = enabled()
    assert executor.execute_code_blocks([CodeBlock(code="exit 3", language="sh")]).exit_code == 3
    assert kernel.status().agents[0]["failed"] == 1


@pytest.mark.shows(IDENTITY)
def test_tools_keep_their_agent_in_threads(endpoint, enabled):
    """Two chats in two threads, each with an agent of the same name: two processes."""
    kernel = enabled()
    chat = PROGRAMS["chat"][0]
    threads = [threading.Thread(target=chat, args=(config(endpoint.base_url),)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rows = [row for row in kernel.status().agents if "tool" in row["syscalls"]]
    assert [(row["name"], row["syscalls"]["tool"]) for row in rows] == [("user", 1), ("user", 1)]
