"""Memory: what agents remember between their calls, and find again."""

from aios_kernel.memory.lru_k import LRUK
from aios_kernel.memory.manager import MemoryManager
from aios_kernel.memory.notes import Note

__all__ = ["LRUK", "MemoryManager", "Note"]
