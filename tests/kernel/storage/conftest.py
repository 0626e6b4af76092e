"""Storage managers for tests."""

from __future__ import annotations

import pytest

from tests.kernel.storage.support import ANN, BOB, EVE, As, Time, opened


@pytest.fixture
def now():
    return Time()


@pytest.fixture
def manager(tmp_path, now):
    manager = opened(tmp_path / "store", clock=now)
    yield manager
    manager.close()


@pytest.fixture
def ann(manager):
    return As(manager, ANN)


@pytest.fixture
def bob(manager):
    return As(manager, BOB)


@pytest.fixture
def eve(manager):
    return As(manager, EVE)
