"""From the arguments of litellm's functions to a Call."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from aios_adapters.litellm import _errors
from aios_kernel import wire
from aios_kernel.abi import LLMCall

if TYPE_CHECKING:
    from aios_kernel.errors import SyscallError

__all__ = ["Request"]

Function = Callable[..., Any]
#: Which API a function stands for, and its first parameters where its own signature hides them.
_PATHS = {
    "completion": ("/chat/completions", ("model", "messages")),
    "text_completion": ("/completions", ("prompt", "model")),
    "embedding": ("/embeddings", ("model", "input")),
    "responses": ("/responses", ("input", "model")),
}
#: What says that a synchronous function is called by its asynchronous twin, and will return a coroutine.
_NESTED = ("acompletion", "aembedding", "atext_completion", "aresponses")
#: Answers that the program itself makes up.
_MOCKS = ("mock_response", "mock_tool_calls", "mock_timeout")


class Request:
    """One call of a function of litellm, as the program made it."""

    def __init__(self, kind: str, native: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        self.kind = kind
        self.path, names = _PATHS[kind]
        positional = (_positional(native) or names) if args else ()
        self._given = {**dict(zip(positional, args, strict=False)), **kwargs}
        self.call = LLMCall()

    @property
    def nested(self) -> bool:
        """Whether this is the synchronous half of an asynchronous call."""
        return any(self._given.get(name) is True for name in _NESTED)

    @property
    def stream(self) -> bool:
        """Whether the reply is to be streamed."""
        return self._given.get("stream") is True

    @property
    def cached(self) -> bool:
        """Whether litellm looks into its cache before it calls the model."""
        caching = self._given.get("caching")
        cache: Any = self._given.get("cache") or {}
        wanted = caching is True or (caching is None and import_module("litellm").cache is not None)
        return wanted and cache.get("no-cache") is not True

    def build(self) -> LLMCall | None:
        """Translate; None for a made-up answer, and for a list of fallbacks, each of which is a call of its own."""
        litellm: Any = import_module("litellm")
        given = self._given
        if any(given.get(name) for name in _MOCKS):
            return None
        if self.path == "/chat/completions" and (given.get("fallbacks") or litellm.model_fallbacks):
            return None
        model, endpoint = self._place(litellm)
        body = {**given, "model": model, "stream": self.stream}
        self.call = wire.build_call(self.path, _plain(body), endpoint.rstrip("/"), stream=self.stream)
        return self.call

    def _place(self, litellm: Any) -> tuple[str, str]:
        """The model's own name, and the address it is asked at; where there is none to know, the provider's name."""
        given = self._given
        name, url = given.get("model") or given.get("engine"), given.get("api_base") or given.get("base_url")
        try:
            model, provider, _, base = litellm.get_llm_provider(
                model=name,
                custom_llm_provider=given.get("custom_llm_provider"),
                api_base=url,
                api_key=given.get("api_key"),
            )
        except litellm.BadRequestError:  # a provider litellm does not know: the call itself will say so
            return str(name), str(url or "")
        return str(model), str(base or url or provider)

    def check(self) -> None:
        """Refuse what no core of the kernel can do, as a provider would."""
        name = wire.unsupported(self.path, self._given)
        if name is not None:
            raise _errors.unsupported(name, self.call.model)

    def refused(self, error: SyscallError) -> BaseException:
        """What a user of litellm expects where the kernel refuses a call."""
        return _errors.refused(error, self.call.model)


#: What is about the client, not about the request: secrets and objects stay with the program.
_KEPT = frozenset(
    {
        "api_key", "client", "litellm_logging_obj", "cache", "shared_session", "extra_headers", "headers",
        "litellm_trace_id", "litellm_call_id",
    }
)  # fmt: skip


def _plain(body: Mapping[str, Any]) -> dict[str, Any]:
    """The request without what only the client uses; a schema given as a class is left to the provider."""
    kept = {key: value for key, value in body.items() if key not in _KEPT and value is not None}
    if not isinstance(kept.get("response_format"), Mapping):
        kept.pop("response_format", None)
    messages = kept.get("messages")
    if messages is not None:
        kept["messages"] = [_dumped(message) for message in messages]
    return kept


def _dumped(message: Any) -> Any:
    """A message as plain data; programs put the answers they got back in as they are."""
    dump = getattr(message, "model_dump", None)
    return message if dump is None else dump(exclude_none=True)


@functools.lru_cache(maxsize=32)
def _positional(native: Function) -> tuple[str, ...]:
    parameters = inspect.signature(native).parameters.values()
    return tuple(one.name for one in parameters if one.kind is one.POSITIONAL_OR_KEYWORD)
