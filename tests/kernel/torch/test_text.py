"""Text out of tokens: characters, stop strings, and nothing given out too early."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from aios_kernel.cores.torch.text import Detokeniser, StopScanner, held_back
from tests.kernel.torch.support import tokenizer

WORDS = tokenizer()


def decode(ids: list[int]) -> str:
    return WORDS.backend_tokenizer.decode(ids, skip_special_tokens=False)


@given(st.text(max_size=40))
@settings(max_examples=150, deadline=None)
def test_detokeniser_gives_the_text_back(text: str) -> None:
    """Whatever the text (several bytes a character included), the pieces add up to it."""
    stream = Detokeniser(decode)
    pieces = [stream.push(token) for token in WORDS.encode(text)]
    assert "".join(pieces) + stream.flush() == text


def test_detokeniser_waits_for_whole_characters() -> None:
    """An emoji of four byte tokens appears at once, with its last byte, and never as a replacement character."""
    stream = Detokeniser(decode)
    tokens = WORDS.encode("🦊")
    pieces = [stream.push(token) for token in tokens]
    assert len(tokens) > 1
    assert pieces == [""] * (len(tokens) - 1) + ["🦊"]


def test_detokeniser_flushes_half_a_character() -> None:
    """A reply cut inside a character ends in a replacement character, as a decoder of the whole would have it."""
    stream = Detokeniser(decode)
    tokens = WORDS.encode("ok 🦊")[:-1]
    text = "".join(stream.push(token) for token in tokens) + stream.flush()
    assert text == decode(tokens)
    assert text.startswith("ok ")


@given(
    st.text(alphabet="ab-", max_size=30),
    st.lists(st.text(alphabet="ab-", min_size=1, max_size=4), min_size=1, max_size=3),
    st.integers(1, 4),
)
@settings(max_examples=300, deadline=None)
def test_stop_strings_over_any_borders(text: str, stop: list[str], size: int) -> None:
    """However a text is cut into pieces, the same part of it is given out: all up to the first stop string."""
    scanner = StopScanner(tuple(stop))
    out = ""
    for at in range(0, len(text), size):
        out += scanner.push(text[at : at + size])
        if scanner.stopped:
            break
    else:
        out += scanner.flush()
    assert not any(s in out for s in stop)
    assert text.startswith(out)
    assert scanner.stopped or out == text


@given(st.text(alphabet="ab", max_size=12), st.lists(st.text(alphabet="ab", min_size=1, max_size=5), max_size=3))
@settings(max_examples=200, deadline=None)
def test_held_back_is_the_longest_possible_beginning(text: str, strings: list[str]) -> None:
    """What is held back is exactly the longest end that a stop string could begin with."""
    longest = max(
        (n for s in strings for n in range(min(len(s) - 1, len(text)) + 1) if text.endswith(s[:n])), default=0
    )
    assert held_back(text, strings) == longest
