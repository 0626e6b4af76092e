"""Model clients that are not backed by the openai SDK: `create` of every class that an OpenAIWrapper calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from aios_adapters.autogen_classic._cover import cover
from aios_adapters.autogen_classic._identity import FRAMEWORK, scope
from aios_adapters.calls import llm_call
from aios_kernel.abi import Usage
from aios_kernel.wire import answer_body, build_call

if TYPE_CHECKING:
    from aios_kernel.abi import LLMCall, Reply

__all__ = ["create"]

Function = Callable[..., Any]
#: Where a `create` ends in the openai SDK, whose own adapter makes the syscall, or answers in a form of its own.
_PASSED = ("autogen.oai.client.", "autogen.oai.openai_responses.", "autogen.llm_clients.", "openai.")


def create(native: Function) -> Function:
    """Call the model as the agent that asks for it. What comes out of the wrapper's cache calls none."""

    def create(self: Any, *args: Any, **config: Any) -> Any:
        for client in getattr(self, "_clients", ()):
            _cover_client(client)
        with scope(config.get("agent")):
            return native(self, *args, **config)

    return create


def _cover_client(client: Any) -> None:
    given_by = next((cls.__module__ for cls in type(client).__mro__ if "create" in vars(cls)), "")
    if given_by and not f"{given_by}.".startswith(_PASSED):
        cover(FRAMEWORK, client, "create", _client_create)


def _client_create(native: Function) -> Function:
    """Gate a client's own call."""

    def create(self: Any, *args: Any, **kwargs: Any) -> Any:
        one = _Exchange(self, args[0] if args else kwargs.get("params", {}))
        return llm_call(FRAMEWORK, one.build, lambda: native(self, *args, **kwargs), one.served, usage=_usage_of(self))

    return create


class _Exchange:
    """One call of a client: its parameters are those of a chat completion, and so is what it answers."""

    def __init__(self, client: Any, params: Mapping[str, Any]) -> None:
        self._params = params
        self._path = "/chat/completions" if "messages" in params else "/completions"
        self._model = str(params.get("model") or type(client).__name__)
        self._call: Any = None

    def build(self) -> LLMCall:
        """Translate the parameters; a client may be made without the name of a model."""
        self._call = build_call(self._path, {**self._params, "model": self._model}, "", stream=False)
        return self._call

    def served(self, reply: Reply) -> Any:
        """Return what AutoGen's own clients return, a completion of the openai SDK."""
        body = answer_body(self._path, self._call, reply, self._params)
        types = import_module("openai.types" if self._path == "/completions" else "openai.types.chat")
        return (types.Completion if self._path == "/completions" else types.ChatCompletion).model_validate(body)


def _usage_of(client: Any) -> Callable[[Any], Usage | None]:
    def usage(response: Any) -> Usage | None:
        used: Mapping[str, Any] = client.get_usage(response) or {}
        if "prompt_tokens" not in used:
            return None
        return Usage(input_tokens=used["prompt_tokens"] or 0, output_tokens=used.get("completion_tokens") or 0)

    return usage
