"""A kernel with tools of its own, for the tests of each framework that is handed them."""

from __future__ import annotations

import pytest

from aios_kernel.identity import current_agent
from aios_kernel.kernel import Kernel
from aios_kernel.toolkit import ToolManager

__all__ = ["Kitchen", "kitchen"]


class Kitchen:
    """The kernel, who used its scale, and how many tool calls it granted."""

    def __init__(self):
        manager = ToolManager(shipped=(), load_entry_points=False)
        self.users = []
        for tool in (self.weigh, self.fail):
            manager.add(tool, org="kitchen")
        self.kernel = Kernel(managers=[manager])

    def weigh(self, what: str, unit: str | None = None) -> dict[str, str]:
        """Weigh a thing on the kernel's scale."""
        agent = current_agent.get()
        self.users.append(agent.name if agent else "")
        return {"kernel": f"{what} weighs 1 {unit or 'kg'}"}

    def fail(self, what: str) -> str:
        """Fail."""
        raise ZeroDivisionError(what)

    @property
    def tool_calls(self):
        """How many tool calls were granted since the tools were listed."""
        return self.kernel.status().syscalls.get("tool", 0) - 1

    def queues(self):
        """The run queues of tools that were made."""
        return {row["resource"] for row in self.kernel.status().resources if row["resource"].startswith("tool:")}


@pytest.fixture
def kitchen():
    """One kernel with tools, closed at the end."""
    made = Kitchen()
    yield made
    made.kernel.close()
