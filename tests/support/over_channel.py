"""A pytest plugin: whatever is enabled gets its kernel from the other end of a channel.

    pytest -p tests.support.over_channel tests/adapters/openai

So the adapters' own tests show that they cannot tell. Tests that look into the kernel itself are not for it.
"""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from aios_adapters import session
from aios_adapters.remote import RemoteKernel
from tests.support.shared import Served

if TYPE_CHECKING:
    from collections.abc import Iterator


class OverChannel(RemoteKernel):
    """A client that ends the server with itself."""

    def __init__(self, server: Served, kernel: Any, **options: Any) -> None:
        super().__init__(server.where, **options)
        self._end = [server.stop, kernel.close]

    def close(self) -> None:
        """End the connection, the server and its kernel."""
        super().close()
        while self._end:
            self._end.pop(0)()


@pytest.fixture(autouse=True)
def over_channel(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Put a server and its client between every session and its kernel."""
    native = session.make_kernel
    numbers = itertools.count()
    with tempfile.TemporaryDirectory() as folder:

        def make_kernel(settings: Any) -> Any:
            kernel: Any = native(settings)
            server = Served(kernel, Path(folder) / f"{next(numbers)}.sock")
            return OverChannel(server, kernel, on_loss=settings.on_kernel_loss)

        monkeypatch.setattr(session, "make_kernel", make_kernel)
        yield
