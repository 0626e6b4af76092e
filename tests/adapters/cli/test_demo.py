"""`aios demo`: three frameworks at once, checked, with every way in which it can end."""

# pyright: reportPrivateUsage=false
from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

import aios_adapters
from aios_adapters.demo import programs, report, tasks
from aios_adapters.demo.programs import Program
from aios_adapters.demo.runner import Arm, make_runs, run_arm
from aios_adapters.demo.tasks import KINDS, draw_tasks
from aios_kernel.abi import ChatCall
from aios_kernel.errors import ConfigError
from aios_kernel.kernel import Kernel
from aios_kernel.react import format_prompt
from aios_kernel.tools import Toolbox
from aios_kernel.trace import read_trace
from tests.adapters.cli.scripted_model import make
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[3]
AIOS = [sys.executable, "-W", "ignore", "-m", "tests.adapters.cli.scripted_model"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}
FRAMEWORKS = ("langchain", "langgraph", "langchain_openai", "autogen_agentchat", "autogen_ext", "openai")


def aios(*arguments: str, cwd: Path, code: str = "") -> subprocess.CompletedProcess[str]:
    """Run `aios` with the scripted model in a process of its own, after `code`."""
    command = (
        AIOS
        if not code
        else [
            *AIOS[:3],
            "-c",
            f"{code}\nfrom tests.adapters.cli import scripted_model\nfrom aios_adapters.cli import main\nsys.exit(main())",
        ]
    )
    return subprocess.run(
        [*command, *arguments], cwd=cwd, env=ENVIRONMENT, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.fixture
def _all_frameworks() -> None:
    for name in FRAMEWORKS:
        pytest.importorskip(name)


# The real programs, in processes of their own ------------------------------------------------------------------------


@pytest.mark.usefixtures("_all_frameworks")
def test_three_frameworks_as_json(tmp_path: Path) -> None:
    """A LangGraph agent, an AutoGen team and a ReAct loop, unchanged, are served by the kernel and solve their tasks."""
    done = aios(
        "demo", "--model", "scripted", "--agents", "6", "--json", "--trace", "t.json", "--png", "t.png", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert [row["framework"] for row in found["agents"]] == ["langgraph", "autogen", "openai"] * 2
    for row in found["agents"]:
        assert row["outcome"] == "ok" and row["error"] == ""
        assert row["calls"] >= 2 and row["output_tokens"] >= 1 and row["turnaround"] > 0
        assert set(row) >= {"name", "framework", "task", "kind", "waited", "tool_calls", "answer"}
    assert found["totals"]["solved"] == 6 and found["totals"]["calls"] == sum(row["calls"] for row in found["agents"])
    assert found["missing"] == {} and found["policy"] == "fifo" and found["model"] == "scripted"
    assert (tmp_path / found["png"]).read_bytes().startswith(b"\x89PNG")
    runs = [one for one in read_trace(tmp_path / found["trace"]) if one.phase == "run" and one.kind == "llm"]
    assert len(runs) == found["totals"]["calls"]


@pytest.mark.usefixtures("_all_frameworks")
def test_ctrl_c(tmp_path: Path) -> None:
    """Ctrl-C in the middle of calls ends the program within seconds: exit code 130, one line, a closed trace."""
    command = [*AIOS, "demo", "--model", "scripted:60", "--agents", "6", "--trace", "t.json"]
    with subprocess.Popen(command, cwd=tmp_path, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True) as process:
        wait_until(lambda: _are_busy(tmp_path / "t.json"), patience=60)
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        try:
            _, said = process.communicate(timeout=20)
        finally:
            process.kill()
    assert process.returncode == 130, said
    assert time.monotonic() - began < 5
    assert "Traceback" not in said and said.splitlines()[-1] == "aios: interrupted"
    json.loads((tmp_path / "t.json").read_text())


def _are_busy(trace: Path) -> bool:
    """Whether two calls run and the others wait, as far as the growing file tells."""
    try:
        return sum(one.phase == "run" for one in read_trace(trace)) >= 2
    except (OSError, ConfigError):
        return False


@pytest.mark.usefixtures("_all_frameworks")
def test_a_missing_framework_is_left_out(tmp_path: Path) -> None:
    """Without AutoGen the others run, the exit code is 0, and what to install is said."""
    block = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0].startswith("autogen"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Block())"""
    done = aios("demo", "--model", "scripted", "--agents", "4", "--json", cwd=tmp_path, code=block)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert [row["framework"] for row in found["agents"]] == ["langgraph", "openai"] * 2
    assert found["missing"] == {"autogen": "pip install 'aios-adapters[autogen]'"}
    assert "autogen is not installed" in done.stderr and "aios-adapters[autogen]" in done.stderr


# The machinery, with programs of the test's own ----------------------------------------------------------------------


def good(question: str, tools: Sequence[Callable[..., str]], *, model: str) -> str:
    """A program that asks the kernel by itself, as an adapter would."""
    kernel: Any = aios_adapters.kernel()
    messages: list[dict[str, Any]] = [{"role": "user", "content": question}]
    box = {tool.__name__: tool for tool in tools}
    while True:
        call = ChatCall(agent=None, model=model, messages=messages, tools=Toolbox.specs())
        with kernel.syscall(call) as grant:
            reply = grant.reply()
        if not reply.tool_calls:
            return reply.text
        for request in reply.tool_calls:
            result = box[request.name](**json.loads(request.arguments))
            messages.append({"role": "tool", "tool_call_id": request.id, "content": result})


def lies(question: str, tools: Sequence[Callable[..., str]], *, model: str) -> str:
    """A program that says it did it."""
    return "Done!"


def breaks(question: str, tools: Sequence[Callable[..., str]], *, model: str) -> str:
    """A program that raises."""
    raise RuntimeError("broken program")


class Own(Program):
    """A program of this test."""

    __slots__ = ()

    def load(self) -> Any:
        return {"good": good, "lies": lies, "breaks": breaks}[self.module]


def own(*names: str) -> tuple[Program, ...]:
    return tuple(Own(name, name, (), f"pip install {name}") for name in names)


def run(*names: str, agents: int = 3, **options: Any) -> Arm:
    arm = Arm(Kernel(llm=make(), **options), "scripted", make_runs(own(*names), agents, seed=1))
    run_arm(arm)
    return arm


def test_every_agent_is_accounted_for() -> None:
    """Calls, tokens and times of an agent are those the kernel counted for it."""
    arm = run("good", agents=6)
    assert [one.outcome for one in arm.runs] == ["ok"] * 6
    assert arm.ok and arm.count().calls == sum(arm.count(one).calls for one in arm.runs) >= 12
    assert all(one.turnaround > 0 for one in arm.runs)
    assert set(arm.row_names().values()) == {one.name for one in arm.runs}
    assert arm.kernel.closed and aios_adapters.kernel() is None


def test_one_failing_agent_does_not_stop_the_others() -> None:
    """A program that raises and one that did nothing are rows with their outcome; the demonstration goes on."""
    arm = run("breaks", "lies", "good")
    assert {one.program.framework: one.outcome for one in arm.runs} == {
        "breaks": "failed",
        "lies": "wrong",
        "good": "ok",
    }
    assert arm.runs[0].error == "RuntimeError: broken program"
    assert not arm.ok
    rows = report.agent_table(arm)
    assert [row[-1] for row in rows] == ["failed", "wrong", "ok", "1 ok"]


def test_exit_code_and_text_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One unsolved task makes the exit code 1 and is explained; stdout has the table, stderr the progress."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(programs, "PROGRAMS", own("good", "lies"))
    from aios_adapters.cli import main

    assert main(["demo", "--model", "scripted", "--agents", "2", "--seed", "3"]) == 1
    said = capsys.readouterr()
    assert "lies-1: asked" in said.out and "1 ok" in said.out
    assert "good-1" in said.err and "policy fifo" in said.err
    monkeypatch.setattr(programs, "PROGRAMS", own("good"))
    assert main(["demo", "--model", "scripted", "--agents", "2", "--policy", "rr"]) == 0


def test_nothing_installed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Without any of the frameworks it says what to install; exit code 2."""
    monkeypatch.setattr(programs, "PROGRAMS", (Program("x", "x", ("no_such_module",), "pip install x"),))
    from aios_adapters.cli import main

    assert main(["demo", "--model", "scripted"]) == 2
    said = capsys.readouterr().err
    assert "pip install x" in said and "aios-adapters[demo]" in said


def test_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """With AIOS_DISABLE there is no kernel to show: refused, not sent to the network."""
    monkeypatch.setenv("AIOS_DISABLE", "1")
    with pytest.raises(ConfigError, match="AIOS_DISABLE"):
        run("good")


def test_compare_needs_weights(capsys: pytest.CaptureFixture[str]) -> None:
    """`--compare` runs transformers' generate, so it refuses a model that has no weights here."""
    from aios_adapters.cli import main

    assert main(["demo", "--model", "scripted", "--compare"]) == 2
    assert "--compare needs a model" in capsys.readouterr().err


def test_comparison_table() -> None:
    """Both sides' totals stand side by side, with their ratio."""
    first, second = (report.totals(run("good")) for _ in range(2))
    first["seconds"], second["seconds"] = 4.0, 2.0
    rows = {row[0]: row[1:] for row in report.comparison_table(first, second)}
    assert rows["all agents done after, s"] == ["4.00", "2.00", "0.50"]
    assert rows["tasks solved"] == ["3", "3", ""]


# The tasks -----------------------------------------------------------------------------------------------------------


def test_tasks_are_drawn_from_a_seed() -> None:
    """The same seed gives the same tasks, another one others; every kind has its turn."""
    first = [task.question for task in draw_tasks(12, seed=1)]
    assert first == [task.question for task in draw_tasks(12, seed=1)]
    assert first != [task.question for task in draw_tasks(12, seed=2)]
    assert len({task.kind for task in draw_tasks(len(KINDS))}) == len(KINDS)


@pytest.mark.parametrize("seed", range(5))
def test_a_task_is_solved_only_by_solving_it(seed: int) -> None:
    """No task counts as solved by an empty, an evasive or a boastful answer."""
    for task in draw_tasks(len(KINDS), seed):
        box = Toolbox()
        task.prepare(box)
        for answer in ("", "Done!", "I cannot do that.", task.question.split("?")[0] + " is 1"):
            assert not task.check(box, answer), (task.question, answer)


def test_numbers_are_read_as_people_write_them() -> None:
    """1,554 is 1554; 15540 and 1554.5 are not; a full stop ends a sentence."""
    says = tasks._says
    assert says("It is 1,554.", "1554") and says("1554", "1554") and says("=1554!", "1554")
    assert not says("15540", "1554") and not says("1554.5", "1554") and not says("x1554", "1554")


def test_the_react_program_speaks_the_models_protocol() -> None:
    """The plain loop's prompt is, word for word, the one the embedded model was trained on."""
    react_loop = pytest.importorskip("aios_adapters.demo.programs.react_loop")
    messages = format_prompt(Toolbox.specs(), "?")
    assert react_loop.system_prompt(Toolbox().functions()) == messages[0]["content"]


@pytest.mark.slow
@pytest.mark.usefixtures("_all_frameworks")
def test_the_embedded_model(tmp_path: Path) -> None:
    """The three programs solve their tasks on the model that comes with the kernel, without any network."""
    pytest.importorskip("torch")
    from aios_kernel import models

    if not models.installed(models.DEFAULT) or not (models.adapter_folder() / "adapter.json").exists():
        pytest.skip("the embedded model is not in the cache: aios models pull")
    done = aios("demo", "--agents", "3", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["totals"]["solved"] == 3
