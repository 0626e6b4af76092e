"""Tools of other packages: found by entry point, and one that is broken keeps none of the others out."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint
from types import ModuleType

import pytest

from aios_kernel.toolkit import Tool, ToolManager
from aios_kernel.toolkit.registry import GROUP, Registry

PACKAGE = "aios_test_tools"


@pytest.fixture
def entry(monkeypatch):
    """Make entry points of a module that was installed for this test."""
    module = ModuleType(PACKAGE)

    def double(x: int) -> int:
        """Double."""
        return 2 * x

    several = [Tool(name="acme/one", run=lambda: 1), double]
    vars(module).update(double=double, made=Tool(name="acme/made", run=lambda: 1), several=several)
    monkeypatch.setitem(sys.modules, PACKAGE, module)
    return lambda name, attribute: EntryPoint(name, f"{PACKAGE}:{attribute}", GROUP)


def test_what_an_entry_point_may_be(entry):
    """A callable under the entry point's name, a tool under its own, a list of both."""
    registry = Registry()
    registry.load_entry_points([entry("acme/twice", "double"), entry("x", "made"), entry("y", "several")])
    assert [tool.name for tool in registry] == ["acme/made", "acme/one", "acme/twice", "other/double"]
    assert registry.get("acme/twice").parameters["required"] == ["x"]
    assert not registry.broken


def test_broken_ones_are_listed(entry):
    """One that cannot be imported, one that is no tool and one whose name is taken: each with its reason."""
    registry = Registry()
    broken = [entry("gone", "nothing"), EntryPoint("lost", "no_such_package:x", GROUP), entry("again", "made")]
    registry.load_entry_points([entry("x", "made"), *broken, entry("acme/twice", "double")])
    assert [tool.name for tool in registry] == ["acme/made", "acme/twice"]
    assert set(registry.broken) == {"gone", "lost", "again"}
    assert "registered already" in registry.broken["again"]
    manager = ToolManager(shipped=())
    manager.registry.load_entry_points(broken[:2])
    rows = {row["name"]: row["missing"] for row in manager.rows()}
    assert "no_such_package" in rows["lost"][0]
    manager.close()
