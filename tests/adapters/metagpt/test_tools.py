"""Code, search and the browser: each use is one syscall, and what the kernel refuses reaches the model in MetaGPT's terms."""

from __future__ import annotations

import asyncio
import json

import pytest
from metagpt.actions.di.execute_nb_code import ExecuteNbCode
from metagpt.actions.run_code import RunCode
from metagpt.actions.search_and_summarize import SearchAndSummarize
from metagpt.roles.di.data_interpreter import DataInterpreter
from metagpt.schema import RunCodeContext
from metagpt.tools import SearchEngineType, WebBrowserEngineType
from metagpt.tools.search_engine import SearchEngine
from metagpt.tools.web_browser_engine import WebBrowserEngine
from metagpt.utils.parse_html import WebPage

from aios_evals.endpoint import Endpoint
from aios_kernel.abi import ToolCall
from aios_kernel.errors import AccessDenied
from aios_kernel.kernel import Kernel
from tests.adapters.metagpt.programs import CODE, context, message, team
from tests.support.columns import CODE as CODE_COLUMN
from tests.support.columns import DENIAL, LEASE, TOOLS

pytestmark = pytest.mark.shows(TOOLS)


@pytest.fixture
def deny(enabled):
    """A kernel that refuses the tools of some names and notes every tool call."""
    kernels = []

    def start(*names):
        calls = []

        def check(call, process):
            if isinstance(call, ToolCall):
                calls.append((process.name, call))
                if call.name in names:
                    raise AccessDenied(f"{process.name} may not use {call.name}")

        kernels.append(enabled(kernel=Kernel(checks=(check,))))
        return kernels[-1], calls

    yield start
    for kernel in kernels:
        kernel.close()


@pytest.mark.shows(CODE_COLUMN)
async def test_what_the_kernel_is_told_of_code(endpoint, deny):
    """Code that a role runs is a tool call marked as code, with the code itself."""
    _, calls = deny()
    await team(endpoint.base_url)
    assert [(name, call.name, call.code) for name, call in calls] == [("Bob", "RunCode", True)]
    assert calls[0][1].arguments == {"language": "python", "code": f"{CODE}\n"}


@pytest.mark.shows(CODE_COLUMN, DENIAL)
async def test_denied_code(endpoint, deny):
    """The refusal is the run's error: the tester's model reads it, and the team goes on to the reviewer."""
    deny("RunCode")
    kept, _ = await team(endpoint.base_url)
    told = [record.body["messages"][-1]["content"] for record in endpoint.requests]
    assert told[1] == "judge the outcome:  Bob may not use RunCode"
    assert len(told) == 3
    assert kept["Carol"][-1] == "review judge the outcome"


@pytest.mark.shows(CODE_COLUMN, LEASE)
async def test_run_code(endpoint, enabled, tmp_path):
    """RunCode's text and script modes give what they gave; each is one syscall, and what failed is noted."""

    async def runs():
        shared = context(endpoint.base_url)
        text = [await RunCode.run_text("result = 2"), await RunCode(context=shared).run_text("1 / 0")]
        command = ["python", "-c", "print('from a script')"]
        script = RunCodeContext(mode="script", command=command, working_directory=str(tmp_path), code_filename="a.py")
        outcome = await RunCode(i_context=script, context=shared).run()
        return text, outcome.stdout, outcome.summary

    native = await runs()
    assert native[0] == [(2, ""), ("", "division by zero")]
    assert native[1] == "from a script\n"
    kernel = enabled()
    assert await runs() == native
    assert kernel.status().syscalls == {"tool": 3, "llm": 1}
    assert kernel.status().agents[0]["failed"] == 1


@pytest.mark.shows(CODE_COLUMN, DENIAL)
async def test_denied_script(endpoint, deny, tmp_path):
    """A command that is refused is never started, and the model that judges the run reads why."""
    _, calls = deny("RunCode")
    mark = tmp_path / "mark"
    command = ["python", "-c", f"open({str(mark)!r}, 'w')"]
    script = RunCodeContext(mode="script", command=command, working_directory=str(tmp_path))
    outcome = await RunCode(i_context=script, context=context(endpoint.base_url)).run()
    assert not mark.exists()
    assert outcome.stderr == "root may not use RunCode"
    assert "root may not use RunCode" in endpoint.requests[0].body["messages"][-1]["content"]
    assert calls[0][1].arguments["working_directory"] == str(tmp_path)


def interpreter(prompt):
    """Plan one step of code, then say that all is done."""
    text = json.dumps(prompt.messages)
    if "thoughts" in prompt.user_text and "state" in prompt.user_text:
        done = "6 times 7" in text or "may not" in text
        return json.dumps({"thoughts": "done" if done else "go on", "state": not done})
    if "may not use" in text:
        return "```python\nx = 'given up'\n```"
    return "```python\nprint('6 times 7 is', 6 * 7)\n```"


