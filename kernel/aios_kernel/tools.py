"""The tools the project ships: a calculator, notes and files in one jailed folder, as plain typed callables."""

from __future__ import annotations

import ast
import difflib
import operator
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

__all__ = ["Toolbox", "evaluate", "normal_key"]

MAX_EXPRESSION = 200
MAX_EXPONENT = 512
MAX_DIGITS = 400
MAX_FILE_BYTES = 1_000_000
ALIKE = 0.75  # of difflib's ratio, from which on two keys are taken for spellings of one

_BINARY: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: lambda a, b: a / b,
    ast.FloorDiv: lambda a, b: a // b,
    ast.Mod: operator.mod,
    ast.Pow: lambda a, b: a**b,
}
_UNARY: Mapping[type[ast.unaryop], Callable[[Any], Any]] = {ast.UAdd: operator.pos, ast.USub: operator.neg}


def evaluate(expression: str) -> str:
    """Return the value of an arithmetic expression as short text.

    Only numbers, brackets and + - * / // % ** are known; raises ValueError for anything else or too large.
    """
    if len(expression) > MAX_EXPRESSION:
        msg = "the expression is too long"
        raise ValueError(msg)
    try:
        tree = ast.parse(expression.strip().replace("^", "**"), mode="eval")
    except SyntaxError as error:
        msg = "this is not an arithmetic expression"
        raise ValueError(msg) from error
    try:
        return _number_text(_value(tree.body))
    except (ZeroDivisionError, OverflowError) as error:
        raise ValueError(str(error)) from error


def _value(node: ast.expr) -> int | float:
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        return node.value  # type: ignore[return-value]  # the line above narrows it
    if isinstance(node, ast.UnaryOp) and type(node.op) in _UNARY:
        return _UNARY[type(node.op)](_value(node.operand))
    if isinstance(node, ast.BinOp) and type(node.op) in _BINARY:
        left, right = _value(node.left), _value(node.right)
        # A power is the one operation whose result can be astronomically larger than its text.
        if isinstance(node.op, ast.Pow) and (abs(right) > MAX_EXPONENT or abs(left) > 10**6):
            msg = "the power is too large"
            raise ValueError(msg)
        return _BINARY[type(node.op)](left, right)
    msg = "only numbers and + - * / // % ** are allowed"
    raise ValueError(msg)


def _number_text(value: complex) -> str:
    if isinstance(value, complex):
        msg = "the result is not a real number"
        raise ValueError(msg)  # the value is wrong, not its type: a model wrote it
    if isinstance(value, float):
        return format(value, ".10g")
    text = str(value) if value.bit_length() < MAX_DIGITS * 3 else ""
    if not text:
        msg = "the result is too large"
        raise ValueError(msg)
    return text


def normal_key(key: str) -> str:
    """Return the form under which a note is kept: case, underscores and a leading "my" or "the" do not matter."""
    words = key.strip().strip("\"'").lower().replace("_", " ").split()
    while len(words) > 1 and words[0] in ("my", "the"):
        words = words[1:]
    return " ".join(words)


def nearest_key(key: str, keys: Iterable[str]) -> str | None:
    """Return the one kept key that is meant by `key`: the same, else the only one that shares all its words or nearly its spelling."""
    wanted, kept = normal_key(key), list(keys)
    if wanted in kept:
        return wanted
    words = set(wanted.split())
    alike = [k for k in kept if words <= set(k.split()) or words >= set(k.split())]
    alike = alike or difflib.get_close_matches(wanted, kept, n=2, cutoff=ALIKE)
    return alike[0] if len(alike) == 1 else None


class Toolbox:
    """Hold the notes and the folder that the five shipped tools work on.

    Methods never raise for what a model can get wrong: the error comes back as text it can act on. `root` is created
    when missing; without one a private temporary folder is used, which lives as long as the toolbox.
    """

    def __init__(self, root: str | Path | None = None) -> None:
        """Work on the folder `root`, or on a temporary one."""
        self.root = Path(root or tempfile.mkdtemp(prefix="aios-tools-")).resolve()
        if root is None:
            weakref.finalize(self, shutil.rmtree, self.root, ignore_errors=True)
        self.root.mkdir(parents=True, exist_ok=True)
        self.notes: dict[str, str] = {}

    def calculate(self, expression: str) -> str:
        """Evaluate an arithmetic expression."""
        try:
            return evaluate(expression)
        except ValueError as error:
            return f"error: {error}"

    def remember(self, key: str, value: str) -> str:
        """Save a value in memory under a key."""
        self.notes[normal_key(key)] = value
        return "saved"

    def recall(self, key: str) -> str:
        """Look up the value saved in memory under a key."""
        found = nearest_key(key, self.notes)
        return "no note under that key" if found is None else self.notes[found]

    def write_file(self, path: str, content: str) -> str:
        """Write text to a file."""
        target = self._inside(path)
        if target is None:
            return "error: that path is outside the folder"
        if len(content.encode()) > MAX_FILE_BYTES:
            return "error: the content is too large"
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(content, encoding="utf-8")
        except OSError as error:
            return f"error: {error.strerror or error}"
        return "written"

    def read_file(self, path: str) -> str:
        """Read the text of a file."""
        target = self._inside(path)
        if target is None:
            return "error: that path is outside the folder"
        try:
            return target.read_text(encoding="utf-8")[:MAX_FILE_BYTES]
        except FileNotFoundError:
            return "no file at that path"
        except (OSError, UnicodeDecodeError) as error:
            return f"error: {getattr(error, 'strerror', None) or 'not a text file'}"

    def _inside(self, path: str) -> Path | None:
        """Return the file behind `path`, or None when it leaves the folder (also through links)."""
        try:
            target = (self.root / path.strip().lstrip("/")).resolve()
        except (OSError, ValueError):
            return None
        return target if target.is_relative_to(self.root) and target != self.root else None

    def functions(self) -> list[Callable[..., str]]:
        """Return the five tools as callables, for a framework to wrap."""
        return [self.calculate, self.remember, self.recall, self.write_file, self.read_file]

    def call(self, name: str, arguments: Mapping[str, object]) -> str:
        """Run the tool `name`; unknown names and wrong arguments come back as text."""
        function = {function.__name__: function for function in self.functions()}.get(name)
        if function is None:
            return f"error: there is no tool named {name}"
        wanted = _parameters(function)
        if set(arguments) != set(wanted):
            return f"error: {name} takes {', '.join(wanted)}"
        return function(**{key: str(value) for key, value in arguments.items()})

    @classmethod
    def specs(cls) -> list[dict[str, Any]]:
        """Return the tools in the form of the OpenAI API."""
        methods = (cls.calculate, cls.remember, cls.recall, cls.write_file, cls.read_file)
        return [
            {
                "type": "function",
                "function": {
                    "name": method.__name__,
                    "description": method.__doc__ or "",
                    "parameters": {
                        "type": "object",
                        "properties": {name: {"type": "string"} for name in _parameters(method)},
                        "required": _parameters(method),
                    },
                },
            }
            for method in methods
        ]


def _parameters(function: Callable[..., str]) -> list[str]:
    return [name for name in function.__annotations__ if name != "return"]
