"""What a path may look like: relative, plain names, one spelling. Whether it leaves its root is not decided here."""

from __future__ import annotations

import unicodedata

from aios_kernel.errors import PathRefused, StorageError

__all__ = ["MAX_DEPTH", "MAX_NAME", "MAX_PATH", "joined", "parts_of"]

MAX_NAME = 255  # bytes of one name, as file systems have it
MAX_PATH = 2048
MAX_DEPTH = 64
# Controls, formats (bidirectional marks, zero-width signs), surrogates, line and paragraph separators.
REFUSED = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
SLASHES = frozenset("\u2044\u2215\u2216\u244a\u27cb\u27cd\u29f5\u29f6\u29f8\u29f9\u2afb\u2afd\ufe68\uff0f\uff3c\\")


def parts_of(path: object, *, root: bool = False) -> tuple[str, ...]:
    """Take a path apart; "" is the root itself where `root` allows it. Raises `PathRefused` for anything ambiguous."""
    if not isinstance(path, str):
        raise StorageError(f"a path is text, not {type(path).__name__}")
    if not path:
        if root:
            return ()
        raise StorageError("the path is empty: name a file or directory in the root")
    if path.startswith(("/", "~")):
        raise PathRefused(f"path {_shown(path)} is not relative: paths begin in the root, without '/' or '~'")
    parts = tuple(path.split("/"))
    if len(parts) > MAX_DEPTH or len(path.encode("utf-8", "surrogatepass")) > MAX_PATH:
        raise PathRefused(f"path {_shown(path)} is too long: at most {MAX_DEPTH} names and {MAX_PATH} bytes")
    for name in parts:
        _check(name, path)
    return parts


def joined(parts: tuple[str, ...]) -> str:
    """The path of its parts."""
    return "/".join(parts)


def _check(name: str, path: str) -> None:
    fault = _fault(name)
    if fault:
        raise PathRefused(f"path {_shown(path)} is refused: {fault}")


def _fault(name: str) -> str:  # noqa: PLR0911 - one line per rule
    if not name:
        return "it has an empty name between slashes, or ends with one"
    if set(name) <= {"."}:
        return f"the name {name!r} is not a plain name"
    if any(unicodedata.category(character) in REFUSED for character in name):
        return "it has a control, invisible or bidirectional character"
    if SLASHES & set(name):
        return "it has a character that is or looks like a slash"
    if name != name.strip() or name.endswith("."):
        return f"the name {_shown(name)} begins or ends with a space, or ends with a dot"
    if name != unicodedata.normalize("NFC", name):
        return f"the name {_shown(name)} is not in Unicode's normal form C"
    folded = unicodedata.normalize("NFKC", name)
    if "/" in folded or set(folded) <= {"."}:
        return f"the name {_shown(name)} stands for another path"
    if len(name.encode()) > MAX_NAME:
        return f"the name {_shown(name)} has more than {MAX_NAME} bytes"
    return ""


def _shown(text: str, limit: int = 80) -> str:
    """The text in ASCII, so that what hides in it is seen, and cut."""
    return ascii(text if len(text) <= limit else text[:limit] + "...")
