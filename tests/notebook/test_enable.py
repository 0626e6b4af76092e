"""`enable()` in the cells of a notebook: run again and again, awaited, and shown."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from aios_evals.endpoint import Endpoint
from tests.notebook.conftest import Notebook

BEGIN = """
import asyncio
from openai import AsyncOpenAI, OpenAI
import aios_adapters
ASKED = dict(model="m", messages=[{{"role": "user", "content": "hi"}}])
client = OpenAI(base_url={url!r}, api_key="x")
aclient = AsyncOpenAI(base_url={url!r}, api_key="x")
"""


@pytest.fixture
def endpoint() -> Generator[Endpoint]:
    """The model."""
    with Endpoint(reply=lambda body: "well said") as running:
        yield running


def _calls(notebook: Notebook) -> str:
    return notebook.run("print(aios_adapters.status().syscalls, aios_adapters.status()['openai'].calls)")


def test_a_cell_that_enables_is_run_twice(bare: Notebook, endpoint: Endpoint) -> None:
    """The second time changes nothing: each call is still one syscall and one request."""
    bare.run(BEGIN.format(url=endpoint.base_url))
    for _ in range(2):
        assert "aios-adapters: enabled" in bare.run("aios_adapters.enable()")
        assert bare.run("client.chat.completions.create(**ASKED).choices[0].message.content") == "'well said'\n"
    assert _calls(bare) == "{'llm': 2} 2\n"
    assert len(endpoint.requests) == 2


def test_cells_that_await(bare: Notebook, endpoint: Endpoint) -> None:
    """Calls, many at once and streams in the notebook's own loop, where a sync call stands beside them."""
    endpoint.latency = 0.2
    bare.run(BEGIN.format(url=endpoint.base_url) + "aios_adapters.enable(limits={'llm:*': {'in_flight': 2}})")
    assert bare.run("(await aclient.chat.completions.create(**ASKED)).choices[0].message.content") == "'well said'\n"
    many = (
        "found = await asyncio.gather(*(aclient.chat.completions.create(**ASKED) for _ in range(6)))\n"
        "client.chat.completions.create(**ASKED)\n"
        "print(len(found))"
    )
    assert bare.run(many) == "6\n"
    streamed = (
        "async for piece in await aclient.chat.completions.create(stream=True, **ASKED):\n"
        "    print(end=piece.choices[0].delta.content or '' if piece.choices else '')"
    )
    assert bare.run(streamed) == "well said"
    assert _calls(bare) == "{'llm': 9} 9\n"
    assert endpoint.stats()["peak_in_flight"] == 2


def test_an_interrupted_call_gives_its_slot_back(bare: Notebook, endpoint: Endpoint) -> None:
    """The button with the square, while a cell waits for the model: the next cell's call runs."""
    endpoint.latency = 3600
    bare.run(BEGIN.format(url=endpoint.base_url) + "aios_adapters.enable(limits={'llm:*': {'in_flight': 1}})")
    cell = bare.start("print('asked'); client.chat.completions.create(**ASKED)")
    assert cell.next_output() == "asked\n"
    bare.interrupt()
    assert "KeyboardInterrupt" in cell.output()
    endpoint.latency = 0
    assert bare.run("client.chat.completions.create(**ASKED).choices[0].message.content") == "'well said'\n"


def test_a_served_core(bare: Notebook, endpoint: Endpoint) -> None:
    """A core in the notebook's process answers sync and awaited calls; the client's endpoint hears nothing."""
    core = "from aios_kernel.cores.scripted import ScriptedCore\naios_adapters.enable(llm=ScriptedCore(lambda call: 'scripted'))\n"
    bare.run(BEGIN.format(url=endpoint.base_url) + core)
    assert bare.run("client.chat.completions.create(**ASKED).choices[0].message.content") == "'scripted'\n"
    assert bare.run("(await aclient.chat.completions.create(**ASKED)).choices[0].message.content") == "'scripted'\n"
    assert endpoint.requests == []


def test_status_as_a_result(bare: Notebook) -> None:
    """A table for the page, and the same as text; once disabled, one line."""
    bare.run("import openai, aios_adapters; aios_adapters.enable()")
    shown = bare.start("aios_adapters.status()").data()
    assert shown["text/plain"].splitlines()[0] == "aios-adapters: enabled; syscalls: none yet"
    assert shown["text/html"].startswith("<p>aios-adapters: enabled; syscalls: none yet</p><table><tr><th>adapter</th>")
    assert "<td>openai</td>" in shown["text/html"]
    assert bare.run("aios_adapters.disable(); aios_adapters.status()").startswith("aios-adapters: not enabled\n")


def test_disabled_everything_is_the_notebook_s_again(bare: Notebook, endpoint: Endpoint) -> None:
    """Also the kernel's own `input`, which questions took turns with."""
    seen = "k = get_ipython().kernel; print('_input_request' in vars(k), client.chat.completions.create(**ASKED).choices[0].message.content)"
    bare.run(BEGIN.format(url=endpoint.base_url) + "open('p.toml', 'w').write('default = \"allow\"')")
    for _ in range(2):
        bare.run("aios_adapters.enable(access='p.toml')")
        assert bare.run(seen) == "True well said\n"
        bare.run("aios_adapters.disable()")
        assert bare.run(seen) == "False well said\n"
