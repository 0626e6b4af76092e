"""`aios memory` over a folder and over a daemon that has it: the same notes, the same answers."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import pty
import subprocess
import sys
import threading
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from aios_adapters.cli import main
from aios_kernel import Agent, Kernel, MemoryCall
from aios_kernel.access import AccessManager
from aios_kernel.address import Address
from aios_kernel.embedding import LexicalEmbedder
from aios_kernel.managers.standard import standard_managers
from aios_kernel.memory import MemoryManager
from aios_kernel.store import SQLiteStore
from tests.support.waiting import PATIENCE

ESCAPES = "red \x1b[31m, turned \u202e, cleared \x9b2J, next\nline"
LEFT = {"shelf": "0123abcd/Box/1", "list": "messages", "data": "{}"}
PROGRAM = """
import aios_adapters
from langchain_core.chat_history import InMemoryChatMessageHistory

aios_adapters.enable(memory=True)
history = InMemoryChatMessageHistory()
with aios_adapters.agent("ann"):
    history.add_user_message("The deploy key expires on Friday.")
    history.add_ai_message("Noted.")
aios_adapters.disable()
"""


class Said:
    """What a command printed."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def data(self) -> Any:
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


class Aios:
    """The command, told where the memory is; and the kernel that has it."""

    def __init__(self, where: list[str], kernel: Kernel, capsys: pytest.CaptureFixture[str]) -> None:
        self.where, self.kernel, self._capsys = where, kernel, capsys

    def __call__(self, command: str, *arguments: str) -> Said:
        code = main(["memory", command, *arguments, *self.where])
        said = self._capsys.readouterr()
        return Said(code, said.out, said.err)

    def memory(self, agent: str, verb: Any, **arguments: Any) -> dict[str, Any]:
        with self.kernel.syscall(MemoryCall(agent=Agent(name=agent), verb=verb, arguments=arguments)) as grant:
            return grant.reply().data


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No kernel and no memory of this machine's."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    for name in ("AIOS_KERNEL", "AIOS_DATA", "AIOS_TOKEN"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def access() -> AccessManager | None:
    return None


@pytest.fixture
def kernel(tmp_path: Path, access: AccessManager | None) -> Generator[Kernel, None, None]:
    managers = standard_managers(tmp_path / "data", access=access)
    kernel = Kernel(managers=managers, checks=() if access is None else (access.check,))
    yield kernel
    kernel.close()


def _served(kernel: Kernel, address: Address) -> Generator[None, None, None]:
    from aios_integrations.server import Daemon

    ready = threading.Event()
    with Daemon(address, drain=1) as daemon:
        thread = threading.Thread(target=daemon.run, args=(kernel, lambda listening: ready.set()))
        thread.start()
        try:
            assert ready.wait(PATIENCE)
            yield
        finally:
            daemon.stop()
            thread.join(PATIENCE)
            assert not thread.is_alive()


@pytest.fixture
def daemon(kernel: Kernel, tmp_path: Path) -> Generator[str, None, None]:
    pytest.importorskip("uvicorn")
    address = Address(path=str(tmp_path / "k.sock"))
    for _ in _served(kernel, address):
        yield str(address)


