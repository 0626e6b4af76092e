"""A kernel with every manager, called in this process and through a server."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aios_adapters.remote import RemoteKernel
from aios_kernel import Kernel, Reply
from aios_kernel.abi import ChatCall, LLMCall
from aios_kernel.cores.scripted import ScriptedCore
from aios_kernel.gate import Gate
from aios_kernel.managers.standard import standard_managers
from tests.support.shared import served


class Rig:
    """A gate to a kernel whose model says what a test has it say; `asked` are the chats it was sent."""

    def __init__(self, stack: contextlib.ExitStack, folder: Path, *, remote: bool) -> None:
        self.data, self.asked = folder / "data", list[ChatCall]()
        self._replies = list[Reply | str]()
        self._stack, self._socket, self._remote = stack, folder / "k.sock", remote
        self.gate = self.kernel(llm=ScriptedCore(self._next), managers=standard_managers(self.data))

    def kernel(self, **options: Any) -> Gate:
        """A gate to a kernel, behind a server where this rig's are."""
        kernel = self._stack.enter_context(contextlib.closing(Kernel(**options)))
        if not self._remote:
            return kernel
        socket = self._socket.with_suffix(f".{len(list(self._socket.parent.iterdir()))}")
        server = self._stack.enter_context(served(kernel, socket))
        return self._stack.enter_context(contextlib.closing(RemoteKernel(server.where)))

    def say(self, *replies: Reply | str) -> None:
        """Have the model answer with these, one a call."""
        self._replies += replies

    def _next(self, call: LLMCall) -> Reply | str:
        assert isinstance(call, ChatCall)
        self.asked.append(call)
        return self._replies.pop(0)


@pytest.fixture(params=["embedded", "remote"])
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rig]:
    """The same test with the kernel here and elsewhere."""
    with contextlib.ExitStack() as stack:
        yield Rig(stack, tmp_path, remote=request.param == "remote")
