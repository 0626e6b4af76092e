"""Patches are a table; this package is the only place that sets an attribute of somebody else's object."""

from aios_adapters.patching._imports import ImportHooks
from aios_adapters.patching._modules import AddedModules
from aios_adapters.patching._patch import Moved, Patch
from aios_adapters.patching._patcher import Patcher

__all__ = ["AddedModules", "ImportHooks", "Moved", "Patch", "Patcher"]
