"""OpenAICore: replies from any OpenAI-compatible server (vLLM, Ollama, llama.cpp, ...), with the standard library alone."""

from __future__ import annotations

import json
import os
import queue
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from aios_kernel.abi import LLMCall
from aios_kernel.cores.base import Core
from aios_kernel.cores.continuation import continuable, continued, style_of
from aios_kernel.cores.endpoint_limiter import EndpointLimiter
from aios_kernel.cores.http_pool import Exchange, Server
from aios_kernel.cores.openai_served import Served, failure_of, message_of, retry_after_of
from aios_kernel.cores.wire import Accumulator, body_of, events, path_of, reply_of
from aios_kernel.errors import ConfigError, ContextTooLong, CoreError, KernelClosed
from aios_kernel.scheduling.limiter import Outcome

if TYPE_CHECKING:
    from http.client import HTTPResponse

    from aios_kernel.abi import Call, Delta
    from aios_kernel.serving import Job

__all__ = ["OpenAICore"]

PUSHED_BACK = {429, 503}
IDLE = 30.0  # seconds after which a worker without work, and its connection, go away
LONGEST_RETRY_AFTER = 300.0  # an endpoint that asks for more has failed the call
ERROR_LENGTH = 1000  # characters of an error body that are passed on


class OpenAICore(Core):
    """Serve from an OpenAI-compatible server at `base_url`.

    `model` replaces the calls' own model name. `api_key` None means `OPENAI_API_KEY`, which is sent over https or to
    this machine only; an explicit key is sent wherever `base_url` leads. `timeout` is the longest silence, in
    seconds. At most `max_in_flight` calls are with the server at once, fewer when it refuses some; a refused call goes
    back to its place in the queue, until the server has refused it for `timeout` seconds without serving another.
    Under a policy with a quantum, `continuation` ("vllm", "anthropic", "deepseek": how the server is told to continue a
    message) has calls that stream or write text take turns: one that has written a quantum of tokens while others
    wait is put down between two words and goes on from its text at its next turn. Each turn sends the prompt again.
    Each call in flight has a thread and a kept connection. Raises `CoreError` in the caller, with the server's status
    and words, never with the key.
    """

    kind: ClassVar[str] = "openai"

    def __init__(
        self,
        base_url: str = "",
        model: str | None = None,
        api_key: str | None = None,
        *,
        name: str = "openai",
        timeout: float = 600.0,
        max_in_flight: int = 64,
        continuation: str | None = None,
    ) -> None:
        super().__init__(name, EndpointLimiter(in_flight=max_in_flight))
        base_url = base_url or os.environ.get("OPENAI_BASE_URL", "")
        if not base_url:
            message = "which server? give the core a base URL, for example 'openai:http://localhost:8000/v1'"
            raise ConfigError(message)
        self.model, self.timeout = model, timeout
        self._style = None if continuation is None else style_of(continuation)
        self.server = Server(base_url.rstrip("/"), timeout)
        self._key = api_key if api_key is not None else self._key_of_environment()
        self._begin()

    def _begin(self) -> None:
        self._closed = False
        self._lock = threading.Lock()
        self._work: queue.SimpleQueue[Served | None] = queue.SimpleQueue()
        self._idle = 0
        self._workers = 0
        self._served: dict[Job, Served] = {}

    # The Core interface

    def prepare(self, call: LLMCall) -> bytes:
        """Translate the call to the body that is sent."""
        if call.sampling.n != 1:
            message = f"core {self.name!r} gives one reply per call, not {call.sampling.n}"
            raise CoreError(message)
        try:
            # A call that may be put down has to be read as it is written.
            streamed = call if call.stream or not self._takes_turns(call) else replace(call, stream=True)
            return json.dumps(body_of(streamed, self.model)).encode()
        except (TypeError, ValueError) as error:
            message = f"the call cannot be sent to {self.server.base_url}: {error}"
            raise CoreError(message) from error

    def estimate(self, call: Call) -> float:
        """Reserve nothing for a call that is charged as it is written."""
        return 0.0 if isinstance(call, LLMCall) and self._takes_turns(call) else super().estimate(call)

    def _takes_turns(self, call: LLMCall) -> bool:
        return self._style is not None and continuable(call)

    def start(self, job: Job) -> None:
        """Give the job to a worker; a job that was pushed back or put down comes here again at its next turn."""
        with self._lock:
            for ended in [one for one in self._served if one.done]:  # failed by the kernel while they waited
                del self._served[ended]
            served = self._served.get(job)
            if served is None:
                served = self._served[job] = Served(job, time.monotonic())
            else:
                served.waits = False
            closed = self._closed
            spawn = not closed and self._idle < self._work.qsize() + 1
            self._workers += spawn
        if closed or job.done:
            self._end(served, KernelClosed(f"core {self.name!r} is closed"))
            if self.queue is not None:
                self.queue.release(job.task, Outcome())
            return
        job.on_cancel(lambda: self._cancel(served))
        self._work.put(served)
        if spawn:
            threading.Thread(target=self._run, name=f"aios-{self.name}", daemon=True).start()

    def status(self) -> dict[str, Any]:
        """Describe the server and the limits in force."""
        shown = {"server": self.server.base_url, "model": self.model, "workers": self._workers}
        return {**super().status(), **shown, **self.limiter.status()}

    def after_fork(self) -> None:
        """Begin with no calls and no connections: both are the parent's."""
        self.limiter = EndpointLimiter(in_flight=self.limiter.status()["told"]["in_flight"])
        self._begin()

    def close(self) -> None:
        """End every job with `KernelClosed`, close the connections, and let the workers go."""
        with self._lock:
            self._closed = True
            served, workers = list(self._served.values()), self._workers
        for one in served:
            self._end(one, KernelClosed(f"core {self.name!r} is closed"))
            one.abort()
        for _ in range(workers):
            self._work.put(None)

    # Workers

    def _run(self) -> None:
        exchange = Exchange(self.server)
        while (served := self._next()) is not None:
            if not served.take(exchange):
                continue
            try:
                self._serve(served, exchange)
            except Exception as error:  # noqa: BLE001 - whatever happens is this call's failure
                self._end(served, failure_of(self.name, error))
            served.give_back(exchange)
            if exchange.aborted:
                exchange.close()
                exchange = Exchange(self.server)
        exchange.close()

    def _next(self) -> Served | None:
        with self._lock:
            self._idle += 1
        try:
            found = self._work.get(timeout=IDLE)
        except queue.Empty:
            found = None
        with self._lock:
            self._idle -= 1
            if found is None and not self._work.empty() and not self._closed:  # work came as the time ran out
                found = self._work.get()
            self._workers -= found is None
        return found

    def _serve(self, served: Served, exchange: Exchange) -> None:
        job = served.job
        body, written = job.prepared, served.written
        written.turn = 0
        if self._style is not None and written.tokens:
            body = continued(job.call, body, written, self._style)
        response = exchange.send(path_of(job.call), body, self._headers())
        if response.status >= 300:
            text = response.read().decode(errors="replace")
            if response.status in PUSHED_BACK and self._push_back(served, response, text):
                return
            raise self._error(response.status, text)
        if (job.call.stream or self._takes_turns(job.call)) and "json" not in (
            response.getheader("content-type") or ""
        ):
            self._stream(served, response, exchange)
        else:
            self._end(served, reply_of(job.call, self._json(response)))
        if not response.isclosed():
            exchange.close()  # something is left to be read: the connection cannot be used again

    def _stream(self, served: Served, response: HTTPResponse, exchange: Exchange) -> None:
        whole, takes_turns = Accumulator(served.job.call), self._takes_turns(served.job.call)
        for event in events(response):
            delta = whole.add(event)
            if delta is None:
                continue
            if takes_turns:
                if delta.text[:1].isspace() and self._turn_is_over(served):
                    exchange.close()  # with what the server would still send: it stops before the next turn begins
                    self._put_down(served)
                    return
                self._wrote(served, delta)
            served.job.emit(delta)
        response.read()  # what follows [DONE], so that the connection can be used again
        self._end(served, served.written.whole(whole.reply()))

    def _json(self, response: HTTPResponse) -> dict[str, Any]:
        text = response.read()
        try:
            body = json.loads(text)
        except ValueError as error:
            raise CoreError(
                f"{self._url} did not answer in JSON: {self._redacted(text.decode(errors='replace'))}"
            ) from error
        if not isinstance(body, dict):
            raise CoreError(f"{self._url} did not answer with a JSON object: {self._redacted(str(body))}")
        return body  # pyright: ignore[reportUnknownVariableType]

    # Turns

    def _wrote(self, served: Served, delta: Delta) -> None:
        served.written.added(delta.text)
        if self.queue is not None:
            self.queue.charge(served.job.task, 1.0)

    def _turn_is_over(self, served: Served) -> bool:
        """Whether a call has written a quantum while others wait."""
        quantum = None if self.queue is None else self.queue.policy.quantum
        return (
            quantum is not None and served.written.turn >= quantum and self.queue is not None and self.queue.waiting > 0
        )

    def _put_down(self, served: Served) -> None:
        job = served.job
        with self._lock:
            if job.done or self._closed:
                return
            served.waits = True
        if self.queue is not None:
            self.queue.put_down(job.task)

    # Ends

    def _push_back(self, served: Served, response: HTTPResponse, text: str) -> bool:
        """Queue a refused call again; False when it has been refused for too long."""
        run_queue, retry_after = self.queue, retry_after_of(response)
        if run_queue is None or "insufficient_quota" in text or (retry_after or 0.0) > LONGEST_RETRY_AFTER:
            return False
        job = served.job
        now = time.monotonic()
        if run_queue.got_through != served.successes:
            served.successes, served.since = run_queue.got_through, now
        if now - served.since > self.timeout:
            return False
        with self._lock:
            if job.done or self._closed:
                return True
            served.waits = True
        run_queue.push_back(job.task, Outcome(pushed_back=True, status=response.status, retry_after=retry_after))
        return True

    def _cancel(self, served: Served) -> None:
        self._end(served, CoreError("the call was cancelled"))
        served.abort()

    def _end(self, served: Served, result: Any) -> None:
        """End the job, once, wherever it is: with a worker, on its way to one, or back in the queue."""
        job = served.job
        with self._lock:
            self._served.pop(job, None)
            waits, served.waits = served.waits, False
        if isinstance(result, BaseException):
            job.fail(result)
            if waits and self.queue is not None:
                self.queue.cancel(job.task, result)
        else:
            job.finish(result)

    @property
    def _url(self) -> str:
        return self.server.base_url

    def _error(self, status: int, text: str) -> CoreError:
        message, code = message_of(text)
        kind = ContextTooLong if code == "context_length_exceeded" else CoreError
        error = kind(f"{self._url} answered {status}: {self._redacted(message)}")
        error.status = status  # pyright: ignore[reportAttributeAccessIssue] - for whoever shows it as an HTTP error
        return error

    # Secrets

    def _headers(self) -> dict[str, str]:
        headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
        return {**headers, "Authorization": f"Bearer {self._key}"} if self._key else headers

    def _key_of_environment(self) -> str:
        key = os.environ.get("OPENAI_API_KEY", "")
        return key if self.server.scheme == "https" or self.server.local else ""

    def _redacted(self, text: str) -> str:
        clean = text.replace(self._key, "***") if self._key else text
        return clean if len(clean) <= ERROR_LENGTH else f"{clean[:ERROR_LENGTH]}..."

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._url}>"
