"""`aios run`: a program is what it was without us, and has the kernel under it, and so have its children."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

import pytest

from aios_evals.endpoint import Endpoint
from tests.support.waiting import PATIENCE

AIOS = [sys.executable, "-m", "aios_adapters", "run"]
STATE = "import aios_adapters; print(aios_adapters.status().enabled)\n"
SELF = """
import os, signal, sys
print(sys.argv, sys.path, __name__, sys.stdin.read(), os.getcwd(), sys.flags, sys.orig_argv[1:])
print(signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGPIPE), file=sys.stderr)
print(sorted(set(sys.modules) & {"openai", "langchain_core", "torch", "numpy"}))
sys.exit(7)
"""
ASK = """
import openai, os
client = openai.OpenAI(base_url=os.environ["URL"], api_key="k")
print(client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hello"}]).choices[0].message)
"""


def go(argv: list[str], folder: Path, stdin: str = "", **environ: str) -> tuple[int, str, str]:
    """Run a command; exit code, stdout, stderr."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("AIOS_") and key != "PYTHONPATH"}
    done = subprocess.run(
        argv,
        cwd=folder,
        input=stdin,
        env={**clean, **environ},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def write(folder: Path, name: str, text: str) -> str:
    """Write a program; its name."""
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")
    return name


@pytest.mark.parametrize(
    "program",
    [["prog.py"], ["-m", "pack"], ["pack"], ["sub/prog.py"]],
    ids=["script", "module", "folder", "path"],
)
def test_a_program_is_byte_for_byte_what_it_was(tmp_path: Path, program: list[str]):
    """Same stdout, stderr, exit code, arguments, path, main module, signals, stdin; and nothing of ours on the path."""
    for name in ("prog.py", "sub/prog.py", "pack/__main__.py"):
        write(tmp_path, name, SELF)
    arguments = [*program, "--policy", "x", "-m"]
    bare = go([sys.executable, *arguments], tmp_path, "typed")
    assert bare[0] == 7
    assert go([*AIOS, *arguments], tmp_path, "typed") == bare


def test_an_openai_program_s_calls_are_syscalls_and_its_output_is_the_same(tmp_path: Path):
    """The program knows nothing; with --summary its agent and calls are told on stderr, and stdout stays as it was."""
    write(tmp_path, "ask.py", ASK)
    with Endpoint() as endpoint:
        bare = go([sys.executable, "ask.py"], tmp_path, URL=endpoint.base_url)
        assert go([*AIOS, "ask.py"], tmp_path, URL=endpoint.base_url) == bare
        options = ["--summary", "--policy", "wfq", "--limits", "llm:*:in_flight=2", "--trace", "run.json"]
        code, out, told = go([*AIOS, *options, "ask.py"], tmp_path, URL=endpoint.base_url)
        requests = len(endpoint.requests)
    assert (code, out, requests) == (0, bare[1], 3)
    assert "syscalls: llm 1" in told
    assert json.loads((tmp_path / "run.json").read_text())


def test_a_served_program_calls_no_endpoint(tmp_path: Path):
    """--llm answers in the program's own types; a core that does not exist is said before the program runs."""
    write(tmp_path, "ask.py", ASK)
    code, out, told = go([*AIOS, "--llm", "nosuchcore", "ask.py"], tmp_path, URL="http://127.0.0.1:9")
    assert (code, out) == (2, "")
    assert "nosuchcore" in told
    with Endpoint() as endpoint:
        code, out, told = go(
            [*AIOS, "--model", f"openai:{endpoint.base_url}", "ask.py"],
            tmp_path,
            URL="http://127.0.0.1:9",
            OPENAI_API_KEY="k",
        )
    assert (code, told) == (0, "")
    assert "ChatCompletionMessage" in out


def test_children_have_the_kernel_too_and_traces_of_their_own(tmp_path: Path):
    """A subprocess, a module in one, and a spawned worker of multiprocessing are enabled; each trace has its own file."""
    write(tmp_path, "child.py", STATE)
    write(
        tmp_path,
        "parent.py",
        STATE + "import multiprocessing, subprocess, sys\n"
        "def work():\n    print(aios_adapters.status().enabled, flush=True)\n"
        "if __name__ == '__main__':\n"
        "    sys.stdout.flush()\n"
        "    subprocess.run([sys.executable, 'child.py'], check=True)\n"
        "    subprocess.run([sys.executable, '-m', 'child'], check=True)\n"
        "    worker = multiprocessing.get_context('spawn').Process(target=work)\n"
        "    worker.start(); worker.join()\n",
    )
    code, out, told = go([*AIOS, "--trace", "t.json", "parent.py"], tmp_path)
    # The worker imports the main module anew, which says it once more.
    assert (code, set(out.split()), told) == (0, {"True"}, "")
    assert len(out.split()) == 5
    assert (tmp_path / "t.json").exists()
    assert len(list(tmp_path.glob("t.*.json"))) >= 3


def test_console_scripts_run_in_their_own_interpreter(tmp_path: Path):
    """A command on PATH, with a plain first line and with the form for long paths, is enabled and keeps its arguments."""
    body = "import sys\nprint(sys.argv[1:])\n" + STATE
    scripts = {
        "plain": f"#!{sys.executable}\n{body}",
        "env": f"#!/usr/bin/env python3\n{body}",
        "beside": f"#!/bin/sh\n'''exec' \"$(dirname -- \"$(realpath -- \"$0\")\")\"/'python' \"$0\" \"$@\"\n' '''\n{body}",
        "long": f"#!/bin/sh\n'''exec' \"{sys.executable}\" \"$0\" \"$@\"\n' '''\n{body}",
    }
    (tmp_path / "bin").mkdir()
    # A symlink would lead to an interpreter outside its environment.
    write(tmp_path, "bin/python", f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (tmp_path / "bin" / "python").chmod(0o755)
    for name, text in scripts.items():
        write(tmp_path, f"bin/{name}", text)
        (tmp_path / "bin" / name).chmod(0o755)
        path = os.pathsep.join([str(tmp_path / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]])
        assert go([*AIOS, name, "-x", "--summary"], tmp_path, PATH=path) == (0, "['-x', '--summary']\nTrue\n", ""), name


def test_pytest_runs_under_it(tmp_path: Path):
    """A real console script: a test sees the kernel, and its failure is the exit code."""
    write(tmp_path, "test_it.py", "import aios_adapters\ndef test_it(): assert not aios_adapters.status().enabled\n")
    script = Path(sys.executable).with_name("pytest")
    assert go([*AIOS, str(script), "-q", "-p", "no:cacheprovider", "test_it.py"], tmp_path)[0] == 1
    assert go([str(script), "-q", "-p", "no:cacheprovider", "test_it.py"], tmp_path)[0] == 0


def test_an_existing_sitecustomize_is_imported_exactly_once(tmp_path: Path):
    """It runs under its own name before the program, sees a path without us, and its failure is Python's to report."""
    write(
        tmp_path,
        "mine/sitecustomize.py",
        "import sys\nprint('mine', __name__, [p for p in sys.path if 'launch' in p])\nVALUE = 5\n",
    )
    write(tmp_path, "prog.py", "import sitecustomize\nprint(sitecustomize.VALUE)\n" + STATE)
    mine = {"PYTHONPATH": str(tmp_path / "mine")}
    once = "mine sitecustomize []\n"  # for each Python: the launcher's, and the program's
    assert go([*AIOS, "prog.py"], tmp_path, **mine) == (0, 2 * once + "5\nTrue\n", "")
    nested = go([*AIOS, "-m", "aios_adapters", "run", "prog.py"], tmp_path, **mine)
    assert nested == (0, 3 * once + "5\nTrue\n", "")
    write(tmp_path, "mine/sitecustomize.py", "raise RuntimeError('broken')\n")
    write(tmp_path, "prog.py", STATE)
    bare = go([sys.executable, "-c", "pass"], tmp_path, **mine)
    assert "broken" in bare[2]
    assert go([*AIOS, "prog.py"], tmp_path, **mine) == (
        0,
        "True\n",
        2 * bare[2],
    )  # the launcher's Python, and the program's


def test_ctrl_c_reaches_the_program_and_a_signal_is_its_exit(tmp_path: Path):
    """The program's own handler runs; one without a handler ends as Python does, and SIGTERM as a signal."""
    handled = "try:\n    print('ready', flush=True)\n    time.sleep(60)\nexcept KeyboardInterrupt:\n    raise SystemExit(130)\n"
    write(tmp_path, "handled.py", f"import time\n{handled}")
    write(tmp_path, "bare.py", "import time\nprint('ready', flush=True)\ntime.sleep(60)\n")
    for name, number, code in (
        ("handled.py", signal.SIGINT, 130),
        ("bare.py", signal.SIGINT, -signal.SIGINT),
        ("bare.py", signal.SIGTERM, -signal.SIGTERM),
    ):
        program = subprocess.Popen([*AIOS, name], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert program.stdout is not None
        with program.stdout:
            assert program.stdout.readline() == b"ready\n"
            program.send_signal(number)
            assert program.wait(PATIENCE) == code


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["nosuch"], "no file 'nosuch', and no command"),
        ([], "which program?"),
        (["--polcy", "rr", "prog.py"], "unrecognized arguments: --polcy"),
        (["--policy", "zz", "prog.py"], "unknown policy 'zz'"),
        (["--only", "zz", "prog.py"], "unknown adapter 'zz'"),
        (["--limits", "llm:*", "prog.py"], "RESOURCE:KEY=N"),
        (["--limits", "llm:*:foo=3", "prog.py"], "unknown limit of 'llm:*' 'foo'"),
        (["sh"], "is not a Python program"),
        (["python", "-I", "prog.py"], "isolated mode"),
        (["python", "-Wd", "-sS", "prog.py"], "no site module"),
        (["python", "-E", "-m", "prog"], "ignore PYTHON* variables"),
    ],
)
def test_what_cannot_be_is_said_and_nothing_runs(tmp_path: Path, argv: list[str], says: str):
    """One line on stderr, exit code 2, before the program's first line."""
    write(tmp_path, "prog.py", "print('ran')\n")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    code, out, told = go([*AIOS, *argv], tmp_path, PATH=path)
    assert (code, out) == (2, "")
    assert says in told
    assert "Traceback" not in told


def test_another_environment_without_us_is_said_and_its_children_run_on(tmp_path: Path):
    """As the program: a clear message with what to install. As a child of one: it runs natively, without a word."""
    venv.create(tmp_path / "other", with_pip=False)
    python = str(tmp_path / "other" / "bin" / "python")
    write(tmp_path, "prog.py", "print('ran')\n")
    code, out, told = go([*AIOS, python, "prog.py"], tmp_path)
    assert (code, out) == (2, "")
    assert f"{python} cannot import aios_adapters: {python} -m pip install aios-adapters" in told
    write(tmp_path, "parent.py", f"import subprocess\nsubprocess.run([{python!r}, 'prog.py'])\n")
    assert go([*AIOS, "parent.py"], tmp_path) == (0, "ran\n", "")
    assert "its calls are native" in go([*AIOS, "--strict", "parent.py"], tmp_path)[2]


def test_disable_runs_the_program_natively(tmp_path: Path):
    """The switch that turns us off."""
    write(tmp_path, "prog.py", STATE)
    assert go([*AIOS, "--disable", "prog.py"], tmp_path) == (0, "False\n", "")


def test_it_works_from_the_installed_command(tmp_path: Path):
    """`aios` itself, as users type it."""
    command = shutil.which("aios", path=str(Path(sys.executable).parent))
    assert command is not None
    write(tmp_path, "prog.py", STATE)
    answer: Any = go([command, "run", "prog.py"], tmp_path)
    assert answer == (0, "True\n", "")
