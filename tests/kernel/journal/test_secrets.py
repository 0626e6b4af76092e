"""Planted secrets: in prompts, arguments, errors and answers, none is found in what a journal leaves or shows."""

from __future__ import annotations

import json
import os
import stat
import threading
from typing import Any

import pytest

from aios_adapters.cli import main
from aios_kernel.abi import Agent, ChatCall, ToolCall
from aios_kernel.cores.scripted import ScriptedCore
from aios_kernel.errors import JournalDivergence, JournalError
from aios_kernel.journal import Journal, Journaled
from aios_kernel.kernel import Kernel

#: What would be found, and how a program would say it.
PLANTED = {
    "sk-proj-Abc123Def456Ghi789Jkl012": "the key is {} I think",
    "ghp_16C7e42F292c6912E7710c838347Ae178B4a": "token={}",
    "AKIAIOSFODNN7EXAMPLE": "export AWS_ACCESS_KEY_ID={}",
    "Zm9vYmFyMTIzNDU2Nzg5MA": "Authorization: Bearer {}",
    "hunter2xyz9": "postgres://ada:{}@db.example.com/notes",
    "correct-horse-7": '{{"password": "{}"}}',
    "no-shape-and-no-name": "psst: {}",
}
SAID = "\n".join(said.format(secret) for secret, said in PLANTED.items())
#: What no rule can know for a secret is hidden in answers all the same.
KNOWN = [secret for secret in PLANTED if secret != "no-shape-and-no-name"]
ANN = Agent(name="ann")


def _chat(text, **fields: Any):
    return ChatCall(agent=ANN, model="m", messages=[{"role": "user", "content": text}], **fields)


def _program(path, mode="record", answer: Any = SAID) -> list[Any]:
    """Secrets in a prompt, a tool's arguments, what it could not keep, and answers, whole and in pieces."""
    kernel = Journaled(Kernel(llm=ScriptedCore(lambda call: answer)), Journal(path, mode))
    got: list[Any] = []
    prompt = SAID.replace("no-shape-and-no-name", "")
    try:
        with kernel.syscall(_chat(prompt)) as grant:
            got.append(grant.reply().text)
        with kernel.syscall(_chat("stream", stream=True)) as grant:
            got.append([delta.text for delta in grant.deltas()])
        with kernel.syscall(ToolCall(agent=ANN, name="t", arguments={"how": prompt}, lease=True)) as grant:
            if grant.lease:
                grant.record({"result": {"value": SAID}})
            got.append(True)
        with kernel.syscall(ToolCall(agent=ANN, name="u", lease=True)) as grant:
            grant.record(opaque=f"ValueError({prompt!r})")
    finally:
        kernel.close()
    return got


def _found(folder, secrets=PLANTED) -> list[tuple[str, str]]:
    """What is in any file of a folder, plainly or as JSON or base64 would write it."""
    texts = {path.name: path.read_bytes() for path in folder.iterdir()}
    return [(secret, name) for secret in secrets for name, data in texts.items() if secret.encode() in data]


def test_no_file_has_any(tmp_path):
    """Every byte that a run leaves, also while it runs: the log of what is not yet in the table, too."""
    journal = Journal(tmp_path / "j")
    kernel = Journaled(Kernel(llm=ScriptedCore(lambda call: SAID)), journal)
    with kernel.syscall(_chat("ask")) as grant:
        assert grant.reply().text == SAID
    assert (tmp_path / "j-wal").exists()
    assert _found(tmp_path) == []
    kernel.close()
    _program(tmp_path / "j")
    assert _found(tmp_path) == []


def test_every_answer_comes_back_byte_for_byte(tmp_path):
    """What is hidden from readers of the file is given back to the program, pieces as they were."""
    first = _program(tmp_path / "j")
    assert first[0] == "".join(first[1]) == SAID
    assert len(first[1]) > len(PLANTED)
    with pytest.raises(JournalError, match="not run a second time") as raised:
        _program(tmp_path / "j", "strict", "something else")
    assert not [secret for secret in KNOWN if secret in str(raised.value)]
    journal = Journal(tmp_path / "j", "strict")
    answers = [json.loads(row.answer) for row in journal.rows()]
    journal.close()
    assert answers[0]["reply"]["text"] == SAID
    assert answers[2]["native"]["result"]["value"] == SAID


@pytest.mark.parametrize("command", ["show", "show --json", "export", "diff"])
def test_no_command_shows_any(tmp_path, capsys, command):
    """Also not of answers that came in pieces, of which none has a whole secret."""
    _program(tmp_path / "a")
    _program(tmp_path / "b", answer=f"other: {SAID}")
    name, *more = command.split()
    main(["journal", name, str(tmp_path / "a"), *([str(tmp_path / "b")] if name == "diff" else []), *more])
    out = capsys.readouterr().out
    assert "redacted" in out
    assert [secret for secret in KNOWN if secret in out] == []
    assert out.count("psst") >= (0 if command == "show" else 1)


