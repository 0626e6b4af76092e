"""What an installed package offers by entry point: this package imports nothing that needs a web server or an SDK."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Any

from aios_kernel.errors import ConfigError

__all__ = ["plugged"]


def plugged(group: str, missing: str) -> Any:
    """Load the first of an entry-point group; raises `ConfigError` with the words of `missing` where there is none."""
    found = list(entry_points(group=group))
    if not found:
        raise ConfigError(missing)
    try:
        return found[0].load()
    except ImportError as error:
        raise ConfigError(f"{missing} ({error})") from error
