"""The program's side of `aios run`: called by our `sitecustomize` as Python starts, before the program's first line."""

from __future__ import annotations

import atexit
import os
import sys
from typing import Any

from aios_adapters.launch.environment import PROBE, ROOT, SUMMARY

__all__ = ["begin"]

MISUSED = 2


def begin() -> None:
    """Enable with the settings that the launcher handed down; a setting that cannot be is said, and ends the program."""
    sys._aios_launched = True  # pyright: ignore[reportAttributeAccessIssue]
    if os.environ.get(PROBE):
        return
    import aios_adapters
    from aios_kernel.errors import AiosError

    try:
        aios_adapters.enable(**_own_trace())
    except AiosError as error:
        # Nothing of the program has run; an exception here would only be reported by Python, which then goes on.
        sys.stderr.write(f"aios run: {error}\n")
        sys.stderr.flush()
        os._exit(MISUSED)
    # Before anything of the program is registered and after the kernel's own: so it runs between the two.
    atexit.register(_end)


def _is_root() -> bool:
    """Whether this is the program itself: the launcher became it, so it has the launcher's pid."""
    return os.environ.get(ROOT) == str(os.getpid())


def _own_trace() -> dict[str, Any]:
    """A child's trace goes into a file of its own, beside the program's."""
    trace = os.environ.get("AIOS_TRACE")
    if not trace or _is_root():
        return {}
    stem, suffix = os.path.splitext(trace)  # noqa: PTH122 - a path stays the text it was given as
    return {"trace": f"{stem}.{os.getpid()}{suffix}"}


def _end() -> None:
    """Say what there is to say, and have the trace's last lines written."""
    import aios_adapters

    if os.environ.get(SUMMARY) and _is_root():
        from aios_adapters.launch.summary import write

        write(sys.stderr)
    aios_adapters.disable()
