"""Wait in a test for what another thread brings about, with an end to patience."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE = 20  # seconds before a test that would hang fails instead


def wait_until(condition: Callable[[], object], patience: float = PATIENCE) -> None:
    """Return once the condition holds; fail the test when it does not come about."""
    pause = threading.Event()
    for _ in range(int(patience / 0.005)):
        if condition():
            return
        pause.wait(0.005)
    pytest.fail("the condition did not come about")
