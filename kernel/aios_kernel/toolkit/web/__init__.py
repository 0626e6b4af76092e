"""Fetching from the web, guarded: only hosts that are allowed, never an address that is not public."""

from aios_kernel.toolkit.web.fetcher import Fetched, Fetcher
from aios_kernel.toolkit.web.guard import is_public

__all__ = ["Fetched", "Fetcher", "is_public"]
