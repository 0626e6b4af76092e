"""Words of a text, the way every search of ours sees them: no case, no accents, no endings of English inflection."""

from __future__ import annotations

import re
import unicodedata

__all__ = ["raw_words", "stem", "telling", "words"]

# Words that say little of what a text is about.
COMMON_WORDS = """
a about after all also an and any are as at be been but by can could did do does for from get had has have he her
him his how i if in into is it its just me my no not of on one or our out she should so some than that the their
them then there they this to too up us very was we were what when where which while who whom whose why will with
would you your
"""
COMMON = frozenset(COMMON_WORDS.split())
_WORD = re.compile(r"[^\W_]+")
_VOWEL = re.compile(r"[aeiouy]")


def words(text: str) -> list[str]:
    """The words of a text in order, lower case and without accents."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    return _WORD.findall("".join(letter for letter in plain if not unicodedata.combining(letter)))


def raw_words(text: str) -> list[str]:
    """The words of a text as they are written, each once, for a search that knows its own forms of them."""
    return list(dict.fromkeys(_WORD.findall(unicodedata.normalize("NFC", text))))


def telling(some: list[str]) -> list[str]:
    """Leave out the words that say little, unless there are no others."""
    return [word for word in some if word.casefold() not in COMMON] or some


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
