"""Round Robin: agents take turns; a turn ends when a quantum has been charged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from aios_kernel.errors import ConfigError
from aios_kernel.scheduling.policy import Policy

if TYPE_CHECKING:
    from aios_kernel.process import Process
    from aios_kernel.scheduling.task import Task

__all__ = ["RoundRobin"]


@dataclass(slots=True)
class _Turn:
    """An agent's place in the cycle, and what its present turn has cost so far."""

    place: int
    spent: float = 0.0


class RoundRobin(Policy):
    """Let the agent whose last turn ended longest ago go first; newcomers go to the tail.

    An agent that is away keeps its place, so that being away costs no turn and earns none. Turns are shared, not cost:
    a request that cannot be put down may take longer than a quantum, and still ends one turn only.
    """

    name = "rr"

    def __init__(self, quantum: float = 32.0) -> None:
        if quantum <= 0:
            raise ConfigError(f"the quantum of Round Robin is {quantum}: use a cost above 0")
        self.quantum = self._quantum = quantum
        self._turns: WeakKeyDictionary[Process, _Turn] = WeakKeyDictionary()
        self._tail = 0

    def path(self, task: Task) -> tuple[int]:
        """Return the agent: its tasks share its turn."""
        return (task.process.pid,)

    def rank(self, task: Task, now: float) -> tuple[int, int]:
        """Return the agent's place in the cycle, and the task's among the agent's own."""
        return self._turn(task).place, task.seq

    def enter(self, task: Task, now: float) -> None:
        """Give a newcomer its place at the tail."""
        self._turn(task)

    def charge(self, task: Task, cost: float) -> None:
        """Count towards the quantum; a refund shortens the present turn's cost, it brings no ended turn back."""
        turn = self._turn(task)
        turn.spent = max(0.0, turn.spent + cost)
        if turn.spent >= self._quantum:
            turn.place, turn.spent = self._next_place(), 0.0

    def _turn(self, task: Task) -> _Turn:
        turn = self._turns.get(task.process)
        if turn is None:
            turn = self._turns[task.process] = _Turn(self._next_place())
        return turn

    def _next_place(self) -> int:
        self._tail += 1
        return self._tail
