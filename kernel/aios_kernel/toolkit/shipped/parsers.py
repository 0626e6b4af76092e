"""What the public APIs of Wikipedia and arXiv answer, as plain data."""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree as ET

from aios_kernel.errors import ToolError

__all__ = ["arxiv_papers", "wikipedia_pages"]

ATOM = "{http://www.w3.org/2005/Atom}"


def wikipedia_pages(answer: Any) -> list[dict[str, Any]]:
    """The pages of a search, best first."""
    if "error" in answer:
        raise ToolError(f"Wikipedia refuses the search: {answer['error'].get('info', answer['error'])}")
    pages: list[dict[str, Any]] = answer.get("query", {}).get("pages", [])
    return [
        {"title": page["title"], "url": page.get("fullurl", ""), "text": page.get("extract", "").strip()}
        for page in sorted(pages, key=lambda page: page.get("index", 0))
    ]


def arxiv_papers(text: str) -> list[dict[str, Any]]:
    """The papers of a feed."""
    if "<!DOCTYPE" in text or "<!ENTITY" in text:  # a feed has neither; entities are how small texts become huge ones
        raise ToolError("arXiv's answer cannot be read: it declares entities")
    try:
        feed = ET.fromstring(text)  # noqa: S314 - declares no entities, and is of bounded size
    except ET.ParseError as error:
        raise ToolError(f"arXiv's answer cannot be read: {error}") from error
    papers = [_paper(entry) for entry in feed.iter(f"{ATOM}entry")]
    if len(papers) == 1 and papers[0]["title"] == "Error":
        raise ToolError(f"arXiv refuses the search: {papers[0]['abstract']}")
    return papers


def _paper(entry: ET.Element) -> dict[str, Any]:
    return {
        "title": _said(entry, "title"),
        "authors": [_said(author, "name") for author in entry.iter(f"{ATOM}author")],
        "published": _said(entry, "published")[:10],
        "url": _said(entry, "id"),
        "abstract": _said(entry, "summary"),
    }


def _said(element: ET.Element, name: str) -> str:
    return re.sub(r"\s+", " ", element.findtext(f"{ATOM}{name}", "")).strip()
