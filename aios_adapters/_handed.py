"""Tools of the kernel's that a framework was handed: their own call is the syscall, so the framework's use is none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

__all__ = ["MARK", "is_handed"]

#: The attribute, or the key of a metadata mapping, with the full name.
MARK = "aios_kernel_tool"


def is_handed(tool: Any) -> bool:
    """Whether a framework's tool is one of the kernel's."""
    if getattr(tool, MARK, None) is not None:
        return True
    metadata = getattr(tool, "metadata", None)
    return isinstance(metadata, Mapping) and MARK in cast("Mapping[str, Any]", metadata)
