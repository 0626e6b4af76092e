"""Turn tasks into the exact text a model sees, in groups of conversations that share one system message."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from aios_evals.embedded import chat
from aios_evals.embedded.tasks import KINDS, NEEDS, Task, solve
from aios_evals.embedded.toolsets import CORE, OTHER, Tool, call_arguments, other_task, shipped_set, varied
from aios_evals.embedded.words import Source
from aios_kernel import react

Segment = tuple[str, bool]  # text, and whether it is the model's own (trained on)
CALL_HINT = 'To use a tool, reply <tool_call>{"name": ..., "arguments": {...}}</tool_call>'
DEFAULT_SYSTEM = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
AUTOGEN = "You are a helpful AI assistant. Solve tasks using your tools. Reply with TERMINATE when the task has been completed."
SYSTEMS = (
    ["", "", "", "You are a helpful assistant.", "You are a helpful assistant.", AUTOGEN, AUTOGEN]
    + [
        "You are an agent that uses tools.",
        "You are a helpful AI assistant. Use the tools to answer.",
        "You are an AI agent.",
    ]
    + [
        "Answer the user. Use tools when needed.",
        "You are a careful assistant with tools.",
        "Solve tasks using your tools.",
    ]
    + [
        "You are a math expert.",
        "You are the secretary of a small team.",
        "You keep notes for the user.",
        "You are a file assistant.",
    ]
    + [
        "You are worker 3. Do what you are asked and report the result.",
        "You are a planner. Work step by step and be brief.",
    ],
    [
        "",
        "You are a helpful assistant.",
        AUTOGEN,
        "You are a smart assistant. Solve the task with tools.",
        "You are an AI that helps users with tools.",
    ],
)
THOUGHTS = {
    "calculate": "I need to calculate.",
    "remember": "I need to save this in memory.",
    "recall": "I need to look in memory.",
    "write_file": "I need to write the file.",
    "read_file": "I need to read the file.",
}


@dataclass(frozen=True)
class Group:
    """Conversations with one shared prefix; `suffixes` hold what follows it."""

    prefix: str
    suffixes: list[list[Segment]]
    soft: bool = False  # learn the unchanged model's whole distribution at every token, not only its words


def turn(role: str, text: str) -> str:
    """Return one ChatML turn."""
    return f"<|im_start|>{role}\n{text}<|im_end|>\n"


def reply(text: str) -> list[Segment]:
    """Return one turn of the model."""
    return [("<|im_start|>assistant\n", False), (f"{text}<|im_end|>", True), ("\n", False)]


def tools_prefix(system: str, tools: Sequence[Tool]) -> str:
    """Return the system turn of a chat with tools."""
    lines = "\n".join(tool.line() for tool in tools)
    return turn("system", (f"{system}\n\n" if system else "") + f"Tools:\n{lines}\n{CALL_HINT}")


def react_prefix(tools: Sequence[Tool]) -> str:
    """Return the system turn of a ReAct run."""
    return turn("system", react.INSTRUCTIONS.format(tools="\n".join(tool.line() for tool in tools)))


def chat_segments(tasks: Sequence[Task], tools: Sequence[Tool], end: str = "") -> list[Segment]:
    """Render solved tasks as one chat with tool calls."""
    by_kind = {tool.kind: tool for tool in tools}
    out: list[Segment] = []
    for task in tasks:
        done = solve(task)
        out.append((turn("user", task.request), False))
        for kind, arguments, result in done.steps:
            tool = by_kind[kind]
            out += reply(
                f'<tool_call>{{"name": "{tool.name}", "arguments": {call_arguments(tool, arguments)}}}</tool_call>'
            )
            out.append((turn("tool", result), False))
        out += reply(done.answer + end)
    return out


def react_segments(task: Task, tools: Sequence[Tool]) -> list[Segment]:
    """Render a solved task as ReAct text."""
    by_kind = {tool.kind: tool for tool in tools}
    done = solve(task)
    out: list[Segment] = [(turn("user", task.request), False)]
    for kind, arguments, result in done.steps:
        tool = by_kind[kind]
        thought = THOUGHTS.get(tool.name, f"I need {tool.name}.")
        out += reply(f"Thought: {thought}\nAction: {tool.name}\nAction Input: {call_arguments(tool, arguments)}")
        out.append((turn("user", f"Observation: {result}"), False))
    return out + reply(f"Final Answer: {done.answer}")


def draw_task(s: Source, tools: Sequence[Tool]) -> Task:
    """Draw a task that these tools can do; now and then small talk or one that no tool fits."""
    have = {tool.kind for tool in tools}
    share = s.random.random()
    if share < 0.05:
        return chat.small_talk(s)
    if share < 0.15 and have <= set(CORE):
        return chat.beyond(s)
    others = [name for name in OTHER if name in have and OTHER[name].fields and OTHER[name].requests[0]]
    able = [name for name, needs in NEEDS.items() if needs <= have]
    if others and (not able or s.chance(0.45)):
        return other_task(s, s.pick(others))
    if not able:
        return chat.small_talk(s)
    chosen = s.random.choices(able, [KINDS[name][1] for name in able])[0]
    return KINDS[chosen][0](s)


def fill_group(prefix: str, budget: int, draw: Callable[[], list[Segment]]) -> Group:
    """Draw conversations until about `budget` characters are reached."""
    suffixes: list[list[Segment]] = []
    while budget > 0:
        suffixes.append(draw())
        budget -= sum(len(text) for text, _ in suffixes[-1])
    return Group(prefix, suffixes)


def draw_group(
    s: Source, budget: int, plain: Sequence[tuple[str | None, str, str]] = (), plain_share: float = 0.08
) -> Group:
    """Draw one training group of any kind; `plain` holds (system, prompt, answer) of the unchanged model."""
    if plain and s.chance(plain_share):
        system = s.pick(chat.SYSTEMS)
        own = [entry for entry in plain if entry[0] == system]
        group = fill_group(
            turn("system", DEFAULT_SYSTEM if system is None else system), budget, lambda: _plain(s.pick(own))
        )
        return replace(group, soft=True)
    tools = shipped_set(s) if s.chance(0.76) else varied(s)
    if s.chance(0.42):
        return fill_group(react_prefix(tools), budget, lambda: react_segments(draw_task(s, tools), tools))
    system = s.side(*SYSTEMS)
    end = " TERMINATE" if system == AUTOGEN else ""

    def talk() -> list[Segment]:
        if plain and s.chance(0.03):
            _, prompt, answer = s.pick(plain)
            return [(turn("user", prompt), False), *reply(answer + end)]
        return chat_segments([draw_task(s, tools) for _ in range(2 if s.chance(0.2) else 1)], tools, end)

    return fill_group(tools_prefix(system, tools), budget, talk)


def _plain(entry: tuple[str | None, str, str]) -> list[Segment]:
    _, prompt, answer = entry
    return [(turn("user", prompt), False), *reply(answer)]
