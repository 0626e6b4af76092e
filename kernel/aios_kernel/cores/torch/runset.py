"""Who runs in an iteration: every resident sequence, or the policy's choice when there are too many."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aios_kernel.cores.torch.sequence import Sequence
    from aios_kernel.scheduling.queue import RunQueue
    from aios_kernel.scheduling.task import Task

__all__ = ["RunSet"]

CHARGE_EVERY = 32  # tokens; each charge is a message to the scheduler, so they go in lots
PATIENCE = 1.0  # seconds to wait for the scheduler's answer before going on in order of arrival


class RunSet:
    """Choose at most `max_batch` sequences, and tell the policy what they cost.

    A sequence that runs goes on to its end; under a policy with a quantum it goes back in line once a quantum has been
    spent on it. Free places go to those whom the policy ranks first. A sequence that is passed over keeps its slot.
    """

    def __init__(self, max_batch: int) -> None:
        self.max_batch = max_batch
        self.queue: RunQueue | None = None

    def choose(self, resident: list[Sequence]) -> list[Sequence]:
        """Return who runs now, in the order in which prompts are to be worked on."""
        if len(resident) <= self.max_batch:
            for sequence in resident:
                sequence.running = True
            return resident
        quantum = None if self.queue is None else self.queue.policy.quantum
        staying = [s for s in resident if s.running and (quantum is None or s.turn < quantum)]
        if len(staying) >= self.max_batch:
            return staying
        return self._refill(resident, staying)

    def spent(self, sequence: Sequence, tokens: int) -> None:
        """Note that a sequence was given service."""
        sequence.turn += tokens
        sequence.uncharged += tokens
        if sequence.uncharged >= CHARGE_EVERY:
            self.settle(sequence)

    def settle(self, sequence: Sequence) -> None:
        """Charge the policy with what it has not been told of."""
        if self.queue is not None and sequence.uncharged:
            self.queue.charge(sequence.job.task, sequence.uncharged)
        sequence.uncharged = 0.0

    def _refill(self, resident: list[Sequence], staying: list[Sequence]) -> list[Sequence]:
        for sequence in resident:
            self.settle(sequence)
        chosen = set(staying)
        for sequence in self._in_order(resident):
            if len(chosen) >= self.max_batch:
                break
            if sequence not in chosen:
                chosen.add(sequence)
                sequence.turn = 0.0
        for sequence in resident:
            sequence.running = sequence in chosen
        return [s for s in resident if s.running]

    def _in_order(self, resident: list[Sequence]) -> list[Sequence]:
        if self.queue is None:
            return resident
        answered = threading.Event()
        ranked: list[Task] = []

        def reply(tasks: list[Task]) -> None:
            ranked.extend(tasks)
            answered.set()

        by_task = {s.job.task: s for s in resident}
        self.queue.order(by_task, reply)
        # The scheduler works in whichever thread is at it; nearly always that was this one.
        if not answered.wait(PATIENCE):
            return resident
        return [by_task[task] for task in ranked]
