"""Language models: every logical call of a BaseLLM, above the retries that MetaGPT makes of it."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextvars import ContextVar
from importlib import import_module
from typing import TYPE_CHECKING, Any

from aios_adapters.calls import (
    arecord,
    claiming,
    closing,
    enter_llm,
    given_back,
    leased_grant,
    recorded,
    recording,
    refusals,
    report,
)
from aios_adapters.metagpt._clients import given_up, native_error
from aios_adapters.metagpt._identity import FRAMEWORK
from aios_kernel import wire
from aios_kernel.abi import ChatCall, Reply, Sampling, Usage
from aios_kernel.errors import CoreError

if TYPE_CHECKING:
    from aios_adapters.calls._entry import Entry
    from aios_kernel.gate import Grant

__all__ = ["acompletion", "acompletion_text", "stream_log", "update_costs"]

Function = Callable[..., Any]
Json = dict[str, Any]
_SAMPLING = ("temperature", "top_p", "max_tokens", "seed")
_LEFT_OUT = frozenset({*_SAMPLING, "messages", "model", "timeout", "stop"})
#: What some providers call the roles of a chat.
_ROLES = {"human": "user", "ai": "assistant", "model": "assistant"}
#: The grant of the leased call this context is inside of, until its first piece comes.
_unbegun: ContextVar[list[Any] | None] = ContextVar("aios_metagpt_unbegun", default=None)


def acompletion_text(native: Function) -> Function:
    """Gate a call whose result is text. A stream's pieces go to MetaGPT's log, and the whole is returned."""

    async def acompletion_text(self: Any, *args: Any, **kwargs: Any) -> Any:
        one = _Exchange(self, args, kwargs)
        syscall = enter_llm(FRAMEWORK, one.build)
        if syscall is None:
            return await native(self, *args, **kwargs)
        return await _answered(one, syscall, one.text, lambda: native(self, *args, **kwargs))

    return acompletion_text


def acompletion(native: Function) -> Function:
    """Gate a call whose result is the provider's own; that of the openai SDK is gated there."""

    async def acompletion(self: Any, *args: Any, **kwargs: Any) -> Any:
        one = _Exchange(self, args, kwargs)
        syscall = None if _uses_the_sdk(self) else enter_llm(FRAMEWORK, one.build)
        if syscall is None:
            return await native(self, *args, **kwargs)
        return await _answered(one, syscall, one.body, lambda: native(self, *args, **kwargs))

    return acompletion


def update_costs(native: Function) -> Function:
    """Tell the kernel what MetaGPT learns a call has used."""

    def _update_costs(self: Any, usage: Any, *args: Any, **kwargs: Any) -> Any:
        grant = leased_grant()
        if grant is not None:
            report(grant, _used, usage)
        return native(self, usage, *args, **kwargs)

    return _update_costs


def stream_log(native: Function) -> Function:
    """Note when the first piece of a leased stream comes: MetaGPT hands the pieces to nobody else."""

    def _llm_stream_log(msg: Any) -> Any:
        unbegun = _unbegun.get()
        if unbegun and msg:
            unbegun.pop().first_token()
        return native(msg)

    return _llm_stream_log


async def _answered(
    one: _Exchange, syscall: Entry, answer: Callable[[Grant], Awaitable[Any]], native: Callable[[], Awaitable[Any]]
) -> Any:
    """Dispatch: what a journal has, the kernel's answer, or MetaGPT's own call."""
    with refusals(one.refused):
        async with syscall as grant:
            if grant.lease:
                return await _leased(one.llm, grant, native)
            kept = recorded(grant)
            return await answer(grant) if kept is None else given_back(kept)


async def _leased(llm: Any, grant: Grant, native: Callable[[], Awaitable[Any]]) -> Any:
    """Make the call; where its client gives up on an endpoint that still serves others, wait for a turn and go on."""
    while True:
        token = _unbegun.set([grant])
        try:
            with claiming(grant):
                result = await native()
            await _record(grant, result)
            return result
        except Exception as error:
            refusal = given_up(llm, error)
            if refusal is None or not await grant.apush_back(*refusal):
                raise
        finally:
            _unbegun.reset(token)


async def _record(grant: Any, result: Any) -> None:
    """Keep a text as the reply that it is: told by `text`, its cost is counted and its pieces are logged again."""
    if isinstance(result, str) and recording(grant):
        await grant.arecord(reply=Reply(text=result, usage=grant.usage or Usage()))
    else:
        await arecord(grant, result, FRAMEWORK)


