"""What all tests share. Imported inside the frameworks' environments too, so it needs nothing but pytest."""

from tests.support.frameworks import pytest_collect_directory, pytest_terminal_summary

__all__ = ["pytest_collect_directory", "pytest_terminal_summary"]
