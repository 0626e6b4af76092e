"""Conversations: text and tool-calling models, leased and served, code, messages, identity and refusals."""

from __future__ import annotations

import json
import threading

import litellm
import pytest
from interpreter.core.core import OpenInterpreter

import aios_adapters
from aios_kernel.abi import MemoryCall, ToolCall
from aios_kernel.cores.scripted import ScriptedCore
from aios_kernel.errors import AccessDenied
from aios_kernel.kernel import Kernel
from tests.adapters.open_interpreter.programs import CODE, chat, core, make, outputs, requests, stream
from tests.support.columns import CODE as CODE_COLUMN
from tests.support.columns import DENIAL, IDENTITY, LEASE, MEMORY, ONCE, RESTORE, SERVE, STREAM, TOOLS

MODES = pytest.mark.parametrize("functions", [False, True], ids=["text", "tools"])


@pytest.fixture
def checked(enabled):
    """A kernel that notes every call, and refuses those of one kind: `checked(ToolCall)`."""
    kernels, calls = [], []

    def start(refused=()):
        def check(call, process):
            calls.append((process.name, call))
            if isinstance(call, refused):
                raise AccessDenied(f"{process.name} may not do that")

        kernels.append(Kernel(checks=(check,)))
        enabled(kernel=kernels[-1])
        return calls

    yield start
    aios_adapters.disable()
    for kernel in kernels:
        kernel.close()


@MODES
@pytest.mark.shows(LEASE, ONCE, CODE_COLUMN)
def test_leased(functions, endpoint, enabled):
    """The same messages by the same requests; two model calls and a run of code are three syscalls."""
    native, sent = chat(endpoint.base_url, functions=functions), requests(endpoint)
    endpoint.reset()
    kernel = enabled()
    assert chat(endpoint.base_url, functions=functions) == native
    assert requests(endpoint) == sent
    assert outputs(native[0]) == ["answer-42"]
    counts = kernel.status().syscalls
    assert (len(sent), counts["llm"], counts["tool"]) == (2, 2, 1)
    assert _running(kernel) == 0


@MODES
@pytest.mark.shows(LEASE, STREAM)
def test_streamed(functions, endpoint, enabled):
    """Every chunk of a streamed conversation is the same, delimiters and confirmations included."""
    native = stream(endpoint.base_url, functions=functions)
    kernel = enabled()
    assert stream(endpoint.base_url, functions=functions) == native
    assert kernel.status().syscalls["llm"] == 2
    assert _running(kernel) == 0


@MODES
@pytest.mark.shows(SERVE, STREAM, TOOLS)
def test_served(functions, endpoint, enabled):
    """A core drives the interpreter in both modes, and nothing is sent."""
    kernel = enabled(llm=ScriptedCore(core))
    messages, _ = chat(endpoint.base_url, functions=functions)
    assert outputs(messages) == ["answer-42"]
    code = next(message for message in messages if message["type"] == "code")
    assert (code["format"], code["content"].strip()) == ("shell", CODE)
    assert messages[-1]["content"] == "All done."
    assert (endpoint.requests, kernel.status().syscalls["llm"]) == ([], 2)
    assert _running(kernel) == 0


@pytest.mark.shows(CODE_COLUMN)
def test_python(endpoint, enabled):
    """Python runs in the interpreter's own Jupyter kernel, as one syscall."""
    kernel = enabled()
    messages, _ = chat(endpoint.base_url, "use python")
    assert outputs(messages) == ["42"]
    assert kernel.status().syscalls["tool"] == 1


@pytest.mark.shows(CODE_COLUMN)
def test_code_of_the_program(endpoint, checked):
    """`computer.run` of the program itself is seen with its language and code, whole and streamed."""
    one = make(endpoint.base_url)
    native = one.computer.run("shell", "echo 1")
    calls = checked()
    assert one.computer.run("shell", "echo 1") == native
    assert [c for c in one.computer.run("shell", "echo 1", stream=True) if c.get("format") == "output"]
    used = [call for _, call in calls if isinstance(call, ToolCall)]
    assert [(c.name, c.arguments, c.code) for c in used] == [
        ("execute", {"language": "shell", "code": "echo 1"}, True)
    ] * 2
    one.computer.terminate()


@MODES
@pytest.mark.shows(DENIAL)
def test_denied_code(functions, endpoint, checked):
    """The refusal is the run's output, the model reads it in the next request, and the agent goes on."""
    checked(ToolCall)
    messages, _ = chat(endpoint.base_url, functions=functions)
    assert outputs(messages) == ["interpreter may not do that"]
    assert "interpreter may not do that" in json.dumps(endpoint.requests[1].body["messages"][-1])
    assert messages[-1]["content"] == "All done."


