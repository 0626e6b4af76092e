"""Embedders by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aios_kernel.embedding.lexical import LexicalEmbedder
from aios_kernel.embedding.minilm import MiniLMEmbedder
from aios_kernel.embedding.through_kernel import KernelEmbedder
from aios_kernel.errors import UnknownName

if TYPE_CHECKING:
    from collections.abc import Callable

    from aios_kernel.embedding.base import Embedder
    from aios_kernel.gate import Gate

__all__ = ["make_embedder"]


def make_embedder(spec: Embedder | str | None, gate: Callable[[], Gate]) -> Embedder:
    """Return the embedder for a spec: an object, "lexical" (also None), "minilm", or "kernel:MODEL", which a core of `gate()` serves.

    Raises `UnknownName`.
    """
    if spec is not None and not isinstance(spec, str):
        return spec
    name, _, argument = (spec or "lexical").partition(":")
    if name == "kernel" and argument:
        return KernelEmbedder(gate, argument)
    if name == "lexical":
        return LexicalEmbedder()
    if name == "minilm":
        return MiniLMEmbedder()
    raise UnknownName("embedder", spec or "", ["lexical", "minilm", "kernel:MODEL"])
