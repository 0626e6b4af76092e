"""Model clients that are not backed by the openai SDK: calling any object of a class below LLMClient."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from aios_adapters._assembled import Assembled
from aios_adapters.ag2._identity import FRAMEWORK
from aios_adapters.ag2._messages import chat_call, model_response, text_chunk, usage_of
from aios_adapters.calls import arecord, claiming, enter_llm, given_back, recorded, report

if TYPE_CHECKING:
    from aios_kernel.abi import ChatCall
    from aios_kernel.gate import Grant

__all__ = ["call"]

Function = Callable[..., Any]
#: Clients that end in the openai SDK, whose own adapter makes the syscall; one around another; and other programs'
#: agents in the place of a model.
_PASSED = ("ag2.config.openai.", "ag2.testing.TrackingClient", "ag2.a2a.", "ag2.acp.", "ag2.extensions.")


def call(native: Function) -> Function:
    """Gate a client's call."""

    async def __call__(self: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N807
        given = {**dict(zip(("messages", "context"), args, strict=False)), **kwargs}
        streamed = bool(getattr(self, "_streaming", False))

        def build() -> ChatCall | None:
            if any(f"{cls.__module__}.{cls.__qualname__}".startswith(_PASSED) for cls in type(self).__mro__):
                return None
            return chat_call(self, given["messages"], given["context"], given, stream=streamed)

        syscall = enter_llm(FRAMEWORK, build)
        if syscall is None:
            return await native(self, *args, **kwargs)
        async with syscall as grant:
            if grant.lease:
                with claiming(grant):
                    result = await native(self, *args, **kwargs)
                report(grant, usage_of, result)
                await arecord(grant, result, FRAMEWORK)
                return result
            if (kept := recorded(grant)) is not None:
                result = given_back(kept)
            else:
                result = await _served(grant, given["context"] if streamed else None, type(self).__name__)
        # Whoever listens may call a model: the grant has been given back.
        if result.message is not None:
            await given["context"].send(result.message)
        return result

    return __call__


async def _served(grant: Grant, context: Any, model: str) -> Any:
    """The kernel's answer as a ModelResponse; with a context, its text is sent piece by piece as it comes."""
    if context is None:
        return model_response(await grant.areply(), model)
    whole = Assembled()
    async for delta in grant.adeltas():
        whole.add(delta)
        if delta.text:
            await context.send(text_chunk(delta.text))
    return model_response(whole.reply, model)
