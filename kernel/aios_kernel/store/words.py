"""Words of a text, the way every search of ours sees them: no case, no accents, no endings of English inflection."""

from __future__ import annotations

import re
import unicodedata

__all__ = ["raw_words", "stem", "words"]

_WORD = re.compile(r"[^\W_]+")
_VOWEL = re.compile(r"[aeiouy]")


def words(text: str) -> list[str]:
    """The words of a text in order, lower case and without accents."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    return _WORD.findall("".join(letter for letter in plain if not unicodedata.combining(letter)))


def raw_words(text: str) -> list[str]:
    """The words of a text as they are written, each once, for a search that knows its own forms of them."""
    return list(dict.fromkeys(_WORD.findall(unicodedata.normalize("NFC", text))))


def stem(word: str) -> str:
    """Cut the commonest English endings off a word; rough, but the same for a text and its query."""
    for ending, put in (("ies", "y"), ("sses", "ss"), ("ing", ""), ("ed", ""), ("es", ""), ("ly", ""), ("s", "")):
        if word.endswith(ending):
            base = word[: -len(ending)] + put
            if len(base) > 2 and _VOWEL.search(base) and not (ending == "s" and word.endswith(("ss", "us", "is"))):
                # "planned" and "plan", "making" and "make" meet.
                doubled = ending in ("ing", "ed") and base[-1] == base[-2] and base[-1] not in "lsz"
                return (base[:-1] if doubled else base).removesuffix("e")
    return word.removesuffix("e") if len(word) > 3 else word
