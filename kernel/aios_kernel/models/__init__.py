"""Models: the catalog, the cache, and the embedded model that drives tool-calling agents."""

from aios_kernel.models.cache import cache_dir
from aios_kernel.models.catalog import CATALOG, DEFAULT, Entry, entry
from aios_kernel.models.embedded import adapter_folder, chat_template, load_embedded, merge
from aios_kernel.models.fetch import Progress, installed, path, pull, remove

__all__ = [
    "CATALOG",
    "DEFAULT",
    "Entry",
    "Progress",
    "adapter_folder",
    "cache_dir",
    "chat_template",
    "entry",
    "installed",
    "load_embedded",
    "merge",
    "path",
    "pull",
    "remove",
]
