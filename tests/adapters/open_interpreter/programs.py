"""Interpreters as users make them, and models that write code for them in both modes."""

from __future__ import annotations

import json

from interpreter import OpenInterpreter

from aios_evals.endpoint import ToolCall
from aios_kernel.abi import Reply, ToolRequest

CODE = "echo answer-$((6*7))"
TEXT = f"Let me see.\n```shell\n{CODE}\n```\nand more"


def told(messages) -> bool:
    """Whether the model has been told what its code did."""
    return any("Code output" in str(m.get("content")) or m.get("role") == "tool" for m in messages)


def script(prompt):
    """Write code first, in the mode that is asked for, then be done; the code is the user's where there is some."""
    if "just talk" in prompt.user_text:
        return None
    if told(prompt.messages):
        return "All done."
    language, code = ("python", "print(6*7)") if "python" in prompt.user_text else ("shell", CODE)
    code = prompt.user_text.partition("run: ")[2] or code
    if prompt.tools:
        return ToolCall("execute", {"language": language, "code": code})
    return f"Let me see.\n```{language}\n{code}\n```\nand more"


def core(call):
    """The same as a core of the kernel."""
    if told(call.messages):
        return "All done."
    if call.tools:
        arguments = json.dumps({"language": "shell", "code": CODE})
        return Reply(tool_calls=(ToolRequest(id="call_1", name="execute", arguments=arguments),))
    return TEXT


def make(url: str, *, functions: bool = False, **options) -> OpenInterpreter:
    """An interpreter that asks nobody, which is the program's own choice and never ours."""
    made = OpenInterpreter(
        **{"offline": True, "disable_telemetry": True, "conversation_history": False, "auto_run": True, **options}
    )
    llm = made.llm
    llm.model, llm.api_base, llm.api_key = "openai/sim", url, "test"
    llm.context_window, llm.max_tokens = 8000, 500
    llm.supports_functions, llm.supports_vision = functions, False
    return made


def chat(url: str, text: str = "what is it", *, functions: bool = False):
    """One conversation: its new messages, and the whole list."""
    one = make(url, functions=functions)
    try:
        return one.chat(text, display=False), one.messages
    finally:
        one.computer.terminate()


def stream(url: str, *, functions: bool = False):
    """Every chunk of one conversation."""
    one = make(url, functions=functions)
    try:
        return list(one.chat("what is it", display=False, stream=True))
    finally:
        one.computer.terminate()


def outputs(messages) -> list[str]:
    """What the code runs gave, as the model reads it."""
    return [message["content"].strip() for message in messages if message["role"] == "computer"]


#: name: (conversation, its calls to a model, its runs of code)
PROGRAMS = {
    "text": (chat, 2, 1),
    "tools": (lambda url: chat(url, functions=True), 2, 1),
    "streamed": (stream, 2, 1),
}


def seen(result: object) -> str:
    """The whole of a result."""
    return repr(result)


def requests(endpoint) -> list[str]:
    return [
        json.dumps([r.method, r.path, sorted((k, v) for k, v in r.headers.items() if k != "host"), r.body])
        for r in endpoint.requests
    ]
