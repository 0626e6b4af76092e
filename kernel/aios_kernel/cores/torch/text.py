"""From tokens to text: incremental detokenising, and stop strings that may be split over tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

__all__ = ["Detokeniser", "StopScanner", "TextStream", "held_back"]

REPLACEMENT = "\ufffd"


class Detokeniser:
    """Turn tokens into text one at a time; bytes of an unfinished character wait for the rest.

    A token is decoded together with those before it back to the last but one character border, because what a token
    reads as can depend on its neighbour (a leading space, the bytes of one character).
    """

    __slots__ = ("_decode", "_given", "_ids", "_known", "_skip")

    def __init__(self, decode: Callable[[list[int]], str], skip: Collection[int] = ()) -> None:
        self._decode = decode
        self._skip = skip
        self._ids: list[int] = []
        self._given = 0  # how many of the ids were given out as text
        self._known = ""  # their text

    def push(self, token: int) -> str:
        """Return the text that this token completes, "" while a character is unfinished."""
        if token in self._skip:
            return ""
        self._ids.append(token)
        text = self._decode(self._ids)
        if text.endswith(REPLACEMENT):
            return ""
        new = text[len(self._known) :]
        self._ids = self._ids[self._given :]
        self._given = len(self._ids)
        self._known = self._decode(self._ids)
        return new

    def flush(self) -> str:
        """Return what is left at the end, unfinished characters as U+FFFD."""
        text = self._decode(self._ids) if self._ids else ""
        new, self._known = text[len(self._known) :], text
        return new


def held_back(text: str, strings: Collection[str]) -> int:
    """Length of the longest end of `text` that could be the beginning of one of the strings."""
    longest = 0
    for string in strings:
        for size in range(min(len(string) - 1, len(text)), longest, -1):
            if text.endswith(string[:size]):
                longest = size
                break
    return longest


class StopScanner:
    """Find the first stop string in a text that comes in pieces; nothing that may belong to one is given out."""

    __slots__ = ("_stop", "_tail", "stopped")

    def __init__(self, stop: tuple[str, ...]) -> None:
        self._stop = tuple(s for s in stop if s)
        self._tail = ""
        self.stopped = False

    def push(self, text: str) -> str:
        """Return what may be given out; `stopped` tells that a stop string was found."""
        if not self._stop:
            return text
        text = self._tail + text
        at = min((i for i in (text.find(s) for s in self._stop) if i >= 0), default=-1)
        if at >= 0:
            self.stopped, self._tail = True, ""
            return text[:at]
        keep = held_back(text, self._stop)
        self._tail = text[len(text) - keep :]
        return text[: len(text) - keep]

    def flush(self) -> str:
        """Return what was held back, at the end."""
        tail, self._tail = self._tail, ""
        return tail


class TextStream:
    """The text of one reply: detokeniser, then stop strings."""

    __slots__ = ("_detokeniser", "_scanner")

    def __init__(self, detokeniser: Detokeniser, stop: tuple[str, ...]) -> None:
        self._detokeniser = detokeniser
        self._scanner = StopScanner(stop)

    def push(self, token: int) -> str:
        """Return the text that a token makes safe to give out."""
        text = self._detokeniser.push(token)
        return self._scanner.push(text) if text else ""

    def flush(self) -> str:
        """Return the rest, at the end of the reply."""
        if self.stopped:
            return ""
        text = self._scanner.push(self._detokeniser.flush())
        return text if self.stopped else text + self._scanner.flush()

    @property
    def stopped(self) -> bool:
        """Whether a stop string was met."""
        return self._scanner.stopped
