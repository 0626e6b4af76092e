"""`openai.Completion`, `ChatCompletion` and `Embedding` as they were: create and acreate, with results that are dicts."""

from __future__ import annotations

import array
import base64
import functools
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any, NoReturn, cast

from aios_adapters.openai_shim._errors import translated

__all__ = ["Result", "attribute"]

_PATHS = {"Completion": "/completions", "ChatCompletion": "/chat/completions", "Embedding": "/embeddings"}
#: Arguments of `create` that the SDK kept to itself.
_OWN = ("api_key", "api_base", "organization", "headers", "request_timeout", "request_id", "timeout", "engine")
_AZURE = ("api_type", "api_version", "deployment_id")


class Result(dict[str, Any]):
    """A result: a dict whose keys are attributes too."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    def to_dict_recursive(self) -> dict[str, Any]:
        """Return plain dicts and lists."""
        return _plain(self)

    to_dict = to_dict_recursive


def attribute(native: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap `APIRemovedInV1Proxy.__getattr__`: what is reinstated is found, everything else still says it is gone."""

    def __getattr__(self: Any, attr: str) -> Any:  # noqa: N807
        path = _PATHS.get(self.__dict__.get("_symbol", ""))
        made = {"create": _create, "acreate": _acreate}.get(attr)
        return native(self, attr) if path is None or made is None else functools.partial(made, path)

    return __getattr__


def _create(path: str, **params: Any) -> Any:
    request = _Request(path, params)
    try:
        answer = request.client().post(path, cast_to=object, **request.sent("Stream"))
    except Exception as error:  # noqa: BLE001 - translated
        _raise(error)
    return _read(answer) if request.stream else request.result(answer)


async def _acreate(path: str, **params: Any) -> Any:
    request = _Request(path, params)
    client = request.client(asynchronous=True)
    try:
        answer = await client.post(path, cast_to=object, **request.sent("AsyncStream"))
    except BaseException as error:  # noqa: BLE001 - translated, or raised again
        await client.close()
        _raise(error)
    if request.stream:
        return _aread(client, answer)
    await client.close()
    return request.result(answer)


def _read(stream: Any) -> Iterator[Result]:
    with stream:
        try:
            for chunk in stream:
                yield _result(chunk)
        except Exception as error:  # noqa: BLE001 - translated
            _raise(error)


async def _aread(client: Any, stream: Any) -> AsyncIterator[Result]:
    async with client, stream:
        try:
            async for chunk in stream:
                yield _result(chunk)
        except Exception as error:  # noqa: BLE001 - translated
            _raise(error)


class _Request:
    """The arguments of one call, and what the present SDK is to do with them."""

    def __init__(self, path: str, params: Mapping[str, Any]) -> None:
        for name in _AZURE:
            if params.get(name) is not None:
                raise TypeError(f"{name} is not supported by the compatibility shim: use openai.AzureOpenAI")
        self._own = {name: params[name] for name in _OWN if params.get(name) is not None}
        self._body = {name: value for name, value in params.items() if name not in _OWN}
        self._body.setdefault("model", self._own.get("engine"))
        self.stream = bool(self._body.get("stream"))
        self._packed = path == "/embeddings" and not self._body.get("encoding_format")
        if self._packed:
            self._body["encoding_format"] = "base64"

    def client(self, *, asynchronous: bool = False) -> Any:
        """A client as the old settings ask for it, which does not retry: the 0.x SDK did not."""
        openai: Any = sys.modules["openai"]
        base = self._own.get("api_base") or getattr(openai, "api_base", None) or openai.base_url
        base = str(base) if base else os.environ.get("OPENAI_API_BASE")
        key = self._own.get("api_key") or openai.api_key
        group = self._own.get("organization") or openai.organization
        if asynchronous:  # its connections belong to one event loop
            return openai.AsyncOpenAI(base_url=base, api_key=key, organization=group, max_retries=0)
        return _client(openai.OpenAI, base, key, group)

    def sent(self, stream: str) -> dict[str, Any]:
        """The arguments of `post`."""
        headers = dict(self._own.get("headers") or {})
        if "request_id" in self._own:
            headers["X-Request-Id"] = self._own["request_id"]
        options = {"headers": headers, "timeout": self._own.get("request_timeout", 600.0)}
        more: dict[str, Any] = {"body": self._body, "options": options}
        if self.stream:
            openai: Any = sys.modules["openai"]
            more.update(stream=True, stream_cls=getattr(openai, stream)[object])
        return more

    def result(self, answer: Any) -> Result:
        """The answer as a dict, vectors unpacked."""
        if self._packed:
            for item in answer["data"]:
                if isinstance(item["embedding"], str):
                    item["embedding"] = array.array("f", base64.b64decode(item["embedding"])).tolist()
        return _result(answer)


@functools.lru_cache(maxsize=16)
def _client(make: Callable[..., Any], base: str | None, key: str | None, organization: str | None) -> Any:
    return make(base_url=base, api_key=key, organization=organization, max_retries=0)


def _raise(error: BaseException) -> NoReturn:
    old = translated(error) if isinstance(error, Exception) else error
    if old is error:
        raise error
    raise old from error


def _result(value: Any) -> Any:
    if isinstance(value, Mapping):
        return Result({key: _result(item) for key, item in cast("Mapping[str, Any]", value).items()})
    return [_result(item) for item in cast("list[Any]", value)] if isinstance(value, list) else value


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in cast("Mapping[str, Any]", value).items()}
    return [_plain(item) for item in cast("list[Any]", value)] if isinstance(value, list) else value