def test_no_command_shows_any_of_a_streamed_body(tmp_path, capsys):
    """The body of an endpoint's stream has a secret in many events, as a model says it."""
    secret = KNOWN[0]
    pieces = ["key: ", *(secret[at : at + 3] for at in range(0, len(secret), 3)), " end"]
    events = [{"choices": [{"index": 0, "delta": {"content": piece}}]} for piece in pieces]
    body = "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"
    kernel = Journaled(Kernel(), Journal(tmp_path / "j"))
    with kernel.syscall(_chat("x", stream=True)) as grant:
        grant.record({"openai": {"text": body, "type": "text/event-stream", "id": ""}})
    kernel.close()
    for command in (["show"], ["export"]):
        main(["journal", *command, str(tmp_path / "j")])
        out = capsys.readouterr().out
        assert "***redacted***" in out
        assert secret[:9] not in "".join(char for char in out if char.isalnum() or char == "-")
    assert _found(tmp_path, [secret[3:6] + '"', secret]) == []


def test_a_divergence_shows_none(tmp_path):
    """The diff of a strict replay is of requests without their secrets."""
    _program(tmp_path / "j")
    kernel = Journaled(Kernel(), Journal(tmp_path / "j", "strict"))
    with pytest.raises(JournalDivergence) as raised, kernel.syscall(_chat(f"other {SAID}")):
        pass
    kernel.close()
    assert not [secret for secret in KNOWN if secret in str(raised.value)]


def test_errors_leave_nothing(tmp_path):
    """What a model's or a tool's failure says is not recorded at all."""

    def fail(call):
        raise ValueError(SAID)

    kernel = Journaled(Kernel(llm=ScriptedCore(fail)), Journal(tmp_path / "j"))
    with pytest.raises(Exception, match="psst"), kernel.syscall(_chat("x")) as grant:
        grant.reply()
    with pytest.raises(ValueError, match="psst"), kernel.syscall(ToolCall(agent=ANN, name="t", lease=True)):
        raise ValueError(SAID)
    kernel.close()
    assert _found(tmp_path) == []


# The key -------------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_the_key_is_its_owner_s_alone(tmp_path):
    """Made with the first answer, and nothing else is left beside it."""
    journal = Journal(tmp_path / "j")
    assert not (tmp_path / "j.key").exists()
    journal.close()
    _program(tmp_path / "j")
    assert stat.S_IMODE((tmp_path / "j.key").stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["j", "j.key"]


def test_without_its_key_a_journal_says_so(tmp_path, capsys):
    """A lost key, another's and a broken one: a clear error, no wrong answer; recording anew is the way out."""
    _program(tmp_path / "j")
    key = (tmp_path / "j.key").read_bytes()
    for other, said in ((None, "j.key.*put it back"), (bytes(32), "another key"), (b"short", "no key")):
        (tmp_path / "j.key").unlink(missing_ok=True)
        if other is not None:
            (tmp_path / "j.key").write_bytes(other)
        with pytest.raises(JournalError, match=said):
            _program(tmp_path / "j", "replay")
        assert main(["journal", "show", str(tmp_path / "j")]) != 0
        assert "key" in capsys.readouterr().err
    (tmp_path / "j.key").write_bytes(key)
    with pytest.raises(JournalError, match="not run a second time"):
        _program(tmp_path / "j")
    (tmp_path / "j.key").unlink()
    assert _program(tmp_path / "j", "refresh")[0] == SAID


def test_a_changed_answer_is_found(tmp_path):
    """An answer is given back as it was or not at all."""
    import sqlite3

    _program(tmp_path / "j")
    with sqlite3.connect(tmp_path / "j") as connection:
        (sealed,) = connection.execute("SELECT answer FROM records WHERE id = 1").fetchone()
        at = len(sealed) // 2
        changed = sealed[:at] + ("A" if sealed[at] != "A" else "B") + sealed[at + 1 :]
        connection.execute("UPDATE records SET answer = ? WHERE id = 1", (changed,))
    connection.close()
    with pytest.raises(JournalError, match="another key"):
        _program(tmp_path / "j", "replay")


def test_many_make_one_key(tmp_path):
    """Journals that are opened at once on the same file, as several processes do, seal with the same key."""
    journals = [Journal(tmp_path / "j") for _ in range(8)]
    kernels = [Journaled(Kernel(llm=ScriptedCore(lambda call: SAID)), journal) for journal in journals]
    barrier = threading.Barrier(len(kernels))

    def ask(number):
        barrier.wait()
        with kernels[number].syscall(_chat(f"from {number}")) as grant:
            grant.reply()

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(len(kernels))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for kernel in kernels:
        kernel.close()
    journal = Journal(tmp_path / "j", "strict")
    assert [json.loads(row.answer)["reply"]["text"] for row in journal.rows()] == [SAID] * len(kernels)
    journal.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["j", "j.key"]
