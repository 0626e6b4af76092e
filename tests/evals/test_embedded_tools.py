"""The shipped tools: right results, a jail, errors a model can act on; and the ReAct parser."""

from __future__ import annotations

from pathlib import Path

import pytest

from aios_kernel import react
from aios_kernel.tools import Toolbox, evaluate, normal_key


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("37 * 42", "1554"),
        ("(1 + 2) / 4", "0.75"),
        ("2 ** 10", "1024"),
        ("2^3", "8"),
        ("-7 // 2", "-4"),
        ("10 / 3", "3.333333333"),
        ("0.1 + 0.2", "0.3"),
    ],
)
def test_calculate(expression: str, value: str) -> None:
    """Arithmetic comes out short and right."""
    assert Toolbox().calculate(expression) == value


@pytest.mark.parametrize(
    "expression",
    [
        "__import__('os')",
        "a + 1",
        "9 ** 9 ** 9",
        "(-1) ** 0.5",
        "1 / 0",
        "1 +",
        "True + 1",
        "1" * 300,
        "9**500**2",
        "1e308 * 10 ** 400",
        "f(1)",
        "'a' * 3",
        "",
    ],
)
def test_calculate_refuses_in_words(expression: str) -> None:
    """Whatever a model writes, the answer is text, and nothing is run."""
    assert Toolbox().calculate(expression).startswith(("error:", "inf"))


def test_evaluate_raises_value_error() -> None:
    """The function under the tool has an ordinary contract."""
    with pytest.raises(ValueError, match="only numbers"):
        evaluate("x")


def test_notes_forgive_the_form_of_a_key() -> None:
    """What was saved as "my Locker_Code" is found as "locker code"."""
    box = Toolbox()
    assert box.remember("my Locker_Code", "4821") == "saved"
    assert box.recall("locker code") == "4821"
    assert box.recall("other") == "no note under that key"
    assert normal_key("the") == "the"


def test_files_stay_in_their_folder(tmp_path: Path) -> None:
    """Neither dots nor links nor absolute paths lead out."""
    box = Toolbox(tmp_path / "jail")
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "jail" / "link").symlink_to(tmp_path)
    for path in ("../secret.txt", "link/secret.txt", "a/../../secret.txt"):
        assert "outside" in box.read_file(path)
        assert "outside" in box.write_file(path, "x")
    assert box.write_file("docs/a.txt", "hello") == "written"
    assert box.read_file("docs/a.txt") == box.read_file("/docs/a.txt") == "hello"
    assert box.read_file("b.txt") == "no file at that path"
    assert box.read_file("docs").startswith("error")
    assert box.write_file("\0", "x").startswith("error")
    assert (tmp_path / "secret.txt").read_text() == "secret"


def test_call_by_name_answers_for_wrong_use() -> None:
    """Unknown tools and wrong arguments come back as text."""
    box = Toolbox()
    assert box.call("calculate", {"expression": "1+1"}) == "2"
    assert "no tool" in box.call("compute", {})
    assert "takes key, value" in box.call("remember", {"key": "a"})


def test_specs_name_the_five_tools() -> None:
    """The specs and the callables agree."""
    names = [spec["function"]["name"] for spec in Toolbox.specs()]
    assert names == [function.__name__ for function in Toolbox().functions()]
    assert names == ["calculate", "remember", "recall", "write_file", "read_file"]
    assert all(spec["function"]["description"] for spec in Toolbox.specs())


def test_react_parse() -> None:
    """Actions, answers and rubbish are told apart; text after the stop is ignored."""
    action = react.parse('Thought: x\nAction: recall\nAction Input: {"key": "a"}\nObservation: made up')
    assert action == react.Action("recall", {"key": "a"})
    assert react.parse("Final Answer: done\nreally") == react.Answer("done\nreally")
    assert react.parse('Action: f\nAction Input: {"a": "Final Answer: no"}') == react.Action(
        "f", {"a": "Final Answer: no"}
    )
    for text in ("hello", "Action: f\nAction Input: not json", "Action: f\nAction Input: [1]", "Action: f"):
        assert isinstance(react.parse(text), react.Unreadable)


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("wifi code", "W"),
        ("My wifi_code", "W"),
        ("code", "no note"),  # two keys have the word
        ("locker", "L"),
        ("the old locker code please", "L"),
        ("lockr code", "L"),
        ("birthday", "no note"),
    ],
)
def test_recall_finds_the_one_note_that_is_meant(asked: str, found: str) -> None:
    """A part of the key, more than the key, or another spelling is enough when only one note fits."""
    box = Toolbox()
    box.remember("wifi code", "W")
    box.remember("locker code", "L")
    assert box.recall(asked).startswith(found)
