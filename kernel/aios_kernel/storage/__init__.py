"""Storage: files of agents, with roots that nothing leaves, versions, capabilities and search."""

from aios_kernel.storage.index import KeywordIndex
from aios_kernel.storage.manager import StorageManager

__all__ = ["KeywordIndex", "StorageManager"]
