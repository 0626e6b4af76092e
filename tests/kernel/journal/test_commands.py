"""Journals under unchanged programs and on the command line; and the page's example."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from aios_adapters.cli import main
from aios_evals.endpoint import Endpoint
from aios_kernel.abi import Agent, ChatCall
from aios_kernel.cores.scripted import ScriptedCore
from aios_kernel.journal import Journal, Journaled
from aios_kernel.kernel import Kernel

DOCS = Path(__file__).parents[3] / "docs"


def _write(path, answers):
    """A journal of two agents' calls."""

    def answer(call: Any) -> str:
        return answers[call.messages[0]["content"]]

    kernel = Journaled(Kernel(llm=ScriptedCore(answer)), Journal(path))
    for name, question in (("ann", "one"), ("bob", "two")):
        if question in answers:
            call = ChatCall(agent=Agent(name=name), model="m", messages=[{"role": "user", "content": question}])
            with kernel.syscall(call) as grant:
                grant.reply()
    kernel.close()
    return str(path)


def test_show_and_export(tmp_path, capsys):
    """The table has who asked what and what was answered; JSON has all of it."""
    file = _write(tmp_path / "a", {"one": "first answer", "two": "second answer"})
    assert main(["journal", "show", file]) == 0
    shown = capsys.readouterr().out
    assert re.search(r"ann\s+chat m\s+1\s+one\s+first answer", shown)
    assert main(["journal", "show", file, "--agent", "bob", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["agent"], row["request"]["messages"][0]["content"]) == ("bob", "two")
    assert row["answer"]["reply"]["text"] == "second answer"
    assert main(["journal", "export", file]) == 0
    assert [json.loads(line)["record"] for line in capsys.readouterr().out.splitlines()] == [1, 2]


def test_diff(tmp_path, capsys):
    """Another answer, a missing call, and no difference; the exit code tells."""
    first = _write(tmp_path / "a", {"one": "x", "two": "y"})
    other = _write(tmp_path / "b", {"one": "z"})
    assert main(["journal", "diff", first, other]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("! ann: chat m")
    assert lines[-1].startswith("- bob: chat m")
    assert any(line.strip().startswith("+") and '"text": "z"' in line for line in lines)
    assert main(["journal", "diff", first, first, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"differ": False, "lines": []}


def test_a_missing_file_is_told_and_not_made(tmp_path, capsys):
    """Looking does not leave a journal behind."""
    assert main(["journal", "show", str(tmp_path / "none")]) == 2
    assert "there is no journal" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_the_launcher_keeps_a_journal(tmp_path):
    """A program that knows nothing of it is answered from it the second time."""
    program = tmp_path / "program.py"
    program.write_text(
        "import openai, os\n"
        "client = openai.OpenAI(base_url=os.environ['URL'], api_key='k')\n"
        "message = {'role': 'user', 'content': 'hello'}\n"
        "print(client.chat.completions.create(model='m', messages=[message]))\n",
        encoding="utf-8",
    )
    outputs = []
    with Endpoint(reply_tokens=5) as endpoint:
        for mode in ("record", "strict"):
            more = ["--journal", str(tmp_path / "j"), "--journal-mode", mode]
            command = [sys.executable, "-m", "aios_adapters", "run", *more, str(program)]
            environ = {**os.environ, "URL": endpoint.base_url}
            done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)
            assert done.returncode == 0, done.stderr
            outputs.append(done.stdout)
        assert len(endpoint.requests) == 1
    assert outputs[0] == outputs[1]
    assert "ChatCompletion(" in outputs[0]


def test_the_page_s_example_runs(capsys):
    """A reader who copies the example gets what the page says."""
    page = (DOCS / "journal.md").read_text(encoding="utf-8")
    code, output = (re.search(rf"```{kind}\n(.*?)```", page, re.DOTALL) for kind in ("python", "text"))
    assert code is not None
    assert output is not None
    exec(compile(code[1], "journal.md", "exec"), {})
    assert capsys.readouterr().out == output[1]


@pytest.mark.parametrize("mode", ["", "rewind"])
def test_a_wrong_mode_is_told(tmp_path, mode):
    """The known ones are named."""
    from aios_adapters import config
    from aios_kernel.errors import UnknownName

    with pytest.raises(UnknownName, match="refresh"):
        config.gather({"journal": tmp_path / "j", "journal_mode": mode})
