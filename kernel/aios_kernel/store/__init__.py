"""Stores: records with vectors and full text, the system of record of memories and indexes."""

from aios_kernel.store.base import Change, Hit, Record, SearchIndex, Store
from aios_kernel.store.hybrid import Hybrid, HybridIndex, Mode, fuse
from aios_kernel.store.memory import MemoryStore
from aios_kernel.store.registry import make_store, store_names
from aios_kernel.store.sqlite import SQLiteStore

__all__ = [
    "Change",
    "Hit",
    "Hybrid",
    "HybridIndex",
    "MemoryStore",
    "Mode",
    "Record",
    "SQLiteStore",
    "SearchIndex",
    "Store",
    "fuse",
    "make_store",
    "store_names",
]
