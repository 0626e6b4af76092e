"""Adapter "litellm": litellm 1.x; chat, text completions, embeddings and responses of every provider."""

from __future__ import annotations

from typing import Any

from aios_adapters.adapter import Adapter
from aios_adapters.litellm import _gate, _served, _streams
from aios_adapters.litellm._request import Request
from aios_adapters.patching import Patch
from aios_adapters.versions import framework

__all__ = ["ADAPTER", "request_of", "usage_in"]

#: For frameworks that are built on litellm: the usage that one of its results or chunks tells.
usage_in = _streams.read_usage

VERSIONS = framework("litellm")

_STREAMS = "litellm.litellm_core_utils.streaming_handler"
_RESPONSES = "litellm.responses.streaming_iterator"
_BRIDGE = "litellm.responses.litellm_completion_transformation.streaming_iterator"
_CACHE = "litellm.caching.caching_handler"


# Newer versions have two functions of each name: a public one that dispatches, and the one in `main` that it keeps a
# reference to. Older ones export the one in `main`. Both are replaced wherever they are kept, each by one object. All
# of it happens once `litellm` is imported: a function of `main` that was replaced before would be copied as it is.
# A function that a program took earlier is out of reach, but for what it keeps in its closure: the one it decorates.
def _function(name: str, package: str, *, asynchronous: bool = False) -> list[Patch]:
    full = f"a{name}" if asynchronous else name
    wrap = (_gate.afunction if asynchronous else _gate.function)(name)
    kept = f"{package}:_PYTHON_{full.upper()}"
    inner = "main" if name != "responses" else ""
    public = (f"litellm.main:{full}", "litellm.responses.main:" + full, f"{package}:{full}", kept)
    patches = [Patch(module="litellm", path=full, wrap=wrap, aliases=public)]
    if inner:
        patches.append(Patch(module="litellm", path=f"main.{full}", wrap=wrap, aliases=(kept,)))
    if not asynchronous:  # the asynchronous ones look these up when they are called
        behind = _gate.function(name, decorated=False)
        patches.append(Patch(module="litellm", path=f"{full}.<original_function>", wrap=behind, optional=True))
    return patches


def request_of(params: dict[str, Any]) -> Request:
    """The request that `litellm.completion(**params)` makes, for frameworks that are built on litellm."""
    return Request("completion", None, (), params)


def _cache(name: str, wrap: _gate.Wrap) -> list[Patch]:
    """The look into the cache; older versions have it under its private name only, newer ones under both."""
    private = f"LLMCachingHandler._{name}"
    return [
        Patch(
            module=_CACHE, path=f"LLMCachingHandler.{name}", wrap=wrap, aliases=(f"{_CACHE}:{private}",), optional=True
        ),
        Patch(module=_CACHE, path=private, wrap=wrap, optional=True),
    ]


ADAPTER = Adapter(
    name="litellm",
    module="litellm",
    distribution=VERSIONS.distributions,
    minimum=VERSIONS.minimum,
    tested=VERSIONS.tested,
    patches=[
        *_function("completion", "litellm.chat_completions.dispatch"),
        *_function("completion", "litellm.chat_completions.dispatch", asynchronous=True),
        *_function("text_completion", "litellm.main"),
        *_function("text_completion", "litellm.main", asynchronous=True),
        *_function("embedding", "litellm.embeddings.dispatch"),
        *_function("embedding", "litellm.embeddings.dispatch", asynchronous=True),
        *_function("responses", "litellm.responses.dispatch"),
        *_function("responses", "litellm.responses.dispatch", asynchronous=True),
        Patch(module="litellm", path="main.mock_completion", wrap=_served.mock_completion, aliases=("litellm:mock_completion",)),
        Patch(module="litellm", path="main.mock_embedding", wrap=_served.mock_embedding, aliases=(
            "litellm:mock_embedding", "litellm.litellm_core_utils.mock_functions:mock_embedding",
        )),
        Patch(module="litellm", path="utils.ProviderConfigManager.get_provider_responses_api_config", wrap=_served.provider_config),
        Patch(module=_STREAMS, path="CustomStreamWrapper.__next__", wrap=_streams.next_),
        Patch(module=_STREAMS, path="CustomStreamWrapper.__anext__", wrap=_streams.anext_),
        Patch(module=_STREAMS, path="CustomStreamWrapper.aclose", wrap=_streams.aclose),
        Patch(module="litellm", path="utils.TextCompletionStreamWrapper.__next__", wrap=_streams.next_),
        Patch(module="litellm", path="utils.TextCompletionStreamWrapper.__anext__", wrap=_streams.anext_),
        Patch(module=_RESPONSES, path="ResponsesAPIStreamingIterator.__anext__", wrap=_streams.anext_, subclasses=True),
        Patch(module=_RESPONSES, path="SyncResponsesAPIStreamingIterator.__next__", wrap=_streams.next_, subclasses=True),
        Patch(module=_RESPONSES, path="MockResponsesAPIStreamingIterator.__anext__", wrap=_streams.anext_, optional=True),
        Patch(module=_RESPONSES, path="MockResponsesAPIStreamingIterator.__next__", wrap=_streams.next_, optional=True),
        Patch(module=_BRIDGE, path="LiteLLMCompletionStreamingIterator.__next__", wrap=_streams.next_, optional=True),
        *_cache("sync_get_cache", _gate.cache),
        *_cache("async_get_cache", _gate.acache),
    ],
)  # fmt: skip
