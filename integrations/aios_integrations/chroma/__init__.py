"""chromadb as an index of vectors beside a store: faster on large collections, rebuilt whenever in doubt."""

from aios_integrations.chroma.store import ChromaStore

__all__ = ["ChromaStore"]
