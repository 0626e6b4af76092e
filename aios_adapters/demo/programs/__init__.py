"""The programs of the demonstration. They are written as any user would, and know nothing of the kernel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Protocol

__all__ = ["PROGRAMS", "Program", "Run", "available", "missing"]


class Run(Protocol):
    """What each program has: answer one question with these tools."""

    def __call__(self, question: str, tools: Sequence[Callable[..., str]], *, model: str) -> str:
        """Return the final answer."""
        ...


@dataclass(frozen=True, slots=True)
class Program:
    """One program: its framework's name, its module here, the modules it imports and how to install them."""

    framework: str
    module: str
    needs: tuple[str, ...]
    install: str

    @property
    def installed(self) -> bool:
        """Whether everything it imports is there, without importing it."""
        return all(_found(name) for name in self.needs)

    def load(self) -> Run:
        """Import the program, and with it its framework."""
        return import_module(f"{__name__}.{self.module}").run


def _found(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except (ImportError, ValueError):  # its package is missing, or something keeps it from being imported
        return False


PROGRAMS = (
    Program(
        "langgraph",
        "langgraph_agent",
        ("langchain", "langgraph", "langchain_openai"),
        "pip install 'aios-adapters[langchain]'",
    ),
    Program(
        "autogen",
        "autogen_team",
        ("autogen_agentchat", "autogen_ext", "openai"),
        "pip install 'aios-adapters[autogen]'",
    ),
    Program("openai", "react_loop", ("openai",), "pip install 'aios-adapters[openai]'"),
)


def available() -> list[Program]:
    """The programs that can run here."""
    return [program for program in PROGRAMS if program.installed]


def missing() -> dict[str, str]:
    """The frameworks that are not installed, and how to install each."""
    return {program.framework: program.install for program in PROGRAMS if not program.installed}
