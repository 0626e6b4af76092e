"""Scheduling classes: each agent may choose its own policy, and gains nothing by the choice alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from aios_kernel.scheduling.policies.counters import VirtualCounters
from aios_kernel.scheduling.policy import Policy, components

if TYPE_CHECKING:
    from collections.abc import Hashable

    from aios_kernel.process import Process
    from aios_kernel.scheduling.task import Task

__all__ = ["Classes"]


class _Class:
    """One policy and the agents that it serves at present."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.agents: WeakSet[Process] = WeakSet()
        self._count_in = 0

    @property
    def weight(self) -> int:
        """As many shares as there are agents."""
        return max(1, len(self.agents))

    def count(self) -> None:
        """Leave out the agents without an open call, once in as many times as there are agents."""
        self._count_in -= 1
        if self._count_in <= 0:
            self.agents = WeakSet(agent for agent in self.agents if agent.waiting or agent.running)
            self._count_in = len(self.agents)


class Classes(Policy):
    """Share a resource between scheduling classes, each with as many shares as it has agents.

    An agent's class is its `Agent.policy`, any policy's spec; the agents without one, or with the default's name, make
    up the class of the `default` policy. Every class keeps the promises of its own policy.
    """

    name = "classes"

    def __init__(self, default: Policy | type[Policy] | str = "fifo") -> None:
        self._classes: dict[str, _Class] = {}
        self._counters = VirtualCounters()
        self.default = self._add("", default).policy
        self.starvation_free = self.default.starvation_free

    def path(self, task: Task) -> tuple[Hashable, ...]:
        """Return the class, then the keys of its policy."""
        return (self._key(task), *self._class(task).policy.path(task))

    def rank(self, task: Task, now: float) -> tuple[Any, ...]:
        """Return the class's counter, then the rank in the class."""
        inner = self._class(task).policy
        return (self._counters[self._key(task)], *components(inner, task, inner.path(task), now))

    def enter(self, task: Task, now: float) -> None:
        """Note the agent and its arrival."""
        chosen = self._class(task)
        chosen.agents.add(task.process)
        self._counters.enter(self._key(task), task, chosen.weight)
        chosen.policy.enter(task, now)

    def charge(self, task: Task, cost: float) -> None:
        """Charge the class by the number of its agents, and the agent within."""
        chosen = self._class(task)
        chosen.count()
        self._counters.charge(self._key(task), task, cost, chosen.weight)
        chosen.policy.charge(task, cost)

    def _key(self, task: Task) -> str:
        spec = task.agent.policy or ""
        return "" if spec == self.default.name else spec

    def _class(self, task: Task) -> _Class:
        key = self._key(task)
        return self._classes.get(key) or self._add(key, key)

    def _add(self, key: str, spec: Policy | type[Policy] | str) -> _Class:
        from aios_kernel.scheduling.registry import policy

        chosen = self._classes[key] = _Class(policy(spec))
        quanta = [c.policy.quantum for c in self._classes.values() if c.policy.quantum is not None]
        self.quantum = min(quanta, default=None)
        return chosen
