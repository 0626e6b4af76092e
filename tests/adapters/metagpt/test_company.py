"""MetaGPT's own software company: a product manager, an architect, a project manager and an engineer write a program."""

from __future__ import annotations

import asyncio
import re

import pytest
from metagpt.roles import Architect, Engineer, ProductManager, ProjectManager
from metagpt.team import Team

from aios_evals.endpoint import Endpoint
from tests.adapters.metagpt.programs import context
from tests.support.columns import ASYNC, IDENTITY, LEASE, MEMORY, ONCE

pytestmark = pytest.mark.shows(LEASE, ONCE, ASYNC)
_EXAMPLE = re.compile(r"## format example\n(\[CONTENT\].*?\[/CONTENT\])", re.DOTALL)


def script(prompt):
    """Fill in each document as its prompt's example does, and write a file of code where code is asked for."""
    example = _EXAMPLE.search(prompt.user_text)
    return example[1] if example else "```python\nprint('hello')\n```"


async def develop(folder):
    """Run the company; return what it wrote, by file, without the names that tell the time, and its number of requests."""
    folder.mkdir()
    with Endpoint(reply=script) as endpoint:
        shared = context(endpoint.base_url)
        shared.config.workspace.path = folder
        shared.config.update_via_cli("", "hello", inc=False, reqa_file="", max_auto_summarize_code=0)
        company = Team(context=shared)
        hired = (ProductManager, Architect, ProjectManager)
        company.hire([*(role(context=shared) for role in hired), Engineer(use_code_review=False, context=shared)])
        company.invest(3.0)
        await asyncio.wait_for(company.run(n_round=5, idea="write a hello program", auto_archive=False), 100)
        files = [path for path in folder.rglob("*") if path.is_file() and ".git" not in path.parts]
        return {
            re.sub(r"\d{14}", "TIME", str(path.relative_to(folder))): re.sub(r"\d{14}", "TIME", path.read_text())
            for path in files
        }, len(endpoint.requests)


@pytest.mark.shows(IDENTITY, MEMORY)
async def test_company(tmp_path, enabled):
    """The company writes what it wrote without the kernel; each role's calls are its own."""
    native, asked = await develop(tmp_path / "native")
    assert any("print('hello')" in text for text in native.values())
    kernel = enabled()
    leased, requests = await develop(tmp_path / "leased")
    assert sorted(leased) == sorted(native)
    assert [name for name in native if not name.endswith(".json") and leased[name] != native[name]] == []
    rows = {row["name"]: row["syscalls"] for row in kernel.status().agents if row["syscalls"]}
    assert {name: counts["llm"] for name, counts in rows.items()} == {"Alice": 1, "Bob": 1, "Eve": 1, "Alex": asked - 3}
    assert all(counts["memory"] for counts in rows.values())
    assert requests == asked == kernel.status().syscalls["llm"]
