"""Hooks for a conftest whose framework leaves its HTTP clients to the garbage collector, as programs of its users do.

What is collected in the middle of a test, or after the last one, is then no failure of that test. Import both hooks.
"""

from __future__ import annotations

import warnings

import pytest

__all__ = ["pytest_configure", "pytest_unconfigure"]

IGNORED = ("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")


def pytest_configure(config: pytest.Config) -> None:
    """Let what is left open pass."""
    for line in IGNORED:
        config.addinivalue_line("filterwarnings", line)


def pytest_unconfigure() -> None:
    """Let what is still open at the end pass, too."""
    warnings.simplefilter("ignore")
