"""A ReAct loop on the openai SDK, in the style of the original notebooks: a prompt, a parser, a dictionary of tools."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Sequence

import openai
from openai.types.chat import ChatCompletionMessageParam

PROMPT = """Answer the question with these tools:
{tools}

Format:
Thought: what to do
Action: a tool name
Action Input: the arguments as JSON
Observation: the result
... (repeat when needed)
Final Answer: the answer"""
ACTION = re.compile(r"Action:\s*(\w+)\s*\nAction Input:\s*(.*)", re.DOTALL)
MAX_STEPS = 6


def run(question: str, tools: Sequence[Callable[..., str]], *, model: str) -> str:
    """Answer one question with these tools."""
    client = openai.OpenAI(base_url="http://127.0.0.1:9/v1", api_key="not-needed")
    by_name = {tool.__name__: tool for tool in tools}
    messages: list[ChatCompletionMessageParam] = [
        {"role": "system", "content": system_prompt(tools)},
        {"role": "user", "content": question},
    ]
    text = ""
    for _ in range(MAX_STEPS):
        reply = client.chat.completions.create(model=model, messages=messages, temperature=0, stop=["\nObservation:"])
        text = reply.choices[0].message.content or ""
        if "Final Answer:" in text:
            return text.split("Final Answer:", 1)[1].strip()
        messages.append({"role": "assistant", "content": text.rstrip()})
        messages.append({"role": "user", "content": f"Observation: {act(text, by_name)}"})
    return text


def system_prompt(tools: Sequence[Callable[..., str]]) -> str:
    """Return the instructions, with one line for each tool."""
    return PROMPT.format(tools="\n".join(f"- {tool.__name__}({_parameters(tool)}) - {tool.__doc__}" for tool in tools))


def act(text: str, tools: dict[str, Callable[..., str]]) -> str:
    """Run the action that the model asks for."""
    action = ACTION.search(text)
    if action is None:
        return "error: reply with Action and Action Input, or with Final Answer"
    name, arguments = action.groups()
    if name not in tools:
        return f"error: there is no tool named {name}"
    try:
        return tools[name](**json.JSONDecoder().raw_decode(arguments)[0])
    except (ValueError, TypeError) as error:
        return f"error: {error}"


def _parameters(tool: Callable[..., str]) -> str:
    return ", ".join(f"{name}: string" for name in inspect.signature(tool).parameters)
