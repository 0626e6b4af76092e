"""What all tests share. Imported inside the frameworks' environments too, so it needs nothing but pytest."""

import signal

import pytest

from tests.support.frameworks import pytest_addoption, pytest_collect_directory, pytest_terminal_summary

__all__ = [
    "pytest_addoption",
    "pytest_collect_directory",
    "pytest_collection_modifyitems",
    "pytest_configure",
    "pytest_terminal_summary",
]


def pytest_configure() -> None:
    """Let Ctrl-C work in the programs that tests start: a shell's background job inherits it ignored, and so would they."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Write what a test shows into the report, from which the matrix of frameworks is made."""
    for item in items:
        item.user_properties += [("shows", column) for mark in item.iter_markers("shows") for column in mark.args]
