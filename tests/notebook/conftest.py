"""A real notebook kernel, and a front end that a test drives: it runs cells, sees questions and types answers."""

from __future__ import annotations

import queue
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from jupyter_client.blocking.client import BlockingKernelClient
    from jupyter_client.manager import KernelManager

PATIENCE = 30  # seconds, on a busy machine
NO_MORE = 0.5  # seconds in which nothing must come
Message = dict[str, Any]

BEGIN = """
import asyncio, os, threading, time
import aios_adapters
from aios_kernel import Agent, ToolCall
from aios_kernel.errors import AccessDenied

def use(name="shell", **arguments):
    with aios_adapters.session.in_force().kernel.syscall(ToolCall(agent=Agent(name="ann"), name=name, arguments=arguments)):
        return f"{name} ran"

async def ause(name="shell", **arguments):
    async with aios_adapters.session.in_force().kernel.syscall(ToolCall(agent=Agent(name="ann"), name=name, arguments=arguments)):
        return f"{name} ran"

def go():
    while not os.path.exists("go"):
        time.sleep(0.01)

async def ago():
    while not os.path.exists("go"):
        await asyncio.sleep(0.01)

def told(use, *arguments):
    try:
        return use(*arguments)
    except AccessDenied as error:
        return str(error)
"""


class Cell:
    """A cell that was started."""

    def __init__(self, client: BlockingKernelClient, code: str, *, allow_stdin: bool = True) -> None:
        self._client = client
        self.id: str = client.execute(code, allow_stdin=allow_stdin)

    def question(self, patience: float = PATIENCE) -> Message:
        """The next question, as the front end would show it below this cell."""
        message: Message = self._client.get_stdin_msg(timeout=patience)
        assert message["msg_type"] == "input_request"
        assert message["parent_header"]["msg_id"] == self.id
        return message

    def nothing_asked(self) -> None:
        """Nothing is asked at the moment."""
        with pytest.raises(queue.Empty):
            self._client.get_stdin_msg(timeout=NO_MORE)

    def answer(self, question: Message, text: str) -> None:
        """Type into the box of a question, as JupyterLab says it: naming the question."""
        reply = self._client.session.msg("input_reply", {"value": text, "status": "ok"}, parent=question["header"])
        self._client.stdin_channel.send(reply)

    def output(self) -> str:
        """All that stands below the cell once it has ended: what was written, results and errors."""
        return "".join(self._texts())

    def next_output(self) -> str:
        """What comes next below the cell."""
        return next(self._texts())

    def data(self) -> dict[str, str]:
        """The cell's result in each of its forms."""
        (found,) = [one["content"]["data"] for one in self._messages() if one["msg_type"] == "execute_result"]
        return found

    def _texts(self) -> Iterator[str]:
        for message in self._messages():
            content = message["content"]
            if message["msg_type"] == "stream":
                yield content["text"]
            elif message["msg_type"] == "execute_result":
                yield content["data"]["text/plain"] + "\n"
            elif message["msg_type"] == "error":
                yield f"{content['ename']}: {content['evalue']}\n"

    def _messages(self) -> Iterator[Message]:
        end = time.monotonic() + PATIENCE
        while True:
            message: Message = self._client.get_iopub_msg(timeout=max(0, end - time.monotonic()))
            if message["parent_header"].get("msg_id") == self.id:
                yield message
                if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
                    return


class Notebook:
    """The kernel's process and its one front end."""

    def __init__(self, manager: KernelManager, client: BlockingKernelClient, folder: Path) -> None:
        self._manager, self._client, self.folder = manager, client, folder

    def start(self, code: str, **options: Any) -> Cell:
        """Start a cell."""
        return Cell(self._client, code, **options)

    def run(self, code: str, **options: Any) -> str:
        """Run a cell in which nothing is asked."""
        return self.start(code, **options).output()

    def go(self) -> None:
        """Let what waits for `go()` in a cell go on."""
        (self.folder / "go").touch()

    def interrupt(self) -> None:
        """Press the button with the square."""
        self._manager.interrupt_kernel()


@pytest.fixture
def bare(tmp_path: Path) -> Generator[Notebook]:
    """A notebook in which nothing has been run."""
    from jupyter_client.manager import KernelManager

    manager = KernelManager()
    manager.start_kernel(cwd=str(tmp_path))
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=PATIENCE)
        yield Notebook(manager, client, tmp_path)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


@pytest.fixture
def notebook(bare: Notebook, tmp_path: Path) -> Notebook:
    """A notebook whose first cell has run: everything is asked for, but reading."""
    policy = tmp_path / "policy.toml"
    policy.write_text('default = "ask"\n[[rules]]\ndo = "tool.run"\nto = "tool:read"\neffect = "allow"\n')
    assert bare.run(f"{BEGIN}\naios_adapters.enable(access={str(policy)!r}); None") == ""
    return bare
