"""Adapter "context": whose call it is survives the way into another thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from aios_adapters import _carried
from aios_adapters.adapter import Adapter
from aios_adapters.patching import Patch

__all__ = ["ADAPTER"]

Function = Callable[..., Any]


class _Carried:
    """A function that runs with our context variables as they were where it was handed over."""

    __slots__ = ("_function", "_values")

    def __init__(self, function: Function, values: _carried.Values) -> None:
        self._function, self._values = function, values

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        with _carried.carried(self._values):
            return self._function(*args, **kwargs)


def _submit(native: Function) -> Function:
    def submit(self: Any, fn: Function, /, *args: Any, **kwargs: Any) -> Any:
        values = _carried.capture()
        if values is None:
            return native(self, fn, *args, **kwargs)
        # A pool's thread outlives this call: it must start with nothing of ours, and get it with each task.
        with _carried.carried(_carried.DEFAULTS):
            return native(self, _Carried(fn, values), *args, **kwargs)

    return submit


def _start(native: Function) -> Function:
    def start(self: Any) -> None:
        values = _carried.capture()
        if values is None or self._started.is_set():
            return native(self)
        attributes = cast("dict[str, Any]", vars(self))
        own, run = attributes.get("run"), self.run  # a program may have set one on the object

        def carried_run() -> None:
            attributes.pop("run", None)
            if own is not None:
                attributes["run"] = own
            _Carried(run, values)()

        attributes["run"] = carried_run
        return native(self)

    return start


ADAPTER = Adapter(
    name="context",
    module="threading",
    patches=[
        Patch(module="concurrent.futures.thread", path="ThreadPoolExecutor.submit", wrap=_submit),
        Patch(module="threading", path="Thread.start", wrap=_start),
    ],
)
