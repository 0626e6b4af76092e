"""One row of the table: what is replaced, and the plain function that replaces it."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from types import FunctionType
from typing import Any, Literal, cast

__all__ = ["MISSING", "Moved", "Patch", "Token", "replacement_for", "token_of", "underlying"]

Function = Callable[..., Any]
MISSING: Any = object()
MARK = "__aios_patch__"


class Moved(Exception):
    """The target of a patch is not what the table says; the message tells what is missing."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Patch:
    """Replace the function at `module:path` by `wrap(original)`.

    `path` is "function", "Class.method" or deeper; "function.<name>" is what that function, or one that it wraps, keeps
    as `name` in its closure: a decorator's reference to what it decorates, which calls of a function that a program took
    before go through all the same. `wrap` is called once for each function replaced and returns a function of the same
    kind (plain, coroutine, generator, asynchronous generator); it must import nothing. With `subclasses`, every subclass
    that has the attribute itself is covered too, also one that is defined later; with "only", the class itself is left
    alone. An `optional` patch may have no target. `versions` is a version specifier: elsewhere the patch does not apply.
    `aliases` are other places ("module:path") that may hold the identical function: those that do get the identical
    replacement.
    """

    module: str
    path: str
    wrap: Callable[[Function], Function]
    subclasses: bool | Literal["only"] = False
    optional: bool = False
    versions: str = ""
    aliases: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.module}:{self.path}"


@dataclass(slots=True, eq=False)
class Token:
    """What a replacement carries: whose it is and what it replaced (MISSING: nothing, the attribute was inherited)."""

    patcher: object
    group: str
    raw: Any
    function: Any = None

    def put_on(self, function: Any) -> None:
        """Mark a replacement."""
        self.function = function
        setattr(function, MARK, self)


def token_of(raw: Any) -> Token | None:
    """The token of a class or module attribute, if it is one of our replacements itself.

    Somebody else's wrapper of a replacement shows the same token (`functools.wraps` copies it, proxies forward it).
    """
    function = underlying(raw)
    token: Token | None = getattr(function, MARK, None)
    return token if token is not None and token.function is function else None


def underlying(raw: Any) -> Any:
    """The function inside a static or class method; anything else as it is, also another patcher's proxy of one."""
    return raw.__func__ if issubclass(type(raw), (staticmethod, classmethod)) else raw


def function_of(raw: Any, patch: Patch) -> Function:
    """What a replacement calls: a function that takes what the attribute's own function takes."""
    if underlying(raw) is not raw:
        return underlying(raw)
    if _method_kind(raw) is None and not hasattr(raw, "__call__"):  # noqa: B004 - `callable` would narrow the type
        raise Moved(f"{patch} is a {type(raw).__name__}, not a function")
    kind = cast("type[Any]", type(raw))
    if kind is FunctionType or not hasattr(kind, "__get__"):
        return raw
    return _through_descriptor(raw)


def _through_descriptor(raw: Any) -> Function:
    """Call another patcher's proxy as attribute access would, so that it sees the instance or the class."""
    if _method_kind(raw) is staticmethod:
        return raw.__get__(None, object)
    of_class = _method_kind(raw) is classmethod

    def call(bound: Any, *args: Any, **kwargs: Any) -> Any:
        function = raw.__get__(None, bound) if of_class else raw.__get__(bound, type(bound))
        return function(*args, **kwargs)

    return call


def _method_kind(raw: Any) -> Callable[[Any], Any] | None:
    """What the replacement has to be wrapped in to be bound as the original is."""
    kinds: tuple[Any, ...] = (staticmethod, classmethod)
    return next((kind for kind in kinds if isinstance(raw, kind)), None)


def replacement_for(patch: Patch, raw: Any, token: Token, *, inherited: Any = None) -> Any:
    """Build what takes the attribute's place, of the same kind and with the same signature."""
    source = inherited if raw is MISSING else raw
    shown = underlying(source)
    wrapper = patch.wrap(function_of(source, patch))
    wrapper = functools.update_wrapper(_same_kind(patch, shown, wrapper), shown)
    token.put_on(wrapper)
    kind = _method_kind(source)
    return wrapper if kind is None else kind(wrapper)


_KINDS = {
    "coroutine": inspect.iscoroutinefunction,
    "generator": inspect.isgeneratorfunction,
    "asynchronous generator": inspect.isasyncgenfunction,
}


def _kind(function: Any) -> str:
    return next((name for name, test in _KINDS.items() if test(function)), "plain")


def _same_kind(patch: Patch, original: Any, wrapper: Function) -> Function:
    """Keep what `inspect` says: a plain function that returns an awaitable or an iterator stays a plain function."""
    wanted, got = _kind(original), _kind(wrapper)
    if wanted == got:
        return wrapper
    if wanted != "plain":
        raise Moved(f"{patch} is a {wanted} function, its replacement a {got} one")

    def call(*args: Any, **kwargs: Any) -> Any:
        return wrapper(*args, **kwargs)

    return call
