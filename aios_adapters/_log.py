"""Log what concerns the whole program, each thing once."""

from __future__ import annotations

from aios_kernel.logs import logger

__all__ = ["log", "warn_once"]

log = logger("aios_adapters")
_warned: set[str] = set()


def warn_once(message: str) -> None:
    """Log, not warn: a program that turns warnings into errors must not fail because we are here."""
    if message not in _warned:
        _warned.add(message)
        log.warning("%s", message)
