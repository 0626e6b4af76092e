"""The process table: every agent the kernel has seen, with its pid and what it has used."""

from __future__ import annotations

import itertools
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aios_kernel.abi import Agent, Usage

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Process", "ProcessTable"]

ROOT = Agent(name="root")


class _WeaklyReferable:
    # Python 3.10 has no dataclass(weakref_slot=True); policies key their accounts by processes, weakly.
    __slots__ = ("__weakref__",)


@dataclass(slots=True, eq=False)
class Process(_WeaklyReferable):
    """One agent: who it is and what it has used. Counters are written by the run queues, one call at a time."""

    pid: int
    agent: Agent
    started: float = 0.0
    last_seen: float = 0.0
    syscalls: dict[str, int] = field(default_factory=dict[str, int])
    usage: Usage = field(default_factory=Usage)
    waited: float = 0.0
    ran: float = 0.0
    waiting: int = 0
    running: int = 0
    failed: int = 0

    @property
    def name(self) -> str:
        """The agent's name."""
        return self.agent.name

    @property
    def group(self) -> str:
        """The agent's group, "" for none."""
        return self.agent.group

    @property
    def priority(self) -> int:
        """1 is the most urgent."""
        return self.agent.priority

    @property
    def weight(self) -> float:
        """The agent's share under weighted policies."""
        return self.agent.weight


class ProcessTable:
    """Map agents to processes; an agent keeps its pid for the life of the kernel."""

    def __init__(self) -> None:
        self._by_agent: dict[tuple[str, str, str], Process] = {}
        self._by_pid: dict[int, Process] = {}
        self._pids = itertools.count(1)
        # Reentrant: a finaliser that runs inside may look an agent up too.
        self._lock = threading.RLock()
        self.root, _ = self.enter(ROOT, 0.0)

    def enter(self, agent: Agent, now: float) -> tuple[Process, bool]:
        """Return the agent's process and whether it is new; later settings of the same agent replace earlier ones."""
        key = (agent.name, agent.instance, agent.framework)
        process = self._by_agent.get(key)
        if process is not None:
            if process.agent != agent:
                process.agent = agent
            return process, False
        with self._lock:
            if key in self._by_agent:
                return self._by_agent[key], False
            process = Process(next(self._pids), agent, started=now, last_seen=now)
            self._by_pid[process.pid] = process
            self._by_agent[key] = process
        return process, True

    def get(self, pid: int) -> Process | None:
        """The process of that pid."""
        return self._by_pid.get(pid)

    def __iter__(self) -> Iterator[Process]:
        return iter(list(self._by_pid.values()))

    def __len__(self) -> int:
        return len(self._by_pid)
