"""The tools that ship with the kernel, under the name `aios/`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aios_kernel.toolkit.sandbox import Sandbox
from aios_kernel.toolkit.shipped.basic import calculator
from aios_kernel.toolkit.shipped.code import code_tools
from aios_kernel.toolkit.shipped.kept import file_tools, memory_tools
from aios_kernel.toolkit.shipped.pages import page_tools
from aios_kernel.toolkit.shipped.search import BraveSearch, SearchProvider, search_tool
from aios_kernel.toolkit.web import Fetcher

if TYPE_CHECKING:
    from aios_kernel.toolkit.tool import Tool

__all__ = ["BraveSearch", "SearchProvider", "shipped_tools"]


def shipped_tools(
    *,
    sandbox: Sandbox | None = None,
    fetcher: Fetcher | None = None,
    search: SearchProvider | None = None,
) -> list[Tool]:
    """Make the shipped tools.

    `fetcher` says where `aios/fetch` may go (nowhere by default); Wikipedia, arXiv and the search provider have theirs.
    """
    return [
        calculator(),
        *code_tools(sandbox or Sandbox()),
        *file_tools(),
        *memory_tools(),
        *page_tools(fetcher or Fetcher()),
        search_tool(search or BraveSearch()),
    ]
