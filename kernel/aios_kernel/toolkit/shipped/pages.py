"""Pages of the web, Wikipedia and arXiv, through the guarded fetch."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from aios_kernel.errors import ToolError
from aios_kernel.toolkit.shipped.parsers import arxiv_papers, wikipedia_pages
from aios_kernel.toolkit.tool import Tool

if TYPE_CHECKING:
    from collections.abc import Callable

    from aios_kernel.toolkit.web import Fetched, Fetcher

__all__ = ["page_tools"]

WIKIPEDIA = "https://{language}.wikipedia.org/w/api.php"
ARXIV = "https://export.arxiv.org/api/query"
_QUERY = {"type": "string", "minLength": 1, "maxLength": 300}
_COUNT = {"type": "integer", "minimum": 1, "maximum": 10}


def page_tools(fetcher: Fetcher) -> list[Tool]:
    """Make `aios/fetch`, `aios/wikipedia` and `aios/arxiv`."""

    def fetch(url: str) -> dict[str, Any]:
        found = fetcher.get(url)
        return {"url": found.url, "status": found.status, "text": found.text, "truncated": found.truncated}

    def wikipedia(query: str, k: float = 3, language: str = "en") -> list[dict[str, Any]]:
        return _wikipedia(fetcher, query, int(k), language)

    def arxiv(query: str, k: float = 3) -> list[dict[str, Any]]:
        return _arxiv(fetcher, query, int(k))

    return [
        _tool(
            "fetch",
            "Fetch the text of a web page or API.",
            {"url": {"type": "string", "maxLength": 4096}},
            "url",
            fetch,
            None if fetcher.allow else "hosts it may go to: pass shipped_tools(fetcher=Fetcher(allow=(...,)))",
        ),
        _tool(
            "wikipedia",
            "Search Wikipedia; returns titles, addresses and the beginnings of the articles.",
            {"query": _QUERY, "k": _COUNT, "language": {"type": "string", "pattern": "^[a-z]{2,12}$"}},
            "query",
            wikipedia,
        ),
        _tool(
            "arxiv",
            "Search arXiv; returns titles, authors, dates, addresses and abstracts of papers.",
            {"query": _QUERY, "k": _COUNT},
            "query",
            arxiv,
        ),
    ]


def _wikipedia(fetcher: Fetcher, query: str, k: int, language: str) -> list[dict[str, Any]]:
    wanted = {
        "action": "query",
        "format": "json",
        "formatversion": "2",
        "generator": "search",
        "gsrsearch": query,
        "gsrlimit": k,
        "prop": "extracts|info",
        "inprop": "url",
        "exintro": "1",
        "explaintext": "1",
        "exlimit": "max",
    }
    url = f"{WIKIPEDIA.format(language=language)}?{urlencode(wanted)}"
    found = _good(replace(fetcher, allow=("*.wikipedia.org",)).get(url), "Wikipedia")
    try:
        return wikipedia_pages(json.loads(found.text))
    except ValueError as error:
        raise ToolError(f"Wikipedia's answer cannot be read: {error}") from error


def _arxiv(fetcher: Fetcher, query: str, k: int) -> list[dict[str, Any]]:
    url = f"{ARXIV}?{urlencode({'search_query': f'all:{query}', 'max_results': k})}"
    return arxiv_papers(_good(replace(fetcher, allow=("export.arxiv.org",)).get(url), "arXiv").text)


def _good(found: Fetched, who: str) -> Fetched:
    if found.status != 200:
        raise ToolError(f"{who} answered with status {found.status}: {found.text[:200]}")
    if found.truncated:
        raise ToolError(f"{who}'s answer is larger than what is read: ask for fewer")
    return found


def _tool(
    name: str,
    description: str,
    properties: dict[str, Any],
    required: str,
    run: Callable[..., Any],
    lacks: str | None = None,
) -> Tool:
    schema = {"type": "object", "properties": properties, "required": [required], "additionalProperties": False}
    return Tool(
        name=f"aios/{name}",
        description=description,
        parameters=schema,
        run=run,
        origin="shipped",
        ready=lambda: lacks,
        idempotent=True,
        retries=1,
        timeout=60,
    )
