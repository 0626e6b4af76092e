"""The default embedder: hashed words and pieces of words. It knows no meaning, only spelling; needs nothing, is always the same."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from functools import lru_cache
from typing import TYPE_CHECKING

from aios_kernel.store.words import stem, telling, words

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["LexicalEmbedder"]

DIMENSIONS = 512
PIECE = 3
WORD_WEIGHT, PIECES_WEIGHT = 1.0, 0.7


class LexicalEmbedder:
    """Each word and each three letters of it add to one of `dimensions` numbers, chosen by a hash.

    Texts are near where they share words or spellings: inflections and misspellings are found, synonyms are not.
    """

    def __init__(self, dimensions: int = DIMENSIONS) -> None:
        self.dimensions = dimensions

    @property
    def space(self) -> str:
        """The method, its version, and the length of its vectors."""
        return f"lexical-1/{self.dimensions}"

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """One vector of length 1 per text; zeros for a text without words."""
        return [self.embed_query(text) for text in texts]

    def embed_query(self, text: str) -> list[float]:
        """The same for one text."""
        vector = [0.0] * self.dimensions
        for word, count in Counter(telling(words(text))).items():
            weight = 1 + math.log(count)
            for place, amount in _features(word):
                vector[place % self.dimensions] += weight * amount
        length = math.sqrt(sum(number * number for number in vector))
        return [number / length for number in vector] if length else vector


@lru_cache(maxsize=20_000)
def _features(word: str) -> tuple[tuple[int, float], ...]:
    """Places and amounts of a word: of its stem, and of its pieces, which together weigh as much as `PIECES_WEIGHT`."""
    edged = f"<{word}>"
    pieces = [edged[at : at + PIECE] for at in range(len(edged) - PIECE + 1)]
    each = PIECES_WEIGHT / math.sqrt(len(pieces))
    return (_place(f"w:{stem(word)}", WORD_WEIGHT), *(_place(f"p:{piece}", each) for piece in pieces))


def _place(feature: str, amount: float) -> tuple[int, float]:
    number = int.from_bytes(hashlib.blake2b(feature.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")
    return number >> 1, amount if number & 1 else -amount
