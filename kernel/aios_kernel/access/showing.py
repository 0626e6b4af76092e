"""What a person is shown before deciding: everything, with nothing in it that a terminal would hide or act upon."""

from __future__ import annotations

import json
import unicodedata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aios_kernel.access.approval import Request

__all__ = ["shown", "visible"]

# Controls, formats (bidirectional and zero-width signs, tags), private, surrogates, unassigned, separators, and marks
# that are drawn over the character before them.
_HIDDEN = frozenset({"Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp", "Mn", "Me"})
# Letters by their category, drawn as nothing.
_BLANK = frozenset("\u115f\u1160\u3164\uffa0\u2800")


def visible(text: str) -> str:
    r"""Return the text on one line, with each character that could hide something as an escape (`\n`, `\u202e`)."""
    return "".join(_sign(character) for character in text)


def _sign(character: str) -> str:
    if character == "\\":
        return "\\\\"
    if " " <= character <= "~":
        return character
    kind = unicodedata.category(character)
    if kind in _HIDDEN or kind == "Zs" or character in _BLANK:
        return character.encode("unicode_escape").decode()
    return character


def shown(request: Request) -> str:
    """Return the question in full: who, what, on what, why it is asked and every argument, each line marked as such."""
    lines = [
        "A call waits for your decision.",
        f"  agent:     {_name(request.agent)}" + (f"  (group {_name(request.group)})" if request.group else ""),
        f"  action:    {_name(request.action)}",
        *(f"  target:    {_name(target)}" for target in request.targets),
        f"  because:   {visible(request.why)}",
        f"  rule:      {visible(request.rule)}",
    ]
    arguments = _lines(request.arguments)
    size = sum(map(len, arguments))
    lines.append(f"  arguments: {len(arguments)} lines, {size} characters")
    return "\n".join([*lines, *(f"  | {line}" for line in arguments)])


def _name(text: str) -> str:
    """A name; letters that are not ASCII may look like others that are, so they are spelt out, too."""
    return visible(text) if text.isascii() else f"{visible(text)}  (in ASCII: {text!a})"


def _lines(value: Any) -> list[str]:
    """Every argument by its name; texts keep their line breaks."""
    if value is None:
        return ["(none)"]
    if isinstance(value, str):
        return [visible(line) for line in value.split("\n")]
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):  # pyright: ignore[reportUnknownVariableType]
        return [line for key, one in value.items() for line in _entry(key, one)]  # pyright: ignore[reportUnknownVariableType,reportUnknownArgumentType]
    written = json.dumps(value, ensure_ascii=False, indent=2, default=repr)
    return [visible(line) for line in written.split("\n")]


def _entry(key: str, value: Any) -> list[str]:
    lines = _lines(value) if value is not None else ["null"]
    if len(lines) == 1:
        return [f"{visible(key)}: {lines[0]}"]
    return [f"{visible(key)}:", *(f"    {line}" for line in lines)]
