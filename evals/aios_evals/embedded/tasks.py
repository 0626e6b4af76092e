"""Synthetic tasks: a request, the plan of tool calls that solves it, and what must be true afterwards.

A plan step is (tool kind, arguments); "$n" in an argument or in the answer is the result of step n. Plans are run on a small
world, so the results in the traces are the true ones.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from aios_evals.embedded import wordings as w
from aios_evals.embedded.words import Source
from aios_kernel.tools import evaluate, normal_key

MISSING_NOTE = "no note under that key"
MISSING_FILE = "no file at that path"
Step = tuple[str, tuple[str, ...]]


def _calculate(expression: str) -> str:
    try:
        return evaluate(expression)
    except ValueError as error:
        return f"error: {error}"


@dataclass
class World:
    """What the tools of a task act on."""

    notes: dict[str, str] = field(default_factory=dict[str, str])
    files: dict[str, str] = field(default_factory=dict[str, str])
    answers: dict[str, str] = field(default_factory=dict[str, str])

    def run(self, kind: str, arguments: Sequence[str]) -> str:
        """Run one tool of this kind."""
        first = arguments[0] if arguments else ""
        if kind == "calculate":
            return _calculate(first)
        if kind == "remember":
            self.notes[normal_key(first)] = arguments[1]
        elif kind == "write_file":
            self.files[first] = arguments[1]
        known = {
            "remember": "saved",
            "write_file": "written",
            "recall": self.notes.get(normal_key(first), MISSING_NOTE),
            "read_file": self.files.get(first, MISSING_FILE),
        }
        return known.get(kind) or self.answers.get("|".join((kind, *arguments)), "nothing found")

    def copy(self) -> World:
        """Return an independent copy."""
        return World(dict(self.notes), dict(self.files), dict(self.answers))


@dataclass(frozen=True)
class Task:
    """One request with its solution; `must` are the texts that a right answer contains ("$n" allowed)."""

    kind: str
    request: str
    plan: tuple[Step, ...]
    answer: str
    must: tuple[str, ...] = ()
    world: World = field(default_factory=World)


@dataclass(frozen=True)
class Solved:
    """A plan that was run: the calls with their results, the answer, and the world afterwards."""

    steps: tuple[tuple[str, tuple[str, ...], str], ...]
    answer: str
    must: tuple[str, ...]
    world: World


def fill(text: str, results: Sequence[str]) -> str:
    """Put results in the place of $1, $2 ..."""
    return re.sub(r"\$(\d)", lambda found: results[int(found[1]) - 1], text)


def solve(task: Task) -> Solved:
    """Run the plan of a task on a copy of its world."""
    world, results, steps = task.world.copy(), list[str](), list[tuple[str, tuple[str, ...], str]]()
    for kind, arguments in task.plan:
        full = tuple(fill(argument, results) for argument in arguments)
        results.append(world.run(kind, full))
        steps.append((kind, full, results[-1]))
    return Solved(tuple(steps), fill(task.answer, results), tuple(fill(m, results) for m in task.must), world)


# ---------------------------------------------------------------- wording
_QUESTION = re.compile(r"(what|how|which|do you|is |can I|who|where|could|I |one costs|your|under )")


def ask(s: Source, template: str, **values: str) -> str:
    """Fill a template and vary what stands before and after it."""
    order, question = template[0].islower() and not _QUESTION.match(template), template.endswith("?")
    # A bare value at the end ("... is 4821 please") would no longer say where it ends.
    open_end = bool(re.search(r"\{[vqke]\}$", template)) and not values.get("q", "").endswith(('"', "'"))
    before = (
        s.side(w.BEFORE_ORDER, w.BEFORE_ORDER_TEST)
        if order and not question
        else s.side(w.BEFORE_OTHER, w.BEFORE_OTHER_TEST)
    )
    after = s.side(w.AFTER, w.AFTER_TEST)
    bare = template.startswith(("{", "the "))
    if bare:
        before = s.side(w.BEFORE_OTHER, w.BEFORE_OTHER_TEST)
    if after[:2] in (" f", " p", " n") and (open_end or question):
        after = ""
    text = template.format(**values)
    if question and s.chance(0.12):
        text = text[:-1]
    elif not question and not text.endswith((".", "?")) and (after[:2] not in ("", " f", " p", " n") or s.chance(0.5)):
        text += "." if s.chance(0.9) or open_end or not before.startswith(("can", "could", "will")) else "?"
        if after[:2] in (" f", " p", " n"):
            after = ""
    text = before + text + after
    return text[0].upper() + text[1:] if s.chance(0.6) else text


def quoted(s: Source, text: str) -> str:
    """Return the text in quotes or bare."""
    if "'" not in text and s.chance(0.25):
        return f"'{text}'"
    if s.chance(0.25) and not text.endswith("."):
        return text
    return f'"{text}"'


def operation(s: Source) -> tuple[str, str]:
    """Return a request for one operation, and its expression."""
    expression = s.pick(
        ["{a} + {b}"] * 4 + ["{a} - {b}"] * 4 + ["{a} * {b}"] * 4 + ["{a} / {b}"] * 3 + ["{b} * {a} / 100", "{a} * {a}"]
    )
    a, b = s.number(), s.number()
    if expression == "{a} / {b}":
        b = s.number(s.pick([1, 2, 2, 3]))
        a = str(int(b) * int(s.digits(s.pick([1, 2, 3])))) if s.chance(0.6) else a
    elif expression == "{b} * {a} / 100":
        a = s.pick(["5", "10", "15", "20", "25", "30", "40", "60", "75", s.digits(2)])
    elif s.chance(0.1):
        a += "." + s.digits(s.pick([1, 2]))
        b += "." + s.digits(1) if s.chance(0.3) else ""
    return s.side(*w.CALC[expression]).format(a=a, b=b), expression.format(a=a, b=b)


# ---------------------------------------------------------------- kinds of task
def calc_one(s: Source) -> Task:
    """Ask for one operation."""
    if s.chance(0.2):
        expression = f"{s.number()} {s.pick('+-*/')} {s.number()}"
        if s.chance(0.6):
            extra = s.number(s.pick([1, 2, 3]))
            expression = s.pick(
                [
                    f"({expression}) {s.pick('+-*')} {extra}",
                    f"{extra} {s.pick('+-*')} ({expression})",
                    f"{expression} {s.pick('+-*')} {extra}",
                ]
            )
        template, shown = s.side(*w.RAW), expression if s.chance(0.7) else expression.replace(" ", "")
        return Task(
            "calc_one", ask(s, template, e=shown), (("calculate", (expression,)),), "The result is $1.", ("$1",)
        )
    request, expression = operation(s)
    return Task("calc_one", ask(s, _plain(request)), (("calculate", (expression,)),), "The result is $1.", ("$1",))


def _plain(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


def calc_two(s: Source) -> Task:
    """Ask for two operations in a row; one expression solves both."""
    first, inner = operation(s)
    outer = s.pick(list(w.NEXT))
    c = s.number(s.pick([1, 2, 2, 3]))
    second = s.side(*w.NEXT[outer]).format(c=c)
    join = s.side(w.JOIN, w.JOIN_TEST)
    request = (
        first.rstrip("?") + join + second if not first.endswith("?") or s.chance(0.6) else f"{first} Then {second}"
    )
    return Task(
        "calc_two",
        ask(s, _plain(request)),
        (("calculate", (outer.format(e=inner, c=c),)),),
        "The result is $1.",
        ("$1",),
    )


def remember(s: Source) -> Task:
    """Ask to keep a note."""
    k, v = s.key(), s.value()
    request = ask(s, s.side(*w.REMEMBER), k=k, v=quoted(s, v) if s.chance(0.08) else v)
    return Task("remember", request, (("remember", (k, v)),), f"I saved your {k}.")


def recall(s: Source) -> Task:
    """Ask for a note, which is sometimes missing."""
    k, v = s.key(), s.value()
    request = ask(s, s.side(*w.RECALL), k=k)
    world, answer, must = World({normal_key(k): v}), f"Your {k} is $1.", ("$1",)
    if s.chance(0.12):
        world, answer, must = World(), f"I have no note for {k}.", ()
    return Task("recall", request, (("recall", (k,)),), answer, must, world)


def write(s: Source) -> Task:
    """Ask to write a file."""
    f, t = s.path(), s.content()
    return Task("write", ask(s, s.side(*w.WRITE), f=f, q=quoted(s, t)), (("write_file", (f, t)),), f"I wrote {f}.")


def read(s: Source) -> Task:
    """Ask for the text of a file, which is sometimes missing."""
    f = s.path()
    t = s.lines() if s.chance(0.12) else s.content()
    world, answer, must = World(files={f: t}), f"{f} says: $1", ("$1",)
    if s.chance(0.1):
        world, answer, must = World(), f"There is no file {f}.", ()
    return Task("read", ask(s, s.side(*w.READ), f=f), (("read_file", (f,)),), answer, must, world)


def write_read(s: Source) -> Task:
    """Ask to write a file and to read it back."""
    f, t = s.path(), s.content()
    template = s.side(*w.WRITE).rstrip("?")
    q = quoted(s, t)
    if template.endswith("{q}") and not q.endswith(('"', "'")):
        q = f'"{t}"'
    request = ask(s, template + s.side(*w.READ_BACK), f=f, q=q)
    return Task("write_read", request, (("write_file", (f, t)), ("read_file", (f,))), f"{f} says: $2", ("$2",))


def calc_remember(s: Source) -> Task:
    """Ask to calculate and to keep the result."""
    request, expression = operation(s)
    k = s.key()
    text = ask(s, _plain(request.rstrip("?")) + s.side(*w.THEN_REMEMBER), k=k)
    return Task(
        "calc_remember",
        text,
        (("calculate", (expression,)), ("remember", (k, "$1"))),
        f"The result $1 is saved as {k}.",
        ("$1",),
    )


def calc_write(s: Source) -> Task:
    """Ask to calculate and to write the result."""
    request, expression = operation(s)
    f = s.path()
    text = ask(s, _plain(request.rstrip("?")) + s.side(*w.THEN_WRITE), f=f)
    return Task(
        "calc_write", text, (("calculate", (expression,)), ("write_file", (f, "$1"))), f"I wrote $1 to {f}.", ("$1",)
    )


def recall_calc(s: Source) -> Task:
    """Ask for arithmetic on a note."""
    form = s.pick(list(w.RECALL_CALC))
    k, v, c = s.key(), s.number(), s.number(s.pick([1, 2, 3]))
    plan = (("recall", (k,)), ("calculate", (form.format(v="$1", c=c),)))
    return Task(
        "recall_calc",
        ask(s, s.side(*w.RECALL_CALC[form]), k=k, c=c),
        plan,
        "The result is $2.",
        ("$2",),
        World({normal_key(k): v}),
    )


def read_calc(s: Source) -> Task:
    """Ask for arithmetic on the number in a file."""
    form = s.pick(list(w.READ_CALC))
    f, v, c = s.path(), s.number(), s.number(s.pick([1, 2, 3]))
    plan = (("read_file", (f,)), ("calculate", (form.format(v="$1", c=c),)))
    return Task(
        "read_calc",
        ask(s, s.side(*w.READ_CALC[form]), f=f, c=c),
        plan,
        "The result is $2.",
        ("$2",),
        World(files={f: v}),
    )


def recall_write(s: Source) -> Task:
    """Ask to write a note to a file."""
    k, v, f = s.key(), s.value(), s.path()
    plan = (("recall", (k,)), ("write_file", (f, "$1")))
    return Task(
        "recall_write",
        ask(s, s.side(*w.RECALL_WRITE), k=k, f=f),
        plan,
        f"I wrote your {k} to {f}.",
        (),
        World({normal_key(k): v}),
    )


def read_remember(s: Source) -> Task:
    """Ask to keep the text of a file as a note."""
    k, f = s.key(), s.path()
    t = s.value() if s.chance(0.5) else s.content()
    plan = (("read_file", (f,)), ("remember", (k, "$1")))
    return Task(
        "read_remember", ask(s, s.side(*w.READ_REMEMBER), k=k, f=f), plan, f"I saved your {k}.", (), World(files={f: t})
    )


KINDS: Mapping[str, tuple[Callable[[Source], Task], float]] = {
    "calc_one": (calc_one, 3),
    "calc_two": (calc_two, 2),
    "remember": (remember, 3),
    "recall": (recall, 2),
    "write": (write, 3),
    "read": (read, 2),
    "write_read": (write_read, 1.5),
    "calc_remember": (calc_remember, 1),
    "calc_write": (calc_write, 1),
    "recall_calc": (recall_calc, 1),
    "read_calc": (read_calc, 0.6),
    "recall_write": (recall_write, 0.8),
    "read_remember": (read_remember, 0.8),
}
NEEDS: Mapping[str, frozenset[str]] = {
    "calc_one": frozenset({"calculate"}),
    "calc_two": frozenset({"calculate"}),
    "remember": frozenset({"remember"}),
    "recall": frozenset({"recall"}),
    "write": frozenset({"write_file"}),
    "read": frozenset({"read_file"}),
    "write_read": frozenset({"write_file", "read_file"}),
    "calc_remember": frozenset({"calculate", "remember"}),
    "calc_write": frozenset({"calculate", "write_file"}),
    "recall_calc": frozenset({"recall", "calculate"}),
    "read_calc": frozenset({"read_file", "calculate"}),
    "recall_write": frozenset({"recall", "write_file"}),
    "read_remember": frozenset({"read_file", "remember"}),
}
