"""The process table: every agent the kernel has seen, with its pid and what it has used."""

from __future__ import annotations

import itertools
import threading
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from aios_kernel.abi import Agent, Usage
from aios_kernel.errors import AgentKilled

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Process", "ProcessTable"]

ROOT = Agent(name="root")


class _WeaklyReferable:
    # Python 3.10 has no dataclass(weakref_slot=True); policies key their accounts by processes, weakly.
    __slots__ = ("__weakref__",)


@dataclass(slots=True, eq=False)
class Process(_WeaklyReferable):
    """One agent: who it is and what it has used. Counters are written by the run queues, one call at a time.

    `paused`, `killed` and `pinned` (a priority that overrides the agent's own) are decisions from outside; the run
    queues act on them once they are told to `review` the agent.
    """

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
    paused: bool = False
    killed: bool = False
    pinned: int | None = None
    given: Agent | None = None  # the agent as its latest call described it

    @property
    def state(self) -> str:
        """What people see: "killed", "paused", "running", "waiting" or "idle"."""
        if self.killed or self.paused:
            return "killed" if self.killed else "paused"
        return "running" if self.running else "waiting" if self.waiting else "idle"

    def death(self) -> AgentKilled:
        """The answer to every call of a killed agent."""
        return AgentKilled(
            f"agent {self.name!r} (pid {self.pid}) was killed, so nothing is granted to it: have the kernel spawn it anew "
            f"to let it go on"
        )

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


def _key(agent: Agent) -> tuple[str, str, str]:
    return agent.name, agent.instance, agent.framework


class ProcessTable:
    """Map agents to processes; an agent keeps its pid until it leaves."""

    def __init__(self) -> None:
        self._by_agent: dict[tuple[str, str, str], Process] = {}
        self._by_pid: dict[int, Process] = {}
        self._pids = itertools.count(1)
        self.gone: dict[str, int] = {}  # syscalls of the agents that left
        # Reentrant: a finaliser that runs inside may look an agent up too.
        self._lock = threading.RLock()
        self.root, _ = self.enter(ROOT, 0.0)

    def enter(self, agent: Agent, now: float) -> tuple[Process, bool]:
        """Return the agent's process and whether it is new; later settings of the same agent replace earlier ones."""
        key = _key(agent)
        process = self._by_agent.get(key)
        if process is not None:
            if process.given is not agent and process.given != agent:
                self._describe(process, agent)
            return process, False
        with self._lock:
            if key in self._by_agent:
                return self._by_agent[key], False
            return self._begin(key, agent, now), True

    def respawn(self, agent: Agent, now: float) -> tuple[Process, bool]:
        """The same, but a killed agent begins anew, with a new pid; the dead process stays in the table."""
        key = (agent.name, agent.instance, agent.framework)
        with self._lock:
            process = self._by_agent.get(key)
            if process is not None and process.killed:
                return self._begin(key, agent, now), True
        return self.enter(agent, now)

    def pin(self, process: Process, priority: int) -> None:
        """Override the agent's own priority; raises `ValueError` for one below 1."""
        with self._lock:
            process.agent = replace(process.agent, priority=priority)
            process.pinned = priority

    def _begin(self, key: tuple[str, str, str], agent: Agent, now: float) -> Process:
        process = Process(next(self._pids), agent, started=now, last_seen=now, given=agent)
        self._by_pid[process.pid] = process
        self._by_agent[key] = process
        return process

    def _describe(self, process: Process, agent: Agent) -> None:
        with self._lock:
            process.agent = agent if process.pinned is None else replace(agent, priority=process.pinned)
            process.given = agent

    def leave(self, agent: Agent) -> Process | None:
        """Take an agent out and return its process; None where it is not there, or has open calls."""
        with self._lock:
            process = self._by_agent.get(_key(agent))
            if process is None or process is self.root or process.waiting or process.running:
                return None
            del self._by_agent[_key(agent)], self._by_pid[process.pid]
            for kind, count in process.syscalls.items():
                self.gone[kind] = self.gone.get(kind, 0) + count
        return process

    def get(self, pid: int) -> Process | None:
        """The process of that pid."""
        return self._by_pid.get(pid)

    def __iter__(self) -> Iterator[Process]:
        return iter(list(self._by_pid.values()))

    def __len__(self) -> int:
        return len(self._by_pid)
