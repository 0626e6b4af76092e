"""Daemons on a Unix socket and on TCP, over one scripted model."""

from __future__ import annotations

import pytest

from aios_kernel.address import Address
from aios_kernel.cores.scripted import ScriptedCore
from aios_kernel.kernel import Kernel
from tests.integrations.server.support import PATIENCE, client_of, script, serving


@pytest.fixture(autouse=True)
def runtime(tmp_path, monkeypatch):
    """Sockets and tokens of these tests are their own."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.delenv("AIOS_TOKEN", raising=False)


@pytest.fixture
def kernel():
    return Kernel(llm={"scripted": ScriptedCore(script)})


@pytest.fixture(params=["unix", "tcp"])
def address(request, tmp_path):
    return Address(path=str(tmp_path / "k.sock")) if request.param == "unix" else Address(host="127.0.0.1", port=0)


@pytest.fixture
def listening(kernel, address):
    with serving(kernel, address, drain=5) as listening:
        yield listening


@pytest.fixture
def client(listening):
    with client_of(listening, max_retries=0, timeout=PATIENCE) as client:
        yield client
