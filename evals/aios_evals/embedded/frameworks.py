"""The held-out tasks through real programs: LangGraph, AutoGen and a ReAct loop, unchanged, on the kernel's own core."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import aios_adapters
from aios_adapters.demo.programs import PROGRAMS, Run
from aios_evals.embedded.evaluate import shipped_tasks, succeeded
from aios_evals.embedded.tasks import Task, World
from aios_kernel.tools import Toolbox

FRAMEWORKS = {program.framework: program for program in PROGRAMS}


@dataclass
class Attempt:
    """One task given to one program."""

    task: Task
    used: set[str | None] = field(default_factory=set[Any])
    final: str | None = None
    error: str = ""
    good: bool = False


def _recorded(function: Callable[..., str], used: set[str | None]) -> Callable[..., str]:
    @functools.wraps(function)
    def call(*args: str, **kwargs: str) -> str:
        used.add(function.__name__)
        return function(*args, **kwargs)

    return call


def _box(world: World) -> Toolbox:
    box = Toolbox()
    for key, value in world.notes.items():
        box.remember(key, value)
    for path, content in world.files.items():
        box.write_file(path, content)
    return box


def _world(box: Toolbox) -> World:
    files = {
        str(path.relative_to(box.root)): path.read_text(encoding="utf-8")
        for path in box.root.rglob("*")
        if path.is_file()
    }
    return World(dict(box.notes), files)


def _try(attempt: Attempt, program: Run, number: int, model: str) -> None:
    box = _box(attempt.task.world)
    tools = [_recorded(function, attempt.used) for function in box.functions()]
    try:
        with aios_adapters.agent(f"agent-{number}"):
            attempt.final = program(attempt.task.request, tools, model=model)
    except Exception as error:  # noqa: BLE001  # one program's failure is one task lost
        attempt.error = f"{type(error).__name__}: {error}"[:300]
    attempt.good = not attempt.error and succeeded(attempt.task, attempt.final, attempt.used, _world(box))


def evaluate(framework: str, count: int, seed: int, *, workers: int = 12, tasks: Sequence[Task] = ()) -> list[Attempt]:
    """Run `count` held-out tasks of every kind through one framework's program on the embedded model."""
    program = FRAMEWORKS[framework].load()
    attempts = [Attempt(task) for task in (tasks or shipped_tasks(count, seed))]
    aios_adapters.enable("embedded")
    try:
        with ThreadPoolExecutor(workers) as pool:
            for number, attempt in enumerate(attempts):
                pool.submit(_try, attempt, program, number, "embedded")
    finally:
        aios_adapters.disable()
    return attempts
