"""Tools: a registry of `org/name`, and the manager that serves calls of them, checked, limited, timed and apart."""

from aios_kernel.toolkit.manager import ToolManager
from aios_kernel.toolkit.registry import Registry
from aios_kernel.toolkit.results import DirectoryResults, ResultStore
from aios_kernel.toolkit.running import running
from aios_kernel.toolkit.tool import Tool, declare, make_tool

__all__ = [
    "DirectoryResults",
    "Registry",
    "ResultStore",
    "Tool",
    "ToolManager",
    "declare",
    "make_tool",
    "running",
]
