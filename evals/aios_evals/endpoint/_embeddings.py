"""Deterministic embeddings: a hashed bag of tokens, so that texts with common words are near each other."""

from __future__ import annotations

import array
import base64
import hashlib
import math
import re
import sys
from typing import Any

from ._prompt import Json
from ._tokens import count_tokens

DIMENSIONS = 256


def embeddings_reply(body: Json) -> Json:
    """Return an embedding `list` for a text, a list of texts, or token ids."""
    texts = _texts(body.get("input", ""))
    size = int(body.get("dimensions") or DIMENSIONS)
    packed = body.get("encoding_format") == "base64"
    vectors = [embed(text, size) for text in texts]
    data = [
        {"object": "embedding", "index": i, "embedding": _pack(vector) if packed else vector}
        for i, vector in enumerate(vectors)
    ]
    tokens = sum(map(count_tokens, texts))
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "model": body.get("model"), "data": data, "usage": usage}


def embed(text: str, size: int = DIMENSIONS) -> list[float]:
    """Embed a text as a unit vector of signed hashed token counts."""
    vector = [0.0] * size
    for token in re.findall(r"\w+|[^\w\s]", text.lower()) or [""]:
        code = int.from_bytes(hashlib.blake2b(token.encode(), digest_size=8).digest(), "little")
        vector[(code >> 1) % size] += 1.0 if code & 1 else -1.0
    norm = math.sqrt(sum(x * x for x in vector)) or 1.0
    return [x / norm for x in vector]


def _texts(given: Any) -> list[str]:
    if isinstance(given, str):
        return [given]
    if given and isinstance(given[0], int):
        return [" ".join(map(str, given))]
    return [item if isinstance(item, str) else " ".join(map(str, item)) for item in given]


def _pack(vector: list[float]) -> str:
    """Encode little-endian float32, as the API does."""
    packed = array.array("f", vector)
    if sys.byteorder == "big":
        packed.byteswap()
    return base64.b64encode(packed.tobytes()).decode()