@pytest.mark.shows(CODE_COLUMN, DENIAL)
@pytest.mark.parametrize("denied", [False, True])
async def test_notebook(denied, deny, capsys):
    """A data interpreter's cells are tool calls; a refusal is the output of a cell that failed, which its model reads."""
    refused = []

    def first(call, process):
        if denied and isinstance(call, ToolCall) and not refused:
            refused.append(call)
            raise AccessDenied(f"{process.name} may not use {call.name}")

    kernel, calls = deny()
    kernel.checks.insert(0, first)
    with Endpoint(reply=interpreter) as endpoint:
        one = DataInterpreter(react_mode="react", context=context(endpoint.base_url))
        try:
            await one.run(message("multiply six by seven"))
        finally:
            await one.execute_code.terminate()
        asked = [json.dumps(record.body["messages"]) for record in endpoint.requests]
    assert {call.name for _, call in calls} == {"ExecuteNbCode"}
    assert calls[-1][1].code
    assert all(name == "David" for name, _ in calls)
    if denied:
        assert refused[0].arguments == {"language": "python", "code": "print('6 times 7 is', 6 * 7)\n"}
        assert any("David may not use ExecuteNbCode" in text for text in asked)
        assert "given up" in calls[-1][1].arguments["code"]
    else:
        kept = [kept.content for kept in one.working_memory.get()]
        assert any("6 times 7 is 42" in text for text in kept)


async def test_markdown_is_no_code(enabled):
    """A cell of text is put into the notebook and runs nothing."""
    kernel = enabled()
    assert await ExecuteNbCode().run("# Title", "markdown") == ("# Title", True)
    assert kernel.status().syscalls == {}


async def found(query, max_results=8, as_string=True):
    """A search engine of the user's own."""
    if query == "broken":
        raise ZeroDivisionError(query)
    return f"found {query}" if as_string else [{"title": query, "link": "http://x", "snippet": "found"}]


def engine():
    return SearchEngine(engine=SearchEngineType.CUSTOM_ENGINE, run_func=found)


async def pages(url, *urls):
    """A browser of the user's own."""
    made = [WebPage(inner_text=f"text of {one}", html="", url=one) for one in (url, *urls)]
    return made if urls else made[0]


def browser():
    return WebBrowserEngine(engine=WebBrowserEngineType.CUSTOM, run_func=pages)


@pytest.mark.shows(LEASE)
async def test_search_and_browse(deny):
    """Both give what they gave, their errors included, and are tool calls with what they were asked."""

    async def use():
        with pytest.raises(ZeroDivisionError):
            await engine().run("broken")
        return (
            await engine().run("pears"),
            await engine().run("pears", as_string=False),
            await engine().run("broken", ignore_errors=True),
            await browser().run("http://a"),
            await browser().run("http://a", "http://b"),
        )

    native = await use()
    kernel, calls = deny()
    assert await use() == native
    assert kernel.status().syscalls == {"tool": 6}
    assert calls[1][1].arguments == {"query": "pears"}
    assert calls[5][1].arguments == {"urls": ["http://a", "http://b"]}


@pytest.mark.shows(DENIAL)
async def test_denied_search_and_browse(endpoint, deny):
    """A refusal is a result that says so, in every form that can be asked for; the model of an action reads it."""
    deny("SearchEngine", "WebBrowserEngine")
    assert await engine().run("pears") == "root may not use SearchEngine"
    assert (await engine().run("pears", as_string=False))[0]["snippet"] == "root may not use SearchEngine"
    page = await browser().run("http://a")
    assert (type(page), page.url) == (WebPage, "http://a")
    assert page.inner_text == "Fail to load page content for root may not use WebBrowserEngine"
    assert [one.url for one in await browser().run("http://a", "http://b")] == ["http://a", "http://b"]
    action = SearchAndSummarize(search_engine=engine(), context=context(endpoint.base_url))
    await action.run([message("what are pears?")])
    assert "root may not use SearchEngine" in json.dumps(endpoint.requests[-1].body["messages"])


async def test_a_limit_is_kept(enabled):
    """Tools of one name run as many at a time as their limit says, and each gets its turn."""
    running, most = [], []

    async def slow(query, max_results=8, as_string=True):
        running.append(query)
        most.append(len(running))
        await asyncio.sleep(0.02)
        running.remove(query)
        return query

    enabled(limits={"tool:SearchEngine": {"in_flight": 1}})
    engines = [SearchEngine(engine=SearchEngineType.CUSTOM_ENGINE, run_func=slow) for _ in range(4)]
    found = await asyncio.gather(*[one.run(str(index)) for index, one in enumerate(engines)])
    assert found == ["0", "1", "2", "3"]
    assert max(most) == 1
