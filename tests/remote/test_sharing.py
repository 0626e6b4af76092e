"""The programs of examples/shared_notes: agents of three frameworks, one daemon, and a policy that says who may read whose notes and files."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import pytest

from aios_adapters.remote import RemoteKernel
from aios_evals.endpoint import Endpoint, Prompt, ToolCall
from aios_kernel.access import verify
from aios_kernel.errors import AccessDenied
from aios_kernel.sdk import Client
from tests.envs import ROOT
from tests.support.examples import SHARED_NOTES, Example

pytestmark = pytest.mark.slow

FOLDER = ROOT / "examples" / "shared_notes"
PATIENCE = 180  # seconds for a program on a busy machine, imports included
SCRIBE, READER, GUEST = SHARED_NOTES

#: What the model does, by the tools it is offered: one call after the other, then a word.
STEPS = {
    frozenset({"note", "remember", "save"}): (
        ToolCall("note", {"text": "The ferry leaves at nine."}),
        ToolCall("remember", {"fact": "Tickets are sold on board."}),
        ToolCall("save", {"path": "ferry.txt", "content": "nine, pier 4"}),
    ),
    frozenset({"find", "read"}): (
        ToolCall("find", {"question": "when does the ferry leave?", "owner": "group:desk"}),
        ToolCall("find", {"question": "where are tickets sold?", "owner": "scribe"}),
        ToolCall("read", {"path": "ferry.txt"}),
    ),
}


def _model(prompt: Prompt) -> ToolCall | str:
    steps = STEPS[frozenset(tool["function"]["name"] for tool in prompt.tools)]
    done = sum(message["role"] == "tool" for message in prompt.messages)
    return steps[done] if done < len(steps) else "done"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Generator[str]:
    """A daemon with the example's policy and an audit log."""
    folder = tmp_path_factory.mktemp("daemon")
    with Endpoint(reply=_model) as endpoint:
        command = [
            *(sys.executable, "-m", "aios_adapters", "serve", f"--socket={folder / 'k.sock'}"),
            *(f"--llm=openai:{endpoint.base_url}", f"--data={folder / 'data'}"),
            *(f"--access={FOLDER / 'policy.toml'}", f"--audit={folder / 'audit.jsonl'}"),
        ]
        daemon = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert daemon.stdout is not None
            assert daemon.stdout.readline().startswith("aios: ready")
            yield f"unix:{folder / 'k.sock'}"
        finally:
            daemon.kill()
            daemon.communicate()


def _run(example: Example, address: str, folder: Path) -> list[str]:
    program = example.start(address, folder)
    try:
        out, err = program.communicate(timeout=PATIENCE)
    finally:
        program.kill()
    assert program.returncode == 0, err
    return out.splitlines()


def test_agents_of_three_frameworks(address: str, tmp_path: Path) -> None:
    """What LangGraph's agent wrote, AutoGen's finds: a note of the group, one of its own store's, a file; the guest is denied all."""
    assert _run(SCRIBE, address, tmp_path) == [
        "note: The ferry leaves at nine.",
        "remember: remembered",
        "save: ferry.txt, version 1",
    ]
    assert _run(READER, address, tmp_path) == [
        "find: The ferry leaves at nine. (scribe, by langchain)",
        'find: {"fact": "Tickets are sold on board."} (scribe, by langchain)',
        "read: nine, pier 4",
    ]
    wants = (
        "memory.retrieve 'memory:group:desk'",
        "memory.retrieve 'memory:scribe'",
        "storage.read 'file:group:desk/ferry.txt'",
    )
    why = "default (no rule fits, and the default is 'deny')"
    assert _run(GUEST, address, tmp_path) == [
        f"{tool}: error: agent 'guest' may not {what}: {why}"
        for tool, what in zip(("find", "find", "read"), wants, strict=True)
    ]
    audit = Path(address.removeprefix("unix:")).with_name("audit.jsonl")
    assert verify(audit).ok
    entries = [json.loads(line) for line in audit.read_text().splitlines()]
    denied = [one for one in entries if one["decision"] == "deny"]
    assert [(one["agent"], f"{one['action']} {one['target']!r}") for one in denied] == [
        ("guest", what) for what in wants
    ]
    rules = {(one["agent"], one["framework"]): one["rule"] for one in entries if one["action"] == "memory.retrieve"}
    assert "what the scribe remembers" in rules["reader", "autogen"]


def test_who_is_in_no_group_writes_nothing_there(address: str) -> None:
    """Nor does a member take back what another wrote: the policy lets it add."""
    with contextlib.closing(RemoteKernel(address)) as kernel:
        guest, reader = Client(kernel, "guest"), Client(kernel, "reader")
        note = reader.create_memory("Bring a coat.", owner="group:desk")
        reader.write_file("coat.txt", "blue", root="group:desk")
        for write in (
            lambda: guest.create_memory("Stay at home.", owner="group:desk"),
            lambda: guest.write_file("coat.txt", "red", root="group:desk"),
            lambda: guest.search_memories("coat", owner="reader"),
            lambda: reader.delete_memory(note["id"], owner="group:desk"),
            lambda: reader.create_memory("Stay at home.", owner="scribe"),
        ):
            with pytest.raises(AccessDenied, match="may not"):
                write()
        assert reader.read_file("coat.txt", root="group:desk")["content"] == "blue"
        assert guest.create_memory("mine")["agent"] == "guest"