class _Exchange:
    """One call of a model: its request as a ChatCall, and the kernel's answer in MetaGPT's terms."""

    def __init__(self, llm: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        given = {**dict(zip(("messages", "stream", "timeout"), args, strict=False)), **kwargs}
        self.llm, self._messages = llm, given.get("messages") or ()
        self._stream = bool(given.get("stream"))
        self._call = ChatCall()

    def build(self) -> ChatCall | None:
        """Translate the request; None for a human, who types the answer."""
        llm = self.llm
        if any(cls.__name__ == "HumanProvider" for cls in type(llm).__mro__):
            return None
        options = _options(llm, self._messages)
        stop: Any = options.get("stop") or ()
        sampling: Json = {key: options.get(key) for key in _SAMPLING}
        self._call = ChatCall(
            model=str(options.get("model") or type(llm).__name__),
            endpoint=_endpoint(llm),
            stream=self._stream,
            sampling=Sampling(**sampling, stop=(stop,) if isinstance(stop, str) else tuple(stop)),
            messages=tuple(_message(message) for message in self._messages),
            extra={key: value for key, value in options.items() if key not in _LEFT_OUT},
        )
        return self._call

    async def text(self, grant: Grant) -> str:
        """Return the text; piece by piece to MetaGPT's log where it streams, as its providers do."""
        if not self._stream:
            reply = await grant.areply()
            self._charge(reply.usage)
            return reply.text
        log: Function = import_module("metagpt.logs").log_llm_stream
        pieces: list[str] = []
        used = Usage()
        async with closing(grant.adeltas()) as deltas:
            async for delta in deltas:
                if delta.text:
                    log(delta.text)
                    pieces.append(delta.text)
                used = delta.usage or used
        log("\n")
        self._charge(used)
        return "".join(pieces)

    async def body(self, grant: Grant) -> Json:
        """Return what `acompletion` is documented to return, the body of a chat completion."""
        base = import_module("metagpt.provider.base_llm").BaseLLM
        kind = self.llm.__class__
        if kind.get_choice_text is not base.get_choice_text:
            message = f"{kind.__name__}.acompletion has a result of its provider's own: use acompletion_text or aask"
            raise CoreError(message)
        reply = await grant.areply()
        self._charge(reply.usage)
        return wire.answer_body("/chat/completions", self._call, reply, {})

    def refused(self, error: Any) -> BaseException:
        """What a user of the model's client expects where the kernel refuses a call."""
        return native_error(self.llm, error)

    def _charge(self, usage: Usage) -> None:
        """Add up the costs: providers override the method for usage in their own form, and hand it on in this one."""
        base = import_module("metagpt.provider.base_llm").BaseLLM
        base._update_costs(self.llm, {"prompt_tokens": usage.input_tokens, "completion_tokens": usage.output_tokens})


def _options(llm: Any, messages: Iterable[Any]) -> Json:
    """What the request will say beside its messages; a provider that cannot be asked says what its config does."""
    ask: Any = getattr(llm, "_cons_kwargs", None)
    if ask is not None:
        return dict(ask(messages))
    config = llm.config
    return {
        "model": getattr(llm, "model", None) or config.model,
        "max_tokens": config.max_token,
        "temperature": config.temperature,
    }


def _endpoint(llm: Any) -> str:
    """Where the model is called, as the adapter of the openai SDK says it: calls of both kinds share the endpoint's limits."""
    base = getattr(getattr(llm, "aclient", None), "base_url", None) or getattr(llm.config, "base_url", None)
    return str(base or "").rstrip("/")


def _uses_the_sdk(llm: Any) -> bool:
    openai: Any = sys.modules.get("openai")
    return openai is not None and isinstance(getattr(llm, "aclient", None), openai.AsyncOpenAI)


def _message(message: Any) -> Json:
    """A message in the shape of chat completions; Spark's are objects, Gemini's have parts and call the assistant a model."""
    if not hasattr(message, "get"):
        return {"role": _ROLES.get(message.type, message.type), "content": message.content}
    parts: Any = message.get("parts")
    if parts is None:
        return dict(message)
    role = str(message.get("role"))
    content = parts if isinstance(parts, str) else "".join(str(part) for part in parts)
    return {"role": _ROLES.get(role, role), "content": content}


def _used(usage: Any) -> Usage | None:
    counts: Mapping[str, Any] = usage.model_dump() if hasattr(usage, "model_dump") else (usage or {})
    used = Usage(
        input_tokens=int(counts.get("prompt_tokens") or 0), output_tokens=int(counts.get("completion_tokens") or 0)
    )
    return used if used.total_tokens else None
