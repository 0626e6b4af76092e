"""The shipped tools through the gate: calculator, files, and what the public APIs answer."""

from __future__ import annotations

import json
from typing import ClassVar
from urllib.parse import parse_qs, urlsplit

import pytest

from aios_kernel.abi import Agent, ToolCall
from aios_kernel.errors import FileMissing, PathRefused, ToolError, ToolFailed, ToolUnavailable
from aios_kernel.kernel import Kernel
from aios_kernel.memory import MemoryManager
from aios_kernel.storage import StorageManager
from aios_kernel.toolkit import ToolManager
from aios_kernel.toolkit.shipped import BraveSearch, shipped_tools
from aios_kernel.toolkit.shipped.pages import page_tools
from aios_kernel.toolkit.shipped.parsers import arxiv_papers, wikipedia_pages
from aios_kernel.toolkit.web import Fetched, Fetcher

WIKIPEDIA = {
    "batchcomplete": True,
    "query": {
        "pages": [
            {"pageid": 2, "ns": 0, "title": "Semaphore", "index": 2, "fullurl": "https://en.wikipedia.org/wiki/Semaphore",
             "extract": "A flag.\n"},
            {"pageid": 1, "ns": 0, "title": "Mutex", "index": 1, "fullurl": "https://en.wikipedia.org/wiki/Mutex",
             "extract": " A lock that one holds at a time."},
        ]
    },
}  # fmt: skip
ARXIV = """<?xml version="1.0" encoding="UTF-8"?>
<feed xmlns="http://www.w3.org/2005/Atom">
  <title type="html">ArXiv Query: search_query=all:kernels</title>
  <opensearch:totalResults xmlns:opensearch="http://a9.com/-/spec/opensearch/1.1/">1</opensearch:totalResults>
  <entry>
    <id>http://arxiv.org/abs/0000.00001v2</id>
    <published>2024-03-25T17:32:23Z</published>
    <title>Of Kernels
  and Agents</title>
    <summary>  We write of kernels,
and of agents. </summary>
    <author><name>Ann Author</name></author>
    <author><name>Ben Writer</name></author>
  </entry>
</feed>"""
ARXIV_ERROR = """<feed xmlns="http://www.w3.org/2005/Atom"><entry><id>http://arxiv.org/api/errors#x</id><title>Error</title>
<summary>incorrect id format</summary></entry></feed>"""


@pytest.fixture
def kernel(tmp_path):
    kernel = Kernel(managers=[ToolManager(load_entry_points=False), StorageManager(tmp_path / "storage")])
    yield kernel
    kernel.close()


def ask(kernel, name, agent="ann", **arguments):
    with kernel.syscall(ToolCall(agent=Agent(name=agent), name=name, arguments=arguments)) as grant:
        return grant.reply().data


def test_everything_is_there(kernel):
    """The list has them all, each with a schema that is closed, and what is missing where something is."""
    rows = {row["name"]: row for row in ask(kernel, "aios/list_tools")}
    short = "arxiv calculator delete_file fetch forget list_files list_tools python read_file read_result recall remember shell"
    assert set(rows) == {f"aios/{name}" for name in [*short.split(), "web_search", "wikipedia", "write_file"]}
    assert all(row["parameters"]["additionalProperties"] is False and row["description"] for row in rows.values())
    assert "hosts it may go to" in rows["aios/fetch"]["missing"][0]
    assert {name for name, row in rows.items() if row["destructive"]} == {"aios/delete_file", "aios/forget"}
    assert {name for name, row in rows.items() if row["code"]} == {"aios/python", "aios/shell"}


def test_the_calculator(kernel):
    """It computes, and says what it cannot."""
    assert ask(kernel, "aios/calculator", expression="(3 + 4) * 2 ** 5") == "224"
    with pytest.raises(ToolFailed, match="only numbers"):
        ask(kernel, "aios/calculator", expression="__import__('os')")


def test_files_are_the_agent_s_own(kernel):
    """Through the storage manager, as the agent that calls: versions, jail and separation are its."""
    ask(kernel, "aios/write_file", path="notes/a.txt", content="ä")
    assert ask(kernel, "aios/write_file", path="notes/a.txt", content="b")["version"] == 2
    assert ask(kernel, "aios/read_file", path="notes/a.txt") == "b"
    assert [entry["path"] for entry in ask(kernel, "aios/list_files", path="notes")] == ["notes/a.txt"]
    with pytest.raises(FileMissing):
        ask(kernel, "aios/read_file", agent="ben", path="notes/a.txt")
    with pytest.raises(PathRefused):
        ask(kernel, "aios/read_file", path="../ann/notes/a.txt")
    ask(kernel, "aios/delete_file", path="notes/a.txt")
    assert ask(kernel, "aios/list_files", path="notes") == []
    assert kernel.status().syscalls["storage"] >= 7


def test_memory_is_the_agent_s_own():
    """Through the memory manager, as the agent that calls; a note is found by what it says, and forgotten by its id."""
    kernel = Kernel(managers=[ToolManager(load_entry_points=False), MemoryManager(":memory:")])
    kept = ask(kernel, "aios/remember", text="the deploy key is in the blue drawer")
    assert "blue drawer" in json.dumps(ask(kernel, "aios/recall", query="deploy key", k=1))
    assert ask(kernel, "aios/recall", agent="ben", query="deploy key") == []
    ask(kernel, "aios/forget", id=kept["id"])
    assert ask(kernel, "aios/recall", query="deploy key") == []
    kernel.close()


