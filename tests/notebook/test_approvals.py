"""Approvals in a real notebook kernel: the question stands below the running cell, and an answer is for that question alone."""

from __future__ import annotations

import pytest

from tests.notebook.conftest import Notebook
from tests.support.waiting import wait_until


@pytest.mark.parametrize(
    ("typed", "seen"), [("y", "shell ran"), ("n", "refused by notebook"), ("", "refused by notebook")]
)
def test_a_call_in_a_cell(notebook: Notebook, typed: str, seen: str) -> None:
    """The cell waits for the box, which shows what is to be done."""
    cell = notebook.start("print(told(lambda: use(command='ls -l')))")
    question = cell.question()
    assert "agent:     ann" in question["content"]["prompt"]
    assert "command: ls -l" in question["content"]["prompt"]
    cell.answer(question, typed)
    assert seen in cell.output()


def test_calls_that_are_awaited(notebook: Notebook) -> None:
    """The loop of the notebook goes on while the question stands."""
    cell = notebook.start(
        "asked = asyncio.create_task(ause())\nprint(await ause('read'), asked.done())\nprint(await asked)"
    )
    cell.answer(cell.question(), "y")
    assert cell.output() == "read ran False\nshell ran\n"


def test_calls_of_threads_are_asked_one_by_one(notebook: Notebook) -> None:
    """Two boxes at once would not say which answer is whose."""
    cell = notebook.start(
        "from concurrent.futures import ThreadPoolExecutor\n"
        "with ThreadPoolExecutor() as pool:\n"
        "    print(sorted(pool.map(lambda name: told(use, name)[:9], ['shell', 'drop'])))"
    )
    first = cell.question()
    cell.nothing_asked()
    cell.answer(first, "y" if "tool:shell" in first["content"]["prompt"] else "n")
    second = cell.question()
    cell.answer(second, "y" if "tool:shell" in second["content"]["prompt"] else "n")
    assert cell.output() == "[\"agent 'an\", 'shell ran']\n"


def test_a_yes_for_an_hour_ends_the_other_question(notebook: Notebook) -> None:
    """The same question of another task is not asked again."""
    cell = notebook.start("print(await asyncio.gather(ause(), ause()))")
    cell.answer(cell.question(), "a")
    assert cell.output() == "['shell ran', 'shell ran']\n"
    assert notebook.run("use()") == "'shell ran'\n"


@pytest.mark.parametrize("code", ["use()", "await ause()"], ids=["waiting", "awaiting"])
def test_an_interrupt_takes_the_question_back(notebook: Notebook, code: str) -> None:
    """The cell ends; the next question is asked at once, and what is typed into the old box answers it not."""
    cell = notebook.start(code)
    old = cell.question()
    notebook.interrupt()
    output = cell.output()
    assert "KeyboardInterrupt" in output or "CancelledError" in output
    cell = notebook.start("print(told(use))")
    question = cell.question()
    cell.answer(old, "y")
    cell.nothing_asked()
    cell.answer(question, "n")
    assert "refused by notebook" in cell.output()


def test_a_question_that_is_given_up_leaves_its_place(notebook: Notebook) -> None:
    """A task that is cancelled, in a cell that goes on: the next question comes, and the cell says what became of the first."""
    cell = notebook.start("asked = asyncio.create_task(ause()); await ago(); asked.cancel(); print(await ause('drop'))")
    old = cell.question()
    notebook.go()
    question = cell.question()
    cell.answer(old, "n")
    cell.answer(question, "y")
    assert cell.output() == "(no longer asked)\ndrop ran\n"


def test_a_cell_that_ends_meanwhile(notebook: Notebook) -> None:
    """The box stands there still, and other cells run: an answer is as good as before."""
    cell = notebook.start("asked = asyncio.create_task(ause()); await ago()")
    question = cell.question()
    notebook.go()
    assert cell.output() == ""
    assert notebook.run("print(asked.done())") == "False\n"
    cell.answer(question, "y")
    assert notebook.run("print(await asked)") == "shell ran\n"


def test_a_question_between_cells(notebook: Notebook) -> None:
    """There is no place to ask it: no, and it says why."""
    notebook.run("threading.Thread(target=lambda: (go(), print(told(use), file=open('said', 'w', 1)))).start()")
    notebook.go()
    said = notebook.folder / "said"
    wait_until(lambda: said.exists() and "no cell was running" in said.read_text())


def test_the_program_s_own_input_takes_turns(notebook: Notebook) -> None:
    """What is typed for the program's `input()` never answers a question, nor the other way round."""
    cell = notebook.start(
        "thread = threading.Thread(target=lambda: print(told(use)))\n"
        "thread.start(); go()\n"
        "print('name is', input('name? ')); thread.join()"
    )
    question = cell.question()
    notebook.go()
    cell.nothing_asked()
    cell.answer(question, "n")
    own = cell.question()
    assert own["content"]["prompt"] == "name? "
    cell.answer(own, "y")
    output = cell.output()
    assert "name is y" in output
    assert "refused by notebook" in output


def test_a_question_waits_for_the_program_s_own_input(notebook: Notebook) -> None:
    """A box that stands is answered first."""
    cell = notebook.start(
        "thread = threading.Thread(target=lambda: (go(), print(told(use))))\n"
        "thread.start()\n"
        "print('name is', input('name? ')); thread.join()"
    )
    own = cell.question()
    notebook.go()
    cell.nothing_asked()
    cell.answer(own, "y")
    question = cell.question()
    assert "tool:shell" in question["content"]["prompt"]
    cell.answer(question, "y")
    assert cell.output() == "name is y\nshell ran\n"


def test_a_run_that_nobody_watches(notebook: Notebook) -> None:
    """As nbconvert and papermill run notebooks: no, at once."""
    assert "the notebook takes no input" in notebook.run("print(told(use))", allow_stdin=False)


def test_a_program_that_a_cell_forks(notebook: Notebook) -> None:
    """The notebook is the parent's: the child is told no, and the parent is asked as before, also while its box stands."""
    forked = (
        "pid = os.fork()\n"
        "if not pid:\n"
        "    open('said', 'w').write(told(use))\n"
        "    os._exit(0)\n"
        "os.waitpid(pid, 0)\n"
        "print(open('said').read(), asked.done(), await asked)"
    )
    cell = notebook.start("asked = asyncio.create_task(ause()); await ago()\n" + forked)
    question = cell.question()
    notebook.go()
    wait_until((notebook.folder / "said").exists)
    cell.answer(question, "y")
    output = cell.output()
    assert "a child of the notebook's process cannot ask" in output
    assert output.endswith("False shell ran\n")


def test_questions_of_one_session_after_another(notebook: Notebook) -> None:
    """Enabled anew in the same notebook, which asks as before."""
    notebook.run("aios_adapters.disable(); aios_adapters.enable(access='policy.toml')")
    cell = notebook.start("print(use())")
    cell.answer(cell.question(), "y")
    assert cell.output() == "shell ran\n"


def test_a_standing_question_ends_with_its_session(notebook: Notebook) -> None:
    """`disable()` while a box stands: no."""
    cell = notebook.start(
        "asked = asyncio.create_task(ause()); await ago(); aios_adapters.disable()\n"
        "print(await asyncio.gather(asked, return_exceptions=True))"
    )
    cell.question()
    notebook.go()
    assert "AccessDenied" in cell.output()
