"""A request's way through the endpoint: record, faults, rate limits, slot, latency, reply."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

from ._chat import CREATED, chat_chunks, chat_reply, completion_chunks, completion_reply
from ._embeddings import embeddings_reply
from ._faults import Fault, Faults
from ._http import Connection, HttpRequest
from ._limits import OverloadedError, Rate, Slots
from ._out import JSON, Out
from ._prompt import Json, Prompt, digest, parse, part
from ._replies import Reply, ReplyFunction, answer
from ._responses import response_events, response_reply

CLIENT_GONE = 499  # nginx's status for a client that closed the connection first
_KINDS = {"/chat/completions": "chat", "/completions": "completions", "/responses": "responses"}
_WHOLE = {"chat": chat_reply, "completions": completion_reply, "responses": response_reply}
_STREAMED = {"chat": chat_chunks, "completions": completion_chunks, "responses": response_events}


@dataclass
class Record:
    """One request as the endpoint saw it. Times are `time.monotonic()`; `served` is when it got its slot."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any
    start: float
    served: float | None = None
    end: float | None = None
    status: int | None = None
    fault: str | None = None
    usage: Json | None = None


class _HttpError(Exception):
    """A request that ends in an error reply."""

    def __init__(
        self, status: int, message: str, code: str | None = None, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.code, self.headers = status, message, code, headers or {}


@dataclass(kw_only=True, eq=False)
class Service:
    """The endpoint without its socket. All options may be changed while it runs, limits from the next `reset` on."""

    latency: float = 0.0
    token_latency: float = 0.0
    capacity: int | None = None
    mode: str = "queue"
    retry_after: float | None = None
    rpm: int | None = None
    tpm: int | None = None
    window: float = 60.0
    reply: ReplyFunction | None = None
    reply_tokens: int = 16
    models: tuple[str, ...] = ("sim",)
    _records: list[Record] = field(init=False, repr=False)
    _faults: Faults = field(init=False, repr=False)
    _slots: Slots = field(init=False, repr=False)
    _rates: dict[str, Rate] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.mode not in {"queue", "reject"}:
            raise ValueError(f"mode is 'queue' or 'reject', not {self.mode!r}")
        self.reset()

    @property
    def requests(self) -> list[Record]:
        """Every API request since the start or the last reset, in order of arrival."""
        return list(self._records)

    def fail_next(self, fault: str, times: int = 1) -> None:
        """Let the next `times` requests meet a fault: `fail-500`, `hang`, ... (see `_faults`)."""
        self._faults.plan(fault, times)

    def reset(self) -> None:
        """Forget records, planned faults and used-up limits. Requests in flight keep their slots of before."""
        self._records, self._faults = [], Faults()
        self._slots = Slots(self.capacity, self.mode)
        self._rates = {"requests": Rate(self.rpm, self.window), "tokens": Rate(self.tpm, self.window)}

    def stats(self) -> Json:
        """Count requests by status, load and tokens."""
        records, slots = self.requests, self._slots
        return {
            "requests": len(records),
            "statuses": dict(Counter(str(record.status) for record in records if record.status)),
            "in_flight": slots.in_flight,
            "peak_in_flight": slots.peak,
            "waiting": sum(not turn.done() for turn in list(slots.waiting)),
            "prompt_tokens": sum(_tokens(record, "prompt_tokens", "input_tokens") for record in records),
            "completion_tokens": sum(_tokens(record, "completion_tokens", "output_tokens") for record in records),
        }

    async def handle(self, request: HttpRequest, to: Connection) -> None:
        """Answer one HTTP request. Only a bug in a reply function ends in a 500 that was not asked for."""
        path = request.path.partition("?")[0].removeprefix("/v1")
        if path.startswith("/_"):
            self._administer(request, path, to)
            return
        record = Record(request.method, request.path, request.headers, None, time.monotonic())
        self._records.append(record)
        try:
            await self._answer(request, path, record, to)
        except _HttpError as error:
            record.status = error.status
            to.send(error.status, _error_body(error), {**JSON, **error.headers})
        except asyncio.CancelledError:
            record.status = CLIENT_GONE
            raise
        except Exception as error:  # noqa: BLE001 - the reply function is the caller's code
            record.status = 500
            to.send(500, _error_body(_HttpError(500, repr(error), "reply_function_failed")), JSON)
        finally:
            record.end = time.monotonic()

    async def _answer(self, request: HttpRequest, path: str, record: Record, to: Connection) -> None:
        if request.method == "GET":
            self._list_models(path, record, to)
            return
        record.body = body = _parse_json(request.body)
        if path == "/embeddings":
            await self._serve(body, request, None, record, to)
        elif path in _KINDS:
            try:
                prompt = parse(_KINDS[path], body, request.headers)
            except ValueError as error:
                raise _HttpError(400, str(error), "invalid_request_error") from error
            await self._serve(body, request, prompt, record, to)
        else:
            raise _HttpError(404, f"no route {request.method} {request.path}")

    async def _serve(
        self, body: Json, request: HttpRequest, prompt: Prompt | None, record: Record, to: Connection
    ) -> None:
        """Pass faults and limits, then hold a slot for as long as the reply takes."""
        fault = self._faults.pick(str(body.get("model", "")), request.headers, digest(body))
        record.fault = None if fault.name == "ok" else fault.name
        self._fail(fault)
        headers = self._charge_rates(prompt)
        slots = self._slots
        try:
            await slots.acquire()
        except OverloadedError:
            raise self._refusal("the endpoint is at capacity", "engine_overloaded", {}) from None
        try:
            record.served = time.monotonic()
            await asyncio.sleep(self.latency + fault.delay)
            if fault.name == "hang":
                await asyncio.Event().wait()
            elif fault.name == "disconnect":
                record.status = CLIENT_GONE
                to.close()
            else:
                await self._reply(prompt, body, record, Out(to, headers, fault.name))
        finally:
            slots.release()

    async def _reply(self, prompt: Prompt | None, body: Json, record: Record, out: Out) -> None:
        if prompt is None:
            whole = embeddings_reply(body)
        else:
            reply = answer(prompt, self.reply, self.reply_tokens)
            whole = _WHOLE[prompt.kind](prompt, reply)
            if body.get("stream"):
                record.status, record.usage = 200, whole["usage"]
                await self._stream(prompt, reply, out)
                return
            if self.token_latency:
                await asyncio.sleep(self.token_latency * reply.tokens)
        record.status, record.usage = 200, whole["usage"]
        out.whole(json.dumps(whole).encode())

    async def _stream(self, prompt: Prompt, reply: Reply, out: Out) -> None:
        named = prompt.kind == "responses"
        out.open()
        for data in out.spoil(list(_STREAMED[prompt.kind](prompt, reply))):
            event = f"event: {data['type']}\n" if named else ""
            out.event(f"{event}data: {json.dumps(data)}\n\n")
            if self.token_latency and _carries_token(data):
                await asyncio.sleep(self.token_latency)
        out.end("" if named else "data: [DONE]\n\n")

    def _fail(self, fault: Fault) -> None:
        if fault.status == 429:
            raise self._refusal("scripted fault", "rate_limit_exceeded", {})
        if fault.status:
            raise _HttpError(fault.status, "scripted fault", "scripted_fault")

    def _charge_rates(self, prompt: Prompt | None) -> dict[str, str]:
        """Take one request and its tokens from the limits; return the headers that tell what is left."""
        amounts = {"requests": 1, "tokens": prompt.tokens + (prompt.max_tokens or self.reply_tokens) if prompt else 0}
        waits = {name: self._rates[name].wait(amount) for name, amount in amounts.items()}
        name = max(waits, key=lambda name: waits[name])
        if waits[name] > 0:
            message = f"rate limit reached for {name}, try again in {waits[name]:.3f}s"
            raise self._refusal(message, "rate_limit_exceeded", self._rate_headers())
        for name, amount in amounts.items():
            self._rates[name].take(amount)
        return self._rate_headers()

    def _rate_headers(self) -> dict[str, str]:
        return {**self._rates["requests"].headers("requests"), **self._rates["tokens"].headers("tokens")}

    def _refusal(self, message: str, code: str, headers: dict[str, str]) -> _HttpError:
        after = {} if self.retry_after is None else {"retry-after": f"{self.retry_after:g}"}
        return _HttpError(429, message, code, {**headers, **after})

    def _list_models(self, path: str, record: Record, to: Connection) -> None:
        models = [_model(name) for name in self.models]
        if path == "/models":
            reply: Json = {"object": "list", "data": models}
        elif path.startswith("/models/"):
            reply = _model(path.removeprefix("/models/"))
        else:
            raise _HttpError(404, f"no route GET {path}")
        record.status = 200
        to.send(200, json.dumps(reply).encode(), JSON)

    def _administer(self, request: HttpRequest, path: str, to: Connection) -> None:
        """Serve /_requests, /_stats, /_reset and /_faults. Keys are not shown over HTTP."""
        if path == "/_faults":
            self.fail_next(**_parse_json(request.body))
        elif path == "/_reset":
            self.reset()
        shown = [_shown(record) for record in self._records] if path == "/_requests" else self.stats()
        to.send(200, json.dumps(shown).encode(), JSON)


def _parse_json(body: bytes) -> Json:
    try:
        value = json.loads(body or b"{}")
    except ValueError as error:
        raise _HttpError(400, f"the body is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise _HttpError(400, "the body is not a JSON object")
    return value  # pyright: ignore[reportUnknownVariableType]


def _error_body(error: _HttpError) -> bytes:
    kind = "requests" if error.status == 429 else "server_error" if error.status >= 500 else "invalid_request_error"
    return json.dumps({"error": {"message": error.message, "type": kind, "param": None, "code": error.code}}).encode()


def _carries_token(data: Json) -> bool:
    if "type" in data:
        return str(data["type"]).endswith(".delta")
    return any(choice.get("text") or any(part(choice, "delta").values()) for choice in data["choices"])


def _model(name: str) -> Json:
    return {"id": name, "object": "model", "created": CREATED, "owned_by": "aios-evals"}


def _tokens(record: Record, *names: str) -> int:
    return sum(int((record.usage or {}).get(name, 0)) for name in names)


def _shown(record: Record) -> Json:
    headers = {name: "***" if name == "authorization" else value for name, value in record.headers.items()}
    return {**asdict(record), "headers": headers}