@pytest.fixture(params=["folder", "kernel"])
def aios(request: Any, kernel: Kernel, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Aios:
    """Both ways to the same notes; the folder's kernel goes on using it."""
    if request.param == "folder":
        where = ["--data", str(tmp_path / "data")]
    else:
        where = ["--kernel", request.getfixturevalue("daemon")]
    made = Aios(where, kernel, capsys)
    made.memory("ann", "add", text="The deploy key expires on Friday.", metadata={"topic": "ops"}, id="one")
    made.memory("ann", "add", text=ESCAPES, id="two")
    made.memory("bob", "add", text="Bob likes green tea.", id="three")
    return made


def test_list(aios: Aios) -> None:
    """One agent's notes, and nobody else's; nothing that a terminal would act upon; JSON has all of it."""
    said = aios("list", "--agent", "ann")
    assert said.code == 0
    assert "The deploy key expires on Friday." in said.out
    assert "red \\x1b[31m, turned \\u202e, cleared \\x9b2J" in said.out
    assert "tea" not in said.out
    assert not set(said.out) & set("\x1b\x9b\u202e")
    notes = aios("list", "--agent", "ann", "--json").data
    assert [(note["id"], note["text"], note["owner"]) for note in notes] == [
        ("one", "The deploy key expires on Friday.", "ann"),
        ("two", ESCAPES, "ann"),
    ]
    assert notes[0]["metadata"] == {"topic": "ops"}


def test_the_last_are_listed(aios: Aios) -> None:
    """A limit leaves out the oldest and says so, beside what is printed; there are more than come at once."""
    for number in range(30):
        aios.memory("eve", "add", text=f"note {number}", id=f"n{number}")
    said = aios("list", "--agent", "eve", "--limit", "2", "--json")
    assert [note["id"] for note in said.data] == ["n28", "n29"]
    assert "28 before these" in aios("list", "--agent", "eve", "--limit", "2").err
    assert len(aios("list", "--agent", "eve", "--limit", "0", "--json").data) == 30
    assert aios("list", "--agent", "eve", "--limit", "-1").code == 2


def test_nobody(aios: Aios) -> None:
    """An agent without notes has an empty list."""
    said = aios("list", "--agent", "nobody")
    assert (said.code, said.out) == (0, "")
    assert "no notes" in said.err
    assert aios("list", "--agent", "nobody", "--json").data == []
    assert aios("export", "--agent", "nobody").out == ""


def test_search(aios: Aios) -> None:
    """The best is first, by words and by spelling; the arguments are checked."""
    found = aios("search", "when do deploiment keys expire", "--agent", "ann", "--json").data
    assert found[0]["id"] == "one"
    assert found[0]["score"] > 0
    assert "Friday" in aios("search", "deploy", "--agent", "ann", "-k", "1").out
    assert aios("search", "Friday", "--agent", "bob", "--mode", "text", "--json").data == []
    assert aios("search", "x", "--agent", "ann", "-k", "0").code == 2


def test_export_and_import(aios: Aios, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What one agent exports another imports: text, ids and metadata are the same, also through standard input."""
    exported = aios("export", "--agent", "ann")
    assert exported.out.isascii()
    assert [note["text"] for note in exported.lines] == ["The deploy key expires on Friday.", ESCAPES]
    file = tmp_path / "ann.jsonl"
    file.write_text(exported.out)
    assert aios("import", str(file), "--agent", "eve").out == "notes imported: 2\n"
    monkeypatch.setattr(sys, "stdin", io.StringIO(exported.out))
    assert aios("import", "-", "--agent", "mal", "--json").data == {"imported": 2}
    for agent in ("eve", "mal"):
        got = aios("export", "--agent", agent).lines
        assert [(n["id"], n["text"], n["metadata"]) for n in got] == [
            (n["id"], n["text"], n["metadata"]) for n in exported.lines
        ]
    assert aios.memory("eve", "get", id="one")["note"]["text"] == "The deploy key expires on Friday."
    assert aios.memory("eve", "retrieve", query="deploy key", k=1)["notes"][0]["id"] == "one"


def test_an_import_is_whole_or_not_at_all(aios: Aios, tmp_path: Path) -> None:
    """Ids that are there, ids that come twice and lines that are no notes: nothing is written, and it is said why."""
    file = tmp_path / "notes.jsonl"
    for lines, expected in (
        ([{"id": "new", "text": "n"}, {"id": "one", "text": "x"}], "--replace"),
        ([{"id": "new", "text": "n"}, {"id": "new", "text": "x"}], "lines 1 and 2 are both the note 'new'"),
        ([{"id": "new", "text": "n"}, {"text": "x"}], "line 2 is not a note"),
        ([{"id": "new", "text": "n"}, "{"], "line 2 is not a note"),
    ):
        file.write_text("".join(json.dumps(line) + "\n" for line in lines))
        said = aios("import", str(file), "--agent", "ann")
        assert (said.code, said.out) == (1, "")
        assert expected in said.err
        assert [note["id"] for note in aios("export", "--agent", "ann").lines] == ["one", "two"]
    file.write_text(json.dumps({"id": "one", "text": "Monday\u2028"}) + "\r\n\n")
    assert aios("import", str(file), "--agent", "ann", "--replace").code == 0
    assert aios.memory("ann", "get", id="one")["note"]["text"] == "Monday\u2028"
    assert aios("import", str(tmp_path / "none"), "--agent", "ann").code == 2


def test_shelves_are_cleared(aios: Aios) -> None:
    """What a run left goes; what agents wrote stays, whatever its metadata, and so does what was changed meanwhile."""
    for number in range(3):
        aios.memory("ann", "add", text=f"left {number}", metadata=LEFT, id=f"left{number}")
    aios.memory("ann", "add", text="A book.", metadata={"shelf": "books"}, id="book")
    aios.memory("ann", "add", text="Looks like it.", metadata={"shelf": "0123abcd/Box/1"}, id="alike")
    said = aios("remove", "--shelves", "--agent", "ann", "--yes")
    assert said.out == "notes removed: 0\n"  # the run may be going on
    assert "left alone: 1" in said.err
    said = aios("remove", "--shelves", "--agent", "ann", "--unused", "0", "--yes")
    assert said.out.endswith("notes removed: 3\n")
    assert "0123abcd" in said.out
    assert [note["id"] for note in aios("export", "--agent", "ann").lines] == ["one", "two", "book", "alike"]
    empty = aios("remove", "--shelves", "--agent", "ann", "--unused", "0", "--json", "--yes")
    assert empty.data == {"removed": 0, "runs": 0, "left": 0}


def test_what_was_changed_meanwhile_stays(aios: Aios) -> None:
    """A note that somebody wrote since it was looked at is not removed."""
    from aios_adapters.cli.notes import open_folder, open_kernel

    for name in ("left1", "left2"):
        aios.memory("ann", "add", text="left", metadata=LEFT, id=name)
    notes = open_folder(aios.where[1]) if aios.where[0] == "--data" else open_kernel(aios.where[1])
    seen = [note for note in notes.notes("ann") if note["id"].startswith("left")]
    aios.memory("ann", "update", id="left1", text="corrected")
    assert notes.remove("ann", seen) == 1
    notes.close()
    assert aios.memory("ann", "get", id="left1")["note"]["text"] == "corrected"


def test_nobody_to_ask(aios: Aios, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a terminal nothing is removed unless that was said beforehand."""
    aios.memory("ann", "add", text="left", metadata=LEFT, id="left")
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    said = aios("remove", "--shelves", "--agent", "ann", "--unused", "0")
    assert said.code == 2
    assert "--yes" in said.err
    assert aios.memory("ann", "get", id="left")


@pytest.mark.parametrize(("answer", "code", "left"), [("n\n", 1, 1), ("\n", 1, 1), ("y\n", 0, 0)])
def test_a_person_is_asked(
    kernel: Kernel, tmp_path: Path, capsys: pytest.CaptureFixture[str], answer: str, code: int, left: int
) -> None:
    """At a terminal, with what it is about; nothing but yes is yes."""
    one = Aios(["--data", str(tmp_path / "data")], kernel, capsys)
    one.memory("ann", "add", text="left", metadata=LEFT, id="left")
    person, terminal = pty.openpty()
    os.write(person, answer.encode())
    done = subprocess.run(
        [sys.executable, "-m", "aios_adapters", "memory", "remove", "--shelves", "--unused", "0", *one.where],
        stdin=terminal, capture_output=True, text=True, check=False,
    )  # fmt: skip
    os.close(person)
    os.close(terminal)
    assert done.returncode == code
    assert "Remove these 1 notes? [y/N]" in done.stderr
    assert len(one("export", "--agent", "ann").lines) == left


@pytest.mark.skipif(importlib.util.find_spec("langchain_core") is None, reason="langchain is not installed")
def test_what_a_real_program_left(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A LangChain history kept by one run is listed, and cleared when the run is over."""
    environment = {**os.environ, "AIOS_DATA": str(tmp_path / "data")}
    subprocess.run([sys.executable, "-c", PROGRAM], env=environment, check=True)
    where = ("--data", str(tmp_path / "data"))
    assert main(["memory", "list", *where]) == 0
    assert "The deploy key expires on Friday." in capsys.readouterr().out
    assert main(["memory", "remove", "--shelves", "--unused", "0", "--yes", "--json", *where]) == 0
    assert json.loads(capsys.readouterr().out) == {"removed": 2, "runs": 1, "left": 0}


def test_everybody_in_a_folder(tmp_path: Path, kernel: Kernel, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a name a folder shows all agents, by names that --agent takes; a kernel asks for one."""
    one = Aios(["--data", str(tmp_path / "data")], kernel, capsys)
    names = ["a/b%2F:c", "agent:x", "ann", "group:g/h"]
    for name in names:
        one.memory(name, "add", text=f"of {name}", id="n")
    manager = MemoryManager(tmp_path / "data" / "memory.db")
    manager.import_("group:team", ['{"id": "n", "text": "of the team"}'])
    manager.close()
    owners = [note["owner"] for note in one("list", "--json").data]
    assert len(set(owners)) == 5
    texts = {one("list", "--agent", owner, "--json").data[0]["text"] for owner in owners}
    assert texts == {*(f"of {name}" for name in names), "of the team"}
    assert len(one("search", "of", "--mode", "text", "-k", "9", "--json").data) == 5


def test_a_kernel_wants_a_name(daemon: str, kernel: Kernel, capsys: pytest.CaptureFixture[str]) -> None:
    """The error says which option, and where names are."""
    said = Aios(["--kernel", daemon], kernel, capsys)("list")
    assert said.code == 2
    assert "--agent NAME" in said.err
    assert "aios ps" in said.err


class TestAccess:
    @pytest.fixture
    def access(self, tmp_path: Path) -> AccessManager:
        policy = tmp_path / "policy.toml"
        policy.write_text('[[rules]]\nwho = "ann"\ndo = "memory.remove"\neffect = "deny"\n')
        return AccessManager(policy)

    def test_a_kernels_policy_holds(self, daemon: str, kernel: Kernel, capsys: pytest.CaptureFixture[str]) -> None:
        """What ann may not do is not done for ann, and a group's notes are not for everybody."""
        aios = Aios(["--kernel", daemon], kernel, capsys)
        aios.memory("ann", "add", text="left", metadata=LEFT, id="left")
        refused = aios("remove", "--shelves", "--agent", "ann", "--unused", "0", "--yes")
        assert refused.code == 1
        assert "memory.remove" in refused.err
        assert len(aios("export", "--agent", "ann").lines) == 1
        assert aios("export", "--agent", "group:team").code == 1


def test_without_managers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A kernel that keeps no memory says so."""
    pytest.importorskip("uvicorn")
    kernel = Kernel()
    for _ in _served(kernel, Address(path=str(tmp_path / "k.sock"))):
        said = Aios(["--kernel", f"unix:{tmp_path / 'k.sock'}"], kernel, capsys)("list", "--agent", "ann")
    assert said.code == 2
    assert "--no-managers" in said.err


def test_where_it_is(tmp_path: Path, kernel: Kernel, capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    """The environment says it where no option does; without either, no kernel is started to ask."""
    one = Aios([], kernel, capsys)
    one.memory("ann", "add", text="tea", id="n")
    said = one("list", "--agent", "ann")
    assert said.code == 1
    assert "no kernel runs at" in said.err
    assert "--data FOLDER" in said.err
    assert not (tmp_path / "aios-adapters").exists()  # where one would have been started
    monkeypatch.setenv("AIOS_DATA", str(tmp_path / "data"))
    assert len(one("list", "--json").data) == 1
    monkeypatch.setenv("AIOS_KERNEL", f"unix:{tmp_path / 'none.sock'}")
    assert "none.sock" in one("list", "--agent", "ann").err
    assert one("list", "--data", str(tmp_path / "empty")).code == 2
    assert not (tmp_path / "empty").exists()
    file = tmp_path / "one.jsonl"
    file.write_text('{"id": "a", "text": "b"}')
    assert one("import", str(file), "--agent", "ann", "--data", str(tmp_path / "made")).code == 0
    assert (tmp_path / "made").stat().st_mode & 0o777 == 0o700
    assert "goes with --data" in one("search", "x", "--agent", "ann", "--embedder", "minilm").err
    made = str(tmp_path / "made")
    assert "needs the kernel" in one("search", "x", "--data", made, "--embedder", "kernel:m").err
    assert one("search", "x", "--data", made, "--embedder", "nonsense").code == 2


class Other(LexicalEmbedder):
    """An embedder whose vectors are no other's."""

    space = "other/1"


def test_vectors_stay_as_they_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Looking at notes that were embedded by another embedder embeds none anew, finds them by words and says so."""
    manager = MemoryManager(tmp_path / "memory.db", embedder=Other())
    manager.import_("ann", ['{"id": "n", "text": "green tea"}'])
    manager.close()
    kernel = Kernel()
    said = Aios(["--data", str(tmp_path)], kernel, capsys)("search", "tea")
    assert "green tea" in said.out
    assert "1 notes have no vector of this embedder" in said.err
    Aios(["--data", str(tmp_path)], kernel, capsys)("list")
    store = SQLiteStore(tmp_path / "memory.db")
    assert store.count_lacking("memory:ann", "other/1") == 0
    store.close()
    kernel.close()
