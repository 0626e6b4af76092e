"""The tasks of the demonstration: drawn from a seed, small enough for a small model, and checked afterwards."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import dataclass

from aios_kernel.tools import Toolbox, normal_key

__all__ = ["Task", "draw_tasks"]

#: Given the agent's toolbox and its final answer, whether the task is solved.
Check = Callable[[Toolbox, str], bool]


@dataclass(frozen=True, slots=True)
class Task:
    """One request; `prepare` puts into the toolbox what it presupposes, `check` decides whether it was solved."""

    kind: str
    question: str
    check: Check
    prepare: Callable[[Toolbox], object] = id  # nothing to prepare


def draw_tasks(count: int, seed: int = 0) -> list[Task]:
    """Draw that many tasks, every kind in turn; the same seed gives the same tasks."""
    source = random.Random(seed)
    return [KINDS[number % len(KINDS)](source) for number in range(count)]


def _says(answer: str, value: str) -> bool:
    """Whether the answer has the value in it, as a whole number or word; 1,554 is 1554."""
    plain = re.sub(r"(?<=\d),(?=\d{3})", "", answer)
    return re.search(rf"(?<![\w.]){re.escape(value)}(?![\w]|\.\d)", plain) is not None


def _numbers(source: random.Random) -> tuple[int, int]:
    return source.randint(12, 99), source.randint(12, 99)


def _calculate(source: random.Random) -> Task:
    a, b = _numbers(source)
    wording, value = source.choice(
        [
            (f"What is {a} times {b}?", a * b),
            (f"What is {a * 7} plus {b * 3}?", a * 7 + b * 3),
            (f"What is {a + b} minus {a}?", b),
        ]
    )
    return Task("calculate", wording, lambda _, answer: _says(answer, str(value)))


def _remember(source: random.Random) -> Task:
    key, value = source.choice([*_NOTES.items()])
    return Task(
        "remember", f"Remember that my {key} is {value}.", lambda box, _: box.notes.get(normal_key(key)) == value
    )


def _recall(source: random.Random) -> Task:
    key, value = source.choice([*_NOTES.items()])

    def prepare(toolbox: Toolbox) -> None:
        toolbox.remember(key, value)

    return Task("recall", f"What is my {key}?", lambda _, answer: _says(answer, value), prepare)


def _write(source: random.Random) -> Task:
    path, content = source.choice([*_FILES.items()])
    return Task("write", f'Write "{content}" to {path}.', lambda box, _: box.read_file(path).strip() == content)


def _read(source: random.Random) -> Task:
    path, content = source.choice([*_FILES.items()])

    def prepare(toolbox: Toolbox) -> None:
        toolbox.write_file(path, content)

    return Task("read", f"What does the file {path} say?", lambda _, answer: content.lower() in answer.lower(), prepare)


def _calculate_and_remember(source: random.Random) -> Task:
    a, b = _numbers(source)
    key = source.choice(["total", "score", "budget"])
    question = f"Calculate {a} plus {b} and remember the result as {key}."
    return Task("calculate, remember", question, lambda box, _: box.notes.get(key) == str(a + b))


_NOTES = {
    "locker code": "4821",
    "favorite color": "teal",
    "seat": "14C",
    "room number": "307",
    "favorite fruit": "mango",
    "dentist": "Monday",
}
_FILES = {
    "todo.txt": "buy milk and eggs",
    "plan.txt": "ship on friday",
    "notes.txt": "call the bank",
    "list.txt": "red apples",
    "hello.txt": "hello world",
}
KINDS = [_calculate, _remember, _write, _recall, _calculate_and_remember, _read]
