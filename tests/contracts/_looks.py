"""The part of the patch contract about looks: what reflection, pickle and weak references say stays what it was."""

from __future__ import annotations

import inspect
import pickle
import types
import typing
import weakref
from collections.abc import Callable
from typing import Any

import pytest

import aios_adapters
from aios_adapters.patching._patch import token_of
from tests.contracts._rig import Rig, target_of
from tests.support.columns import RESTORE

_KINDS = (inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction)


class LooksContract(Rig):
    """A patched function looks like the one it replaced, and a class like itself."""

    @pytest.mark.shows(RESTORE)
    def test_signatures_kinds_and_pickles_stay(self) -> None:
        """What inspect, typing and pickle say of a patched function is what they said before."""
        self.imported()
        seen = [_seen(owner, name) for owner, name in self.targets()]
        aios_adapters.enable(only=self.name)
        assert [_seen(owner, name) for owner, name in self.targets()] == seen

    def test_a_pickle_outlives_the_session(self) -> None:
        """A function pickled while patched is the framework's own afterwards, and the other way round."""
        self.imported()
        picklable = [(owner, name) for owner, name in self.targets() if _pickles(getattr(owner, name))]
        native = [(getattr(owner, name), pickle.dumps(getattr(owner, name))) for owner, name in picklable]
        aios_adapters.enable(only=self.name)
        patched = [getattr(owner, name) for owner, name in picklable]
        assert [pickle.loads(data) for _, data in native] == patched
        dumped = [pickle.dumps(function) for function in patched]
        aios_adapters.disable()
        assert [pickle.loads(data) for data in dumped] == [function for function, _ in native]

    def test_weak_references_stay_alive(self) -> None:
        """A patched function can be referenced weakly wherever the original could, for as long as it is in place."""
        self.imported()
        before = [_weak(vars(owner).get(name, getattr(owner, name))) is not None for owner, name in self.targets()]
        aios_adapters.enable(only=self.name)
        references = [_weak(vars(owner).get(name, getattr(owner, name))) for owner, name in self.targets()]
        assert all(reference is not None for reference, could in zip(references, before, strict=True) if could)
        assert all(reference() is not None for reference in references if reference is not None)

    @pytest.mark.shows(RESTORE)
    def test_a_subclass_defined_late_is_covered_and_restored(self) -> None:
        """A class that overrides a patched method after enable() is gated, and has its own function back afterwards."""
        self.imported()
        aios_adapters.enable(only=self.name)
        classes = [
            (owner, name) for patch in self.patches() if patch.subclasses and (owner_name := target_of(patch))
            for owner, name in [owner_name] if isinstance(owner, type)
        ]  # fmt: skip
        if not classes:
            pytest.skip("no patch of this adapter covers subclasses")
        for owner, name in classes:
            own = _override(getattr(owner, name), name)
            late = types.new_class("Late", (owner,), {}, lambda ns, n=name, f=own: ns.update({n: f, **_FRAME}))
            assert token_of(vars(late)[name]) is not None, f"{owner.__name__}.{name} of a later subclass is not gated"
            aios_adapters.disable()
            # A framework may put its own wrapper around what a class defines; ours is gone from it.
            assert token_of(vars(late)[name]) is None
            assert inspect.unwrap(vars(late)[name]) is own
            aios_adapters.enable(only=self.name)


_FRAME = {"__module__": __name__, "__qualname__": "Late"}


def _override(function: Any, name: str) -> Callable[..., Any]:
    """What a user would write in a subclass: a function of the same kind, here one that calls its base."""
    base = inspect.unwrap(function)
    if inspect.isasyncgenfunction(base):

        async def stream(self: Any, *args: Any, **kwargs: Any) -> Any:
            async for item in base(self, *args, **kwargs):
                yield item

        made: Any = stream
    elif inspect.iscoroutinefunction(base):

        async def call(self: Any, *args: Any, **kwargs: Any) -> Any:
            return await base(self, *args, **kwargs)

        made = call
    else:

        def plain(self: Any, *args: Any, **kwargs: Any) -> Any:
            return base(self, *args, **kwargs)

        made = plain
    made.__name__ = name
    return made


def _seen(owner: Any, name: str) -> tuple[Any, ...]:
    function = getattr(owner, name)
    kinds = tuple(test(function) for test in _KINDS)
    described = (function.__name__, function.__qualname__, function.__module__, function.__doc__)
    hints = _told(lambda: repr(typing.get_type_hints(function)))  # some evaluate to a new object each time
    source = _told(lambda: inspect.getsource(function))
    return (inspect.signature(function), described, kinds, _pickles(function), hints, source)


def _told(ask: Callable[[], Any]) -> Any:
    """The answer, or the class of the error: frameworks have functions whose hints cannot be resolved."""
    try:
        return ask()
    except Exception as error:  # noqa: BLE001 - it only has to stay the same
        return type(error)


def _pickles(function: Any) -> bool:
    try:
        return pickle.loads(pickle.dumps(function)) == function
    except (pickle.PicklingError, AttributeError, TypeError):
        return False


def _weak(function: Any) -> weakref.ref[Any] | None:
    try:
        return weakref.ref(function)
    except TypeError:
        return None
