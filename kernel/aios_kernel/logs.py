"""Loggers of ours: what they say, errors of others quoted in it included, holds no secrets."""

from __future__ import annotations

import logging

__all__ = ["logger"]


def logger(name: str) -> logging.Logger:
    """The logger of that name, whose records are redacted before any handler sees them."""
    found = logging.getLogger(name)
    found.addFilter(_redacting)  # once, however often
    return found


def _redact(record: logging.LogRecord) -> bool:
    # Imported when something is logged: its patterns take longer to compile than all the rest to import.
    from aios_kernel.secrets import redact

    try:
        message = record.getMessage()
    except Exception:  # noqa: BLE001 - arguments may be anybody's; logging would only print a complaint of its own
        message = str(record.msg)
    record.msg, record.args = redact(message), ()
    if record.exc_info and not record.exc_text:
        # Formatters take the text where there is one.
        record.exc_text = redact(logging.Formatter().formatException(record.exc_info))
    return True


class _Redacting(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        return _redact(record)


_redacting = _Redacting()