@pytest.mark.shows(DENIAL)
def test_a_denied_model_call(endpoint, checked):
    """A refused model call is litellm's own error, asked once; the interpreter is as usable afterwards."""
    from aios_kernel.abi import LLMCall

    calls = checked(LLMCall)
    one = make(endpoint.base_url)
    with pytest.raises(litellm.PermissionDeniedError, match="interpreter may not do that"):
        one.chat("what is it", display=False)
    assert endpoint.requests == []
    assert sum(isinstance(call, LLMCall) for _, call in calls) == 1
    aios_adapters.disable()
    one.reset()
    assert outputs(one.chat("what is it", display=False)) == ["answer-42"]
    one.computer.terminate()


@pytest.mark.shows(MEMORY)
def test_messages_are_memory(endpoint, checked):
    """Each new message is added once, each model call reads them, a reset removes them; the list stays a plain list."""
    calls = checked()
    mine = []
    one = make(endpoint.base_url, messages=mine)
    one.chat("what is it", display=False)
    told = [call for _, call in calls if isinstance(call, MemoryCall)]
    assert [call.verb for call in told] == ["add", "get", "add", "add", "add", "get", "add"]
    added = [call.arguments["message"] for call in told if call.verb == "add"]
    assert [(m["role"], m["type"]) for m in added] == [
        ("user", "message"),
        ("assistant", "message"),
        ("assistant", "code"),
        ("computer", "console"),
        ("assistant", "message"),
    ]
    assert added == one.messages
    assert one.messages is mine
    assert type(one.messages) is list
    one.reset()
    assert calls[-1][1].verb == "remove"


@pytest.mark.shows(STREAM, ONCE)
def test_retries_are_part_of_the_call(endpoint, enabled):
    """Open Interpreter tries a failed call up to four times: one syscall."""
    endpoint.fail_next("fail-401", 2)
    kernel = enabled()
    one = make(endpoint.base_url)
    one.chat("just talk", display=False)
    assert (len(endpoint.requests), kernel.status().syscalls["llm"]) == (3, 1)


@pytest.mark.shows(STREAM)
def test_a_conversation_that_is_left(endpoint, enabled):
    """A reader that goes away gives the grant back at once."""
    kernel = enabled(limits={"llm:*": {"in_flight": 1}})
    one = make(endpoint.base_url)
    chunks = one.chat("just talk", display=False, stream=True)
    next(chunks)
    next(chunks)
    chunks.close()
    assert _running(kernel) == 0
    assert make(endpoint.base_url).chat("just talk", display=False)


@pytest.mark.shows(ONCE, SERVE)
def test_completions_of_ones_own(endpoint, enabled):
    """A function of the user's own as `llm.completions` is one syscall, and a core can stand in for it."""
    one = make(endpoint.base_url)

    def mine(**params):
        for text in ("my ", "own"):
            yield {"choices": [{"delta": {"content": text}}]}

    one.llm.completions = mine
    kernel = enabled()
    assert one.chat("hello", display=False)[-1]["content"] == "my own"
    assert kernel.status().syscalls["llm"] == 1
    aios_adapters.disable()
    enabled(llm=ScriptedCore(["the core's"]))
    assert one.chat("hello", display=False)[-1]["content"] == "the core's"


@pytest.mark.shows(IDENTITY)
def test_each_interpreter_is_an_agent(endpoint, enabled):
    """Two at once in threads are two agents, each with its own calls; an explicit agent's group is inherited."""
    kernel = enabled(limits={"tool:execute": {"in_flight": 1}, "llm:*": {"in_flight": 1}})
    results = []

    def work(number):
        with aios_adapters.agent(f"user {number}", group=f"group {number}"):
            results.append(outputs(chat(endpoint.base_url)[0]))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert results == [["answer-42"]] * 2
    rows = [row for row in kernel.status().agents if row["syscalls"].get("llm")]
    assert sorted((row["name"], row["group"], row["syscalls"]["llm"], row["syscalls"]["tool"]) for row in rows) == [
        ("interpreter", "group 0", 2, 1),
        ("interpreter", "group 1", 2, 1),
    ]


@pytest.mark.shows(RESTORE)
def test_nothing_of_the_program_is_changed(endpoint, enabled):
    """Neither settings nor instances carry anything of ours, during and after."""
    one = make(endpoint.base_url, auto_run=False)
    before, completions = dict(vars(one)), one.llm.completions
    enabled()
    assert (vars(one), one.llm.completions, one.auto_run) == (before, completions, False)
    chunks = list(one.chat("what is it", display=False, stream=True))
    assert any(chunk["type"] == "confirmation" for chunk in chunks)
    assert one.auto_run is False
    assert "messages" not in vars(OpenInterpreter)
    one.computer.terminate()


def _running(kernel):
    return sum(queue["running"] for queue in kernel.status().resources)
