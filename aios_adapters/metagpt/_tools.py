"""Search and the browser: a refusal is a result that says so, in the form that a model is shown."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

from aios_adapters.calls import atool_call
from aios_adapters.metagpt._identity import FRAMEWORK
from aios_kernel.abi import ToolCall

if TYPE_CHECKING:
    from aios_kernel.errors import SyscallError

__all__ = ["browse", "search"]

Function = Callable[..., Any]


def search(native: Function) -> Function:
    """Gate a web search."""

    async def run(self: Any, *args: Any, **kwargs: Any) -> Any:
        given = {**dict(zip(("query", "max_results", "as_string", "ignore_errors"), args, strict=False)), **kwargs}
        query = given.get("query")

        def build() -> ToolCall:
            asked = {key: given[key] for key in ("query", "max_results") if key in given}
            return ToolCall(name="SearchEngine", arguments=asked)

        def denied(error: SyscallError) -> Any:
            if given.get("as_string", True):
                return str(error)
            return [{"title": "Refused", "link": "", "snippet": str(error)}]

        call = lambda: native(self, *args, **kwargs)  # noqa: E731
        return await atool_call(FRAMEWORK, build, call, denied, key=(FRAMEWORK, id(self), id(query)))

    return run


def browse(native: Function) -> Function:
    """Gate the loading of web pages; a refusal is the text of a page that failed to load, as the engines write it."""

    async def run(self: Any, *args: Any, **kwargs: Any) -> Any:
        urls = [str(url) for url in (*args, *kwargs.values())]

        def denied(error: SyscallError) -> Any:
            page = import_module("metagpt.utils.parse_html").WebPage
            text = f"Fail to load page content for {error}"
            pages = [page(inner_text=text, html="", url=url) for url in urls]
            return pages if len(pages) > 1 else pages[0]

        build = lambda: ToolCall(name="WebBrowserEngine", arguments={"urls": urls})  # noqa: E731
        call = lambda: native(self, *args, **kwargs)  # noqa: E731
        return await atool_call(FRAMEWORK, build, call, denied, key=(FRAMEWORK, id(self), tuple(urls)))

    return run
