"""Managers: what the kernel itself does with memory, storage, tool and access calls."""

from aios_kernel.managers.base import Manager

__all__ = ["Manager"]
