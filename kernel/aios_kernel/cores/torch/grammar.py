"""Constrained decoding: llguidance says which tokens may come next, the engine masks the others."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from aios_kernel.errors import CoreError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

__all__ = ["JSON_STYLE", "Constraint", "GrammarCompiler", "json_rule"]

#: JSON as json.dumps writes it, which is what models have read most of; no whitespace elsewhere, or a model that likes
#: whitespace may never end.
JSON_STYLE = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}


def json_rule(schema: Mapping[str, Any], *, lenient: bool = False) -> str:
    """Return a schema as a term of a Lark grammar; `lenient` ignores keywords that cannot be enforced."""
    return "%json " + json.dumps({**schema, "x-guidance": {**JSON_STYLE, "lenient": lenient}})


class Constraint:
    """The grammar state of one reply. Not locked: it is the sequence's own."""

    __slots__ = ("_matcher",)

    def __init__(self, matcher: Any) -> None:
        self._matcher = matcher

    def blocked(self, vocabulary: int) -> NDArray[np.bool_]:
        """Return, for each token, whether it may not come next; raises CoreError when the grammar is at an end."""
        words = np.zeros((vocabulary + 31) // 32, dtype=np.int32)
        self._matcher.unsafe_compute_mask_ptr(words.ctypes.data, words.nbytes)
        self._check()
        bits = np.unpackbits(words.view(np.uint8), bitorder="little")[:vocabulary]
        return bits == 0

    def accept(self, token: int) -> bool:
        """Take the token that was drawn; return whether the reply is complete with it."""
        self._matcher.consume_token(token)
        self._check()
        return bool(self._matcher.is_stopped())

    def _check(self) -> None:
        if self._matcher.is_error():
            raise CoreError(f"the grammar of the reply failed: {self._matcher.get_error().splitlines()[0]}")


class GrammarCompiler:
    """Make constraints for one tokenizer. Safe in any thread; the vocabulary's trie is built by the first use."""

    def __init__(self, tokenizer: Any, vocabulary: int, eos: list[int]) -> None:
        self._tokenizer, self._vocabulary, self._eos = tokenizer, vocabulary, eos
        self._lock = threading.Lock()
        self._trie: Any = None

    def warm_up(self) -> tuple[Any, Any]:
        """Return llguidance and the vocabulary's trie, which takes seconds the first time."""
        llguidance = _llguidance()
        with self._lock:
            if self._trie is None:
                self._trie = llguidance.hf.from_tokenizer(
                    self._tokenizer, n_vocab=self._vocabulary, eos_token=self._eos or None
                )
            return llguidance, self._trie

    def compile(self, lark: str, what: str) -> Constraint:
        """Return the start state of a Lark grammar; raises CoreError, calling it `what`, for one that cannot be used."""
        llguidance, trie = self.warm_up()
        matcher = llguidance.LLMatcher(trie, llguidance.LLMatcher.grammar_from_lark(lark), log_level=0)
        if matcher.is_error():
            raise CoreError(
                f"{what} cannot be followed: {_reason(matcher.get_error())}; mend or simplify it, "
                f"or make the core with constrained=False"
            )
        return Constraint(matcher)


def _reason(error: str) -> str:
    return " ".join(line.strip() for line in error.strip().splitlines()[:1])


def _llguidance() -> Any:
    try:
        import llguidance
        import llguidance.hf  # pyright: ignore[reportUnusedImport]
    except ImportError as error:
        raise CoreError(
            "JSON schemas and tool calls need llguidance: pip install 'aios-adapters[torch]', "
            "or make the core with constrained=False"
        ) from error
    return llguidance