def test_without_the_managers():
    """Files and memory say what the kernel lacks."""
    kernel = Kernel(managers=[ToolManager(load_entry_points=False)])
    for name, arguments in (("read_file", {"path": "a"}), ("remember", {"text": "x"})):
        with pytest.raises(ToolUnavailable, match="manager"):
            ask(kernel, f"aios/{name}", **arguments)
    kernel.close()


def test_wikipedia_s_answer():
    """Best first, plain data; a refusal and an empty search are told apart."""
    assert wikipedia_pages(WIKIPEDIA) == [
        {"title": "Mutex", "url": "https://en.wikipedia.org/wiki/Mutex", "text": "A lock that one holds at a time."},
        {"title": "Semaphore", "url": "https://en.wikipedia.org/wiki/Semaphore", "text": "A flag."},
    ]
    assert wikipedia_pages({"batchcomplete": True}) == []
    with pytest.raises(ToolError, match="too long"):
        wikipedia_pages({"error": {"code": "x", "info": "too long"}})


def test_arxiv_s_answer():
    """One line per text, authors in order; its errors are entries; entities are refused before they are read."""
    assert arxiv_papers(ARXIV) == [
        {
            "title": "Of Kernels and Agents",
            "authors": ["Ann Author", "Ben Writer"],
            "published": "2024-03-25",
            "url": "http://arxiv.org/abs/0000.00001v2",
            "abstract": "We write of kernels, and of agents.",
        }
    ]
    with pytest.raises(ToolError, match="incorrect id format"):
        arxiv_papers(ARXIV_ERROR)
    for text in ("<feed", '<!DOCTYPE x [<!ENTITY a "aaaa">]><feed>&a;</feed>'):
        with pytest.raises(ToolError, match="cannot be read"):
            arxiv_papers(text)


class Recorded(Fetcher):
    """Answers from a table of hosts, as if fetched, and keeps what was asked."""

    __slots__ = ()
    asked: ClassVar = []
    answers: ClassVar = {}

    def get(self, url, *, headers=None):
        """One recorded answer; the guard looks at the URL as ever."""
        from aios_kernel.toolkit.web.guard import parse_url

        self.asked.append((url, dict(headers or {})))
        status, kind, text = self.answers[parse_url(url, self.allow).host]
        return Fetched(url, status, kind, text)


@pytest.fixture
def recorded():
    Recorded.asked, Recorded.answers = [], {
        "de.wikipedia.org": (200, "application/json", json.dumps(WIKIPEDIA)),
        "export.arxiv.org": (200, "application/atom+xml", ARXIV),
        "api.search.brave.com": (200, "application/json", json.dumps(
            {"web": {"results": [{"title": "T", "url": "https://e.org", "description": "D", "age": "x"}] * 9}})),
    }  # fmt: skip
    return Recorded


def test_the_searches_ask_what_they_should(recorded):
    """The public APIs' own parameters, with the words encoded; the hosts are theirs whatever `fetch` may do."""
    kernel = Kernel(managers=[ToolManager(shipped=page_tools(recorded()), load_entry_points=False)])
    assert [page["title"] for page in ask(kernel, "aios/wikipedia", query="a & b", k=2, language="de")] == [
        "Mutex",
        "Semaphore",
    ]
    assert ask(kernel, "aios/arxiv", query="kernels", k=1)[0]["authors"] == ["Ann Author", "Ben Writer"]
    wikipedia, arxiv = (parse_qs(urlsplit(url).query) for url, _ in recorded.asked)
    assert (wikipedia["gsrsearch"], wikipedia["gsrlimit"]) == (["a & b"], ["2"])
    assert (arxiv["search_query"], arxiv["max_results"]) == (["all:kernels"], ["1"])
    with pytest.raises(ToolUnavailable, match="hosts it may go to"):
        ask(kernel, "aios/fetch", url="https://example.org")
    recorded.answers["export.arxiv.org"] = (503, "text/html", "busy")
    with pytest.raises(ToolError, match="status 503: busy"):
        ask(kernel, "aios/arxiv", query="kernels")
    kernel.close()


def test_web_search(recorded, monkeypatch):
    """Without a key it says which; with one it is sent in the header, and never appears in a reply or error."""
    provider = BraveSearch(fetcher=recorded(allow=("api.search.brave.com",)))
    kernel = Kernel(managers=[ToolManager(shipped=shipped_tools(search=provider), load_entry_points=False)])
    monkeypatch.delenv("BRAVE_API_KEY", raising=False)
    with pytest.raises(ToolUnavailable, match="BRAVE_API_KEY"):
        ask(kernel, "aios/web_search", query="kernels")
    monkeypatch.setenv("BRAVE_API_KEY", "PLANTED-KEY")
    found = ask(kernel, "aios/web_search", query="kernels", k=2)
    assert found == [{"title": "T", "url": "https://e.org", "text": "D"}] * 2
    assert recorded.asked[0][1]["X-Subscription-Token"] == "PLANTED-KEY"
    for answer in (
        (401, "text/plain", "PLANTED-KEY is wrong"),
        (200, "application/json", "[]"),
        (200, "text/html", "<"),
    ):
        recorded.answers["api.search.brave.com"] = answer
        with pytest.raises(ToolError) as caught:
            ask(kernel, "aios/web_search", query="kernels")
        assert "PLANTED-KEY" not in str(caught.value)
    kernel.close()
