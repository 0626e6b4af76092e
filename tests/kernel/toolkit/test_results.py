"""Stored results: the folder keeps the contract, within its bound, through restarts and beside other processes."""

from __future__ import annotations

import os

import pytest

from aios_kernel.abi import Agent
from aios_kernel.errors import ToolError
from aios_kernel.toolkit import DirectoryResults
from tests.contracts.results import ANN, ResultStoreContract


class TestDirectoryResults(ResultStoreContract):
    """A folder that is given."""

    @pytest.fixture
    def store(self, tmp_path):
        return DirectoryResults(tmp_path / "results")


def test_the_oldest_make_room(tmp_path):
    """The bound holds over all agents together; what alone is larger is refused, and nothing else goes for it."""
    store, ben = DirectoryResults(tmp_path, max_bytes=250), Agent(name="ben")
    references = []
    for number, (agent, letter) in enumerate([(ANN, "a"), (ben, "b"), (ANN, "c")]):
        references.append((agent, store.put(agent, letter * 100)))
        file = next(path for path in tmp_path.glob("*/*") if path.name in references[-1][1])
        os.utime(file, ns=(number, number))
    with pytest.raises(ToolError, match="made room for newer ones"):
        store.get(*references[0])
    with pytest.raises(ToolError, match="more than the 250"):
        store.put(ben, "x" * 251)
    assert [store.get(*one) for one in references[1:]] == ["b" * 100, "c" * 100]
    assert sum(path.stat().st_size for path in tmp_path.glob("*/*")) <= 250


def test_it_outlives_its_process(tmp_path):
    """Another store on the same folder has what the first kept; nobody else on the machine can read it."""
    reference = DirectoryResults(tmp_path / "kept").put(ANN, "still here")
    assert DirectoryResults(tmp_path / "kept").get(ANN, reference) == "still here"
    for path in (tmp_path / "kept", *(tmp_path / "kept").rglob("*")):
        assert path.stat().st_mode & 0o077 == 0
