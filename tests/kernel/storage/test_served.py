"""The manager behind a daemon: agents of several processes have their files and shares there, as in one process."""

from __future__ import annotations

import contextlib

import pytest

from aios_adapters.remote import RemoteKernel
from aios_kernel.abi import StorageCall
from aios_kernel.errors import AccessDenied, FileMissing, PathRefused, VersionConflict
from aios_kernel.kernel import Kernel
from tests.kernel.storage.support import ANN, EVE, opened
from tests.support.shared import served


@pytest.fixture
def call(tmp_path):
    kernel = Kernel(managers=[opened(tmp_path / "s")])
    with contextlib.ExitStack() as stack:
        stack.callback(kernel.close)
        server = stack.enter_context(served(kernel, tmp_path / "k.sock"))
        clients = {
            agent.name: stack.enter_context(contextlib.closing(RemoteKernel(server.where))) for agent in (ANN, EVE)
        }

        def call(agent, verb, **arguments):
            with clients[agent.name].syscall(StorageCall(agent=agent, verb=verb, arguments=arguments)) as grant:
                return grant.reply().data

        yield call


def test_files_and_shares(call):
    """Two clients, one store: what one writes, the other reads only while it is shared."""
    assert call(ANN, "write", path="a", content="one")["version"] == 1
    with pytest.raises(AccessDenied, match="may not read"):
        call(EVE, "read", path="a", root="agent:ann")
    made = call(ANN, "share", path="a", to="agent:eve")
    assert call(EVE, "read", path="a", root="agent:ann")["content"] == "one"
    assert call(ANN, "revoke", id=made["id"])["revoked"] is True
    with pytest.raises(AccessDenied):
        call(EVE, "read", path="a", root="agent:ann")


@pytest.mark.parametrize(
    ("verb", "arguments", "error"),
    [
        ("read", {"path": "../a"}, PathRefused),
        ("read", {"path": "b"}, FileMissing),
        ("write", {"path": "a", "content": "", "expected_version": 7}, VersionConflict),
    ],
)
def test_errors_keep_their_class(call, verb, arguments, error):
    """A client can tell a refused path, a missing file and a lost race apart."""
    with pytest.raises(error) as caught:
        call(ANN, verb, **arguments)
    assert type(caught.value) is error
