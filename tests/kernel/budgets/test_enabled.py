"""Budgets under unchanged programs: by `enable()`, by the launcher, by file; and the page's example."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import openai
import pytest

import aios_adapters
from aios_adapters import config
from aios_evals.endpoint import Endpoint
from aios_kernel.errors import BudgetExceeded, ConfigError

DOCS = Path(__file__).parents[3] / "docs"


@pytest.fixture(autouse=True)
def clean(monkeypatch, tmp_path):
    for name in config.ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    aios_adapters.disable()
    yield
    aios_adapters.disable()


def _ask(client, most=5):
    message = {"role": "user", "content": "hello"}
    return client.chat.completions.create(model="m", messages=[message], max_tokens=most)


def test_an_openai_program_is_refused_in_the_sdk_s_own_terms():
    """The endpoint sees the calls that fit and no more; the error is the SDK's, with ours as its cause."""
    with Endpoint(reply_tokens=5) as endpoint, openai.OpenAI(base_url=endpoint.base_url, api_key="k") as client:
        aios_adapters.enable(budgets={"*": {"calls": 2}, "agent:bob": {"calls": 1}})
        _ask(client)
        _ask(client)
        with pytest.raises(openai.PermissionDeniedError) as raised:
            _ask(client)
        assert isinstance(raised.value.__cause__, BudgetExceeded)
        with aios_adapters.agent("bob"):
            _ask(client)
            with pytest.raises(openai.PermissionDeniedError):
                _ask(client)
        assert len(endpoint.requests) == 3
        spent = {row["account"]: row["tokens"] for row in aios_adapters.status().kernel.budgets}
        assert set(spent.values()) == {2 * spent["agent:bob"], spent["agent:bob"]}


def test_a_file_sets_budgets_and_prices(tmp_path):
    """What the page shows is what is read."""
    text = re.search(r"```toml\n(.*?)```", (DOCS / "budgets.md").read_text(encoding="utf-8"), re.DOTALL)
    assert text is not None
    (tmp_path / "pyproject.toml").write_text(text[1], encoding="utf-8")
    aios_adapters.enable()
    kernel: Any = aios_adapters.kernel()
    rules = kernel.budgets.rules
    assert rules["*"].tokens == 10_000
    assert (rules["agent:ann"].money, rules["agent:ann"].then) == (250_000_000, "pause")
    assert kernel.budgets.prices.of("my-model-2").output == 4.0


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("tokens=10", {"*": {"tokens": 10}}),
        ("*:tokens=10,then=pause;agent:a:calls=1", {"*": {"tokens": 10, "then": "pause"}, "agent:a": {"calls": 1}}),
        ("kernel:money=0.5;kernel:calls=3", {"kernel": {"money": 0.5, "calls": 3}}),
    ],
)
def test_the_environment_s_form(text, found):
    """Scopes are separated by semicolons; without one it is each agent's."""
    assert config.gather({}, {"AIOS_BUDGETS": text}).budgets == found


@pytest.mark.parametrize("text", ["tokens", "tokens=x", "*:=3"])
def test_a_wrong_form_is_told(text):
    """Typing mistakes name the variable."""
    with pytest.raises(ConfigError, match="AIOS_BUDGETS"):
        config.gather({}, {"AIOS_BUDGETS": text})


def test_the_launcher_passes_budgets_on(tmp_path):
    """`aios run --budget` bounds a program that knows nothing of it."""
    program = tmp_path / "program.py"
    program.write_text(
        "import openai, os\n"
        "client = openai.OpenAI(base_url=os.environ['URL'], api_key='k')\n"
        "for _ in range(3):\n"
        "    try:\n"
        "        client.chat.completions.create(model='m', messages=[{'role': 'user', 'content': 'hi'}])\n"
        "        print('answered')\n"
        "    except openai.PermissionDeniedError as error:\n"
        "        print('refused')\n",
        encoding="utf-8",
    )
    with Endpoint(reply_tokens=5) as endpoint:
        command = [sys.executable, "-m", "aios_adapters", "run", "--budget", "calls=2", str(program)]
        environ = {**os.environ, "URL": endpoint.base_url}
        done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.returncode) == ("answered\nanswered\nrefused\n", 0), done.stderr


def test_the_page_s_example_runs(capsys):
    """A reader who copies the example gets what the page says."""
    page = (DOCS / "budgets.md").read_text(encoding="utf-8")
    code, output = (re.search(rf"```{kind}\n(.*?)```", page, re.DOTALL) for kind in ("python", "text"))
    assert code is not None
    assert output is not None
    exec(compile(code[1], "budgets.md", "exec"), {})
    assert capsys.readouterr().out == output[1]
