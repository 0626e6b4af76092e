"""Embedders: texts to vectors, from spelling alone, by a model in this process, or by one elsewhere."""

from aios_kernel.embedding.base import Embedder
from aios_kernel.embedding.lexical import LexicalEmbedder
from aios_kernel.embedding.minilm import MiniLMEmbedder
from aios_kernel.embedding.registry import make_embedder
from aios_kernel.embedding.through_kernel import KernelEmbedder
from aios_kernel.embedding.wrapped import WrappedEmbedder

__all__ = ["Embedder", "KernelEmbedder", "LexicalEmbedder", "MiniLMEmbedder", "WrappedEmbedder", "make_embedder"]
