"""Stores: records with vectors and full text, the system of record of memories and indexes."""

from aios_kernel.store.base import Change, Hit, Record, SearchIndex, Store

__all__ = ["Change", "Hit", "Record", "SearchIndex", "Store"]
