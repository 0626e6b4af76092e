"""A scripted core that plays a capable model, registered under the name "scripted"; run as a module, it is `aios`.

`python -m tests.adapters.cli.scripted_model demo --model scripted`; "scripted:5" takes five seconds for each call.
"""

from __future__ import annotations

import json
import re
import sys
from typing import Any

from aios_kernel.abi import ChatCall, LLMCall, Reply, ToolRequest
from aios_kernel.cores import registry
from aios_kernel.cores.scripted import ScriptedCore
from aios_kernel.scheduling import FixedLimiter

PLANS: dict[str, list[tuple[str, dict[str, str]]]] = {
    r"Calculate (\d+) plus (\d+) and remember the result as (\w+)": [
        ("calculate", {"expression": r"\1 + \2"}),
        ("remember", {"key": r"\3", "value": "$"}),
    ],
    r"What is (\d+) times (\d+)": [("calculate", {"expression": r"\1 * \2"})],
    r"What is (\d+) plus (\d+)": [("calculate", {"expression": r"\1 + \2"})],
    r"What is (\d+) minus (\d+)": [("calculate", {"expression": r"\1 - \2"})],
    r"Remember that my (.+) is (.+)\.$": [("remember", {"key": r"\1", "value": r"\2"})],
    r'Write "(.+)" to (\S+)\.$': [("write_file", {"path": r"\2", "content": r"\1"})],
    r"What is my (.+)\?": [("recall", {"key": r"\1"})],
    r"What does the file (\S+) say": [("read_file", {"path": r"\1"})],
}


def script(call: LLMCall) -> Reply | str:
    """Ask for the next tool of the plan, or give its last result as the answer."""
    assert isinstance(call, ChatCall)
    question = next(_text(m) for m in call.messages if m["role"] == "user")
    results = [_text(m).removeprefix("Observation: ") for m in call.messages if _is_result(m)]
    steps = _plan(question)
    if len(results) == len(steps):
        answer = f"Done: {results[-1]}"
        return answer if call.tools else f"Thought: done\nFinal Answer: {answer}"
    name, arguments = steps[len(results)]
    text = json.dumps({key: value.replace("$", results[-1] if results else "") for key, value in arguments.items()})
    if not call.tools:
        return f"Thought: go on\nAction: {name}\nAction Input: {text}"
    return Reply(tool_calls=(ToolRequest(id=f"call_{len(results)}", name=name, arguments=text),))


def _plan(question: str) -> list[tuple[str, dict[str, str]]]:
    for pattern, steps in PLANS.items():
        if found := re.match(pattern, question):
            return [(name, {key: found.expand(value) for key, value in args.items()}) for name, args in steps]
    raise LookupError(question)


def _is_result(message: Any) -> bool:
    return message["role"] == "tool" or _text(message).startswith("Observation: ")


def _text(message: Any) -> str:
    content = message.get("content") or ""
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


def make(latency: str = "0.01") -> ScriptedCore:
    """Return a core that serves two calls at a time."""
    return ScriptedCore(script, latency=float(latency), limiter=FixedLimiter(2))


registry.BUILT_IN["scripted"] = ("tests.adapters.cli.scripted_model", "make")

if __name__ == "__main__":
    from aios_adapters.cli import main

    sys.exit(main())
