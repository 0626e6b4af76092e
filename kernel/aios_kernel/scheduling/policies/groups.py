"""Groups: a policy over policies, one between groups of agents and one within each."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Literal

from aios_kernel.errors import ConfigError, UnknownName
from aios_kernel.scheduling.policies.counters import VirtualCounters
from aios_kernel.scheduling.policies.fixed import names_of
from aios_kernel.scheduling.policy import Policy, components

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Sequence

    from aios_kernel.scheduling.task import Task

__all__ = ["Groups"]


class _Level:
    """The groups that share one parent: each with its priority and its counter."""

    def __init__(self) -> None:
        self.priorities: dict[str, int] = {}
        self.counters = VirtualCounters()

    def weight(self, key: str, a: float) -> float:
        """Return a/p + (1-a)/n for a group of priority p among n."""
        return a / self.priorities.get(key, 1) + (1 - a) / max(1, len(self.priorities))


class Groups(Policy):
    """Choose a group, then a task in it by a policy of the group's own.

    `between` is "fair" (shares by weight, w_i ~ a/p_i + (1-a)/n) or "fixed" (strictly by priority). A group's priority
    p_i is its place in `order`, or after those the most urgent priority among its agents. `within` is any policy; each
    group has its own object. A group "a/b" is a part of "a", beside the agents of "a" itself.
    """

    name = "groups"

    def __init__(
        self,
        between: Literal["fair", "fixed"] = "fair",
        within: Policy | type[Policy] | str = "fifo",
        a: float = 0.5,
        order: Sequence[str] | str = (),
    ) -> None:
        from aios_kernel.scheduling.registry import policy

        if between not in ("fair", "fixed"):
            raise UnknownName("order between groups", between, ("fair", "fixed"))
        if not 0 <= a <= 1:
            raise ConfigError(f"the share a of groups is {a}: use 0 (equal shares) to 1 (shares by priority)")
        self.between, self.a = between, a
        self.order = {name: place for place, name in enumerate(names_of(order), 1)}
        self.within = policy(within)
        self.quantum = self.within.quantum
        self.starvation_free = between == "fair" and self.within.starvation_free
        self._levels: dict[str, _Level] = {}
        self._policies: dict[str, Policy] = {}

    def path(self, task: Task) -> tuple[Hashable, ...]:
        """Return the names of the group's path, "" for its own agents, then the keys of the policy within."""
        return (*_keys(task), *self._policy(task).path(task))

    def rank(self, task: Task, now: float) -> tuple[Any, ...]:
        """Return one component for each group on the path, then those of the policy within."""
        inner = self._policy(task)
        between = (self._component(level, name, key) for level, name, key in self._walk(task))
        return (*between, *components(inner, task, inner.path(task), now))

    def enter(self, task: Task, now: float) -> None:
        """Note the arrival in each group on the path."""
        for level, name, key in self._walk(task):
            priority = self.order.get(name, len(self.order) + task.agent.priority)
            level.priorities[key] = min(priority, level.priorities.get(key, priority))
            level.counters.enter(key, task, level.weight(key, self.a))
        self._policy(task).enter(task, now)

    def charge(self, task: Task, cost: float) -> None:
        """Charge each group on the path by its weight, and the agent within."""
        for level, _, key in self._walk(task):
            level.counters.charge(key, task, cost, level.weight(key, self.a))
        self._policy(task).charge(task, cost)

    def _component(self, level: _Level, name: str, key: str) -> float:
        if self.between == "fair":
            return level.counters[key]
        return level.priorities.get(key, self.order.get(name, len(self.order)))

    def _walk(self, task: Task) -> Iterator[tuple[_Level, str, str]]:
        """Yield (siblings, full name, key) for each group on the task's path, root first."""
        parent = ""
        for key in _keys(task):
            level = self._levels.get(parent)
            if level is None:
                level = self._levels[parent] = _Level()
            parent = f"{parent}/{key}" if parent else key
            yield level, parent, key

    def _policy(self, task: Task) -> Policy:
        inner = self._policies.get(task.agent.group)
        if inner is None:
            inner = self._policies[task.agent.group] = copy.deepcopy(self.within)
        return inner


def _keys(task: Task) -> tuple[str, ...]:
    """Split the group's path; "" stands for the agents of a group itself, beside its parts."""
    return (*(part for part in task.agent.group.split("/") if part), "")
