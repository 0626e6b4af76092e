"""Agents: ask the model, and run a tool where the reply starts with its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from toylib.models import Model


def run_tool(name: str, tool: Callable[[str], str], argument: str) -> str:
    """Run one tool; a failure is text for the model."""
    try:
        return tool(argument)
    except Exception as error:  # noqa: BLE001
        return f"tool {name} failed: {error}"


class Agent:
    """A model with tools."""

    def __init__(self, name: str, model: Model, tools: Mapping[str, Callable[[str], str]]) -> None:
        self.name, self.model, self.tools = name, model, tools

    def run(self, task: str) -> str:
        """Ask, run the tool that the reply names, and ask again with what it said."""
        reply = self.model.ask(task)
        name, _, argument = reply.partition(" ")
        if name not in self.tools:
            return reply
        return self.model.ask(f"{task}\n{name} said: {run_tool(name, self.tools[name], argument)}")
