"""Web search through a provider's API and the user's key for it."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import urlencode

from aios_kernel.errors import ToolError
from aios_kernel.toolkit.tool import Tool
from aios_kernel.toolkit.web import Fetcher

__all__ = ["BraveSearch", "SearchProvider", "search_tool"]


class SearchProvider(Protocol):
    """Search the web. Called from many threads."""

    def missing(self) -> str | None:
        """What it needs and has not, such as a key; None where it can search."""
        ...

    def search(self, query: str, k: int) -> list[dict[str, Any]]:
        """The best pages, as title, url and text; raises `ToolError`, whose message never has the key."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class BraveSearch:
    """Search by the Brave Search API, with the key in the environment variable `variable`."""

    variable: str = "BRAVE_API_KEY"
    url: str = "https://api.search.brave.com/res/v1/web/search"
    fetcher: Fetcher = field(default_factory=lambda: Fetcher(allow=("api.search.brave.com",)))

    def missing(self) -> str | None:
        """The variable, where it is not set."""
        return (
            None if os.environ.get(self.variable) else f"the environment variable {self.variable}: set it to your key"
        )

    def search(self, query: str, k: int) -> list[dict[str, Any]]:
        """The best pages."""
        headers = {"X-Subscription-Token": os.environ.get(self.variable, ""), "Accept": "application/json"}
        found = self.fetcher.get(f"{self.url}?{urlencode({'q': query, 'count': k})}", headers=headers)
        if found.status != 200:
            raise ToolError(f"the search provider answered with status {found.status}")
        try:
            results = json.loads(found.text).get("web", {}).get("results", [])
            return [
                {"title": one["title"], "url": one["url"], "text": one.get("description", "")} for one in results[:k]
            ]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ToolError(f"the search provider's answer cannot be read: {error!r}") from error


def search_tool(provider: SearchProvider) -> Tool:
    """Make `aios/web_search` on a provider."""

    def search(query: str, k: float = 5) -> list[dict[str, Any]]:
        return provider.search(query, int(k))

    return Tool(
        name="aios/web_search",
        description="Search the web; returns titles, addresses and short texts.",
        parameters={
            "type": "object",
            "properties": {
                "query": {"type": "string", "minLength": 1, "maxLength": 400},
                "k": {"type": "integer", "minimum": 1, "maximum": 20},
            },
            "required": ["query"],
            "additionalProperties": False,
        },
        run=search,
        origin="shipped",
        ready=provider.missing,
        idempotent=True,
    )
