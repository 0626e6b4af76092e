"""ScriptedCore: replies from a list or a function. A fake language model is an ordinary core."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, ClassVar

from aios_kernel.abi import Delta, EmbeddingCall, LLMCall, Reply, ToolRequestDelta, Usage
from aios_kernel.clock import Clock, SystemClock
from aios_kernel.cores.base import Core
from aios_kernel.errors import CoreError, KernelClosed

if TYPE_CHECKING:
    from aios_kernel.scheduling.limiter import Limiter
    from aios_kernel.serving import Job

__all__ = ["ScriptedCore"]

Script = Callable[[LLMCall], "Reply | str"]


class ScriptedCore(Core):
    """Answer from a script: a function of the call, or replies given out in order.

    `latency` is in seconds on `clock`, per call. Text is streamed word by word. Raises `CoreError` in the caller when
    the replies are used up or the function raises.
    """

    kind: ClassVar[str] = "scripted"

    def __init__(
        self,
        script: Script | Iterable[Reply | str],
        *,
        name: str = "scripted",
        latency: float = 0.0,
        clock: Clock | None = None,
        limiter: Limiter | None = None,
    ) -> None:
        super().__init__(name, limiter)
        self._script = script if callable(script) else _in_order(script)
        self._latency = latency
        self._own_clock = clock is None
        self._clock = clock or SystemClock()
        self._lock = threading.RLock()
        self._jobs: dict[Job, None] = {}
        self._closed = False

    def start(self, job: Job) -> None:
        """Answer now, or when the latency has passed."""
        with self._lock:
            self._jobs[job] = None
        job.on_cancel(lambda: self._end(job, CoreError("the call was cancelled")))
        if self._closed:
            self._end(job, KernelClosed(f"core {self.name!r} is closed"))
        elif self._latency > 0:
            self._clock.call_at(self._clock.now() + self._latency, lambda: self._answer(job))
        else:
            self._answer(job)

    def after_fork(self) -> None:
        """Forget the parent's calls and timer thread."""
        self._lock = threading.RLock()
        self._jobs = {}
        if self._own_clock:
            self._clock = SystemClock()

    def close(self) -> None:
        """End every job and the core's own clock."""
        self._closed = True
        for job in list(self._jobs):
            self._end(job, KernelClosed(f"core {self.name!r} is closed"))
        if self._own_clock:
            self._clock.close()

    def _answer(self, job: Job) -> None:
        try:
            reply = self._reply(job.call)
            for delta in _deltas(reply) if job.call.stream else ():
                job.emit(delta)
        except Exception as error:  # noqa: BLE001 - a script may raise anything; it is the caller's failure
            failure = CoreError(f"the script of core {self.name!r} raised {error!r}")
            failure.__cause__ = error
            self._end(job, failure)
        else:
            self._end(job, reply)

    def _end(self, job: Job, result: Reply | BaseException) -> None:
        with self._lock:
            self._jobs.pop(job, None)
        if isinstance(result, Reply):
            job.finish(result)
        else:
            job.fail(result)

    def _reply(self, call: LLMCall) -> Reply:
        answer = self._script(call)
        reply = Reply(text=answer) if isinstance(answer, str) else answer
        if reply.usage.total_tokens == 0:
            output = 0 if isinstance(call, EmbeddingCall) else max(1, len(reply.text.split()))
            reply = _with(reply, Usage(input_tokens=call.estimated_usage.input_tokens, output_tokens=output))
        return reply


def _with(reply: Reply, usage: Usage) -> Reply:
    finish = "tool_calls" if reply.tool_calls and reply.finish_reason == "stop" else reply.finish_reason
    return Reply(
        text=reply.text,
        tool_calls=reply.tool_calls,
        finish_reason=finish,
        usage=usage,
        model=reply.model,
        vectors=reply.vectors,
    )


def _in_order(replies: Iterable[Reply | str]) -> Script:
    left = iter(replies)

    def script(call: LLMCall) -> Reply | str:
        del call
        try:
            return next(left)
        except StopIteration:
            message = "the scripted replies are used up"
            raise CoreError(message) from None

    return script


def _deltas(reply: Reply) -> Iterator[Delta]:
    for piece in re.findall(r"\S*\s*", reply.text)[:-1]:
        yield Delta(text=piece)
    for index, call in enumerate(reply.tool_calls):
        yield Delta(tool_calls=(ToolRequestDelta(index=index, id=call.id, name=call.name, arguments=call.arguments),))
