"""Every store of the kernel holds to the contract."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from aios_kernel.store import MemoryStore, SQLiteStore
from aios_kernel.store import matrices as matrices_module
from aios_kernel.store.vectors import Matrix
from tests.contracts.store import StoreContract


class TestMemory(StoreContract):
    @pytest.fixture
    def store(self) -> MemoryStore:
        return MemoryStore()


class TestSQLite(StoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[SQLiteStore]:
        store = SQLiteStore(tmp_path / "records.db")
        yield store
        store.check()
        store.close()


class TestSQLiteWithoutNumpy(TestSQLite):
    """The same where numpy is not installed."""

    @pytest.fixture
    def store(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SQLiteStore]:
        monkeypatch.setattr(matrices_module, "make_matrix", Matrix)
        store = SQLiteStore(tmp_path / "records.db")
        yield store
        store.close()


class TestSQLiteThatHoldsNothing(TestSQLite):
    """The same where memory for vectors is so short that they are read again and again."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[SQLiteStore]:
        store = SQLiteStore(tmp_path / "records.db", cache_bytes=0)
        yield store
        store.close()
