"""The engine: one thread that runs every granted request, a token of each per iteration (continuous batching)."""

from __future__ import annotations

import contextlib
import os
import threading
from collections import deque
from typing import TYPE_CHECKING

import numpy as np
import torch

from aios_kernel.cores.torch import output
from aios_kernel.cores.torch.executor import Executor, Row
from aios_kernel.cores.torch.sequence import Sequence
from aios_kernel.errors import CoreError, KernelClosed
from aios_kernel.logs import logger

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from aios_kernel.cores.torch.prefix import PrefixCache
    from aios_kernel.cores.torch.runset import RunSet
    from aios_kernel.cores.torch.sampling import Sampler
    from aios_kernel.cores.torch.sequence import Prepared
    from aios_kernel.cores.torch.text import TextStream
    from aios_kernel.serving import Job

__all__ = ["Engine"]

log = logger(__name__)


class Engine:
    """Serve jobs until closed.

    Everything but `submit`, `wake`, `close` and the counters runs on the engine's own thread, which starts with the
    first job and sleeps while there is none. A job always ends: with a reply, or with an error that is its own (a
    grammar), its batch's (the forward pass) or everybody's (`close`).
    """

    def __init__(
        self,
        executor: Executor,
        cache: PrefixCache,
        sampler: Sampler,
        runset: RunSet,
        text_stream: Callable[[Prepared], TextStream],
        *,
        eos: Collection[int],
        chunk_tokens: int,
        name: str,
    ) -> None:
        self._executor, self._cache, self._sampler, self._runset = executor, cache, sampler, runset
        self._text_stream = text_stream
        self._eos = frozenset(eos)
        self._chunk_tokens = chunk_tokens
        self._name = name
        self._inbox: deque[Job] = deque()
        self._resident: list[Sequence] = []
        self._work = threading.Condition()
        self._closed = False
        self._forgetful = False
        self._thread: threading.Thread | None = None
        self._pid = os.getpid()
        self._seen = 0
        self.iterations = 0
        self.tokens = 0

    # Any thread ----------------------------------------------------------------------------------------------------

    def submit(self, job: Job) -> None:
        """Take a granted job; returns at once."""
        if os.getpid() != self._pid:
            raise CoreError(
                f"core {self._name!r} was made before this process was forked, and its engine stayed in the parent: "
                f"call aios_adapters.enable() in the child, or make a new core there"
            )
        with self._work:
            if not self._closed:
                self._inbox.append(job)
                self._start()
                self._work.notify()
                return
        job.fail(KernelClosed(f"core {self._name!r} is closed"))

    def wake(self) -> None:
        """Have the engine look at its jobs again, because one was cancelled."""
        with self._work:
            self._work.notify()

    def close(self) -> None:
        """End every job with KernelClosed and stop the thread; idempotent."""
        with self._work:
            self._closed = True
            self._work.notify()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread() and self._pid == os.getpid():
            thread.join()

    def forget(self) -> None:
        """Empty the prefix cache before the next iteration."""
        with self._work:
            self._forgetful = True

    @property
    def resident(self) -> int:
        """Requests in the engine, counts those not yet begun."""
        return len(self._resident) + len(self._inbox)

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=f"aios-engine-{self._name}", daemon=True)
            self._thread.start()

    # The engine's thread -------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while self._wait():
            try:
                self._iterate()
            except Exception as error:
                log.exception("an iteration of core %s failed; its requests are answered with the error", self._name)
                for sequence in list(self._resident):
                    self._fail(sequence, _failure(self._name, error))
        for sequence in list(self._resident):
            self._fail(sequence, KernelClosed(f"core {self._name!r} is closed"))
        while self._inbox:
            self._inbox.popleft().fail(KernelClosed(f"core {self._name!r} is closed"))
        self._cache.clear()

    def _wait(self) -> bool:
        """Sleep until there is something to do; False when the engine is to stop."""
        with self._work:
            while not (self._closed or self._inbox or self._resident):
                self._work.wait()
            return not self._closed

    def _iterate(self) -> None:
        if self._forgetful:
            self._forgetful = False
            self._cache.clear()
        self._dismiss()
        self._welcome()
        # Paused sequences may hold the memory that all the chosen ones wait for: then it is they who must go on.
        rows = self._plan(self._runset.choose(self._resident)) or self._plan(
            [s for s in self._resident if s.slot is not None][: self._runset.max_batch]
        )
        if rows:
            self._step(rows)
        elif self._resident:
            self._stuck()

    def _welcome(self) -> None:
        while self._inbox:
            job = self._inbox.popleft()
            request: Prepared = job.prepared
            tokens = np.zeros(request.prompt_tokens + request.max_tokens, dtype=np.int64)
            tokens[: request.prompt_tokens] = request.tokens
            self._seen += 1
            sequence = Sequence(
                job=job,
                request=request,
                tokens=tokens,
                length=request.prompt_tokens,
                stream=self._text_stream(request),
                order=self._seen,
            )
            self._resident.append(sequence)
            job.on_cancel(self.wake)
            if request.echo:
                output.give(sequence, request.echo)

    def _dismiss(self) -> None:
        for sequence in [s for s in self._resident if s.job.cancelled or s.job.done]:
            self._fail(sequence, CoreError("the call was cancelled"))

    def _plan(self, chosen: list[Sequence]) -> list[Row]:
        """Choose the rows of the next pass: a token of everyone who has begun, and prompts under the token budget."""
        rows: list[Row] = []
        left, full = self._chunk_tokens, False
        for sequence in list(chosen):
            if sequence.slot is None:
                if full or left <= 0 or self._cache.is_coming(sequence, _computing(rows)):
                    continue
                if not self._seat(sequence):
                    full = True  # those behind must not take the room that this one waits for
                    continue
            count = min(sequence.pending, max(left, 0)) if sequence.pending > 1 else 1
            if count:
                rows.append(Row(sequence, count))
                left -= count if sequence.pending > 1 else 0
        return rows

    def _seat(self, sequence: Sequence) -> bool:
        try:
            with torch.inference_mode():
                return self._cache.seat(sequence, self._resident)
        except Exception as error:  # noqa: BLE001 - the memory for one request failed; the others go on
            self._fail(sequence, _failure(self._name, error))
            return False

    def _stuck(self) -> None:
        """Nobody could run, so nobody will ever make room: answer the first instead of waiting for ever."""
        sequence = self._resident[0]
        self._fail(sequence, CoreError(f"core {self._name!r} has no memory for the request: raise kv_memory"))

    def _step(self, rows: list[Row]) -> None:
        rows = self._executor.ordered(rows)
        wanted = [row.sequence for row in rows if row.is_last]
        self.iterations += 1
        try:
            with torch.inference_mode():
                logits = self._executor.run(rows)
                ready = self._constrain(logits, wanted)
                tokens = self._sampler.sample(logits, [s.request.sampling for s in wanted], [s.length for s in wanted])
        except Exception as error:
            log.exception("a forward pass of core %s failed", self._name)
            for row in rows:
                self._fail(row.sequence, _failure(self._name, error))
            return
        for row in rows:
            row.sequence.computed += row.count
            self._runset.spent(row.sequence, row.count)
        for sequence, token in zip(wanted, tokens, strict=True):
            if sequence in ready:
                self._advance(sequence, token)

    def _constrain(self, logits: torch.Tensor, wanted: list[Sequence]) -> set[Sequence]:
        """Mask the logits of constrained sequences; return all but those whose grammar failed."""
        ready = set(wanted)
        for index, sequence in enumerate(wanted):
            if sequence.request.constraint is None:
                continue
            try:
                blocked = torch.from_numpy(sequence.request.constraint.blocked(logits.shape[1]))
                logits[index].masked_fill_(blocked.to(logits.device), float("-inf"))
            except Exception as error:  # noqa: BLE001 - the others in the batch go on
                ready.discard(sequence)
                self._fail(sequence, _failure(self._name, error))
        return ready

    def _advance(self, sequence: Sequence, token: int) -> None:
        """Take a new token; whatever goes wrong with its text is this sequence's failure alone."""
        try:
            self.tokens += 1
            reason = output.append(sequence, token, self._eos)
            if reason is None:
                return
            reply = output.reply(sequence, reason, self._name)
        except Exception as error:  # noqa: BLE001 - the others in the batch go on
            self._fail(sequence, _failure(self._name, error))
            return
        self._leave(sequence)
        sequence.job.finish(reply)

    def _fail(self, sequence: Sequence, error: BaseException) -> None:
        self._leave(sequence)
        sequence.job.fail(error)

    def _leave(self, sequence: Sequence) -> None:
        """Give the slot back, before the job ends: its end may grant the next one in this very thread."""
        with contextlib.suppress(ValueError):
            self._resident.remove(sequence)
        self._runset.settle(sequence)
        self._cache.leave(sequence)


def _computing(rows: list[Row]) -> list[tuple[Sequence, int]]:
    return [(row.sequence, row.sequence.computed + row.count) for row in rows if row.count > 1]


def _failure(name: str, error: Exception) -> CoreError:
    if isinstance(error, CoreError):
        return error
    failure = CoreError(f"core {name!r} failed while it served the call: {error!r}")
    failure.__cause__ = error
    return failure
