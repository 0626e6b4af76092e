"""The patcher: what it sets, what it keeps as it was, and that it takes everything back."""

from __future__ import annotations

import functools
import gc
import inspect
import pickle
import sys
import textwrap
import threading
import types
import weakref
from typing import Any

import pytest

from aios_adapters.patching import ImportHooks, Moved, Patch, Patcher

LOG: list[str] = []


class Base:
    def plain(self, x: int, *, y: str = "") -> str:
        """Say x and y."""
        return f"{x}{y}"

    async def coroutine(self) -> int:
        return 1

    def generator(self):
        yield 1

    async def agenerator(self):
        yield 1

    @staticmethod
    def static(x):
        return x

    @classmethod
    def of_class(cls, x):
        return cls, x


class Inheriting(Base):
    pass


class Shadowing(Base):
    def plain(self, x: int, *, y: str = "") -> str:
        return "shadow " + super().plain(x, y=y)


MODULE = sys.modules[__name__]


def logged(native):
    def call(*args: Any, **kwargs: Any) -> Any:
        LOG.append("called")
        return native(*args, **kwargs)

    return call


def alogged(native):
    async def call(*args: Any, **kwargs: Any) -> Any:
        LOG.append("called")
        return await native(*args, **kwargs)

    return call


def stepped(native):
    def call(*args: Any, **kwargs: Any) -> Any:
        LOG.append("called")
        yield from native(*args, **kwargs)

    return call


def astepped(native):
    async def call(*args: Any, **kwargs: Any) -> Any:
        LOG.append("called")
        async for item in native(*args, **kwargs):
            yield item

    return call


def patch(path: str, wrap: Any = logged, **options: Any) -> Patch:
    return Patch(module=__name__, path=path, wrap=wrap, **options)


ALL = [
    patch("Base.plain", subclasses=True),
    patch("Base.coroutine", alogged),
    patch("Base.generator", stepped),
    patch("Base.agenerator", astepped),
    patch("Base.static"),
    patch("Base.of_class"),
    patch("Inheriting.plain"),
]


def snapshot() -> dict[str, dict[str, Any]]:
    return {cls.__name__: dict(vars(cls)) for cls in (Base, Inheriting, Shadowing)}


@pytest.fixture
def patcher():
    LOG.clear()
    made = Patcher()
    yield made
    made.undo()


def test_undo_restores_every_attribute_by_identity(patcher):
    """After a thousand rounds each class has the very objects it began with, and inherited ones are gone again."""
    before = snapshot()
    for _ in range(1000):
        patcher.apply(MODULE, ALL, "g")
        patcher.undo()
    after = snapshot()
    assert {name: set(attributes) for name, attributes in after.items()} == {
        name: set(attributes) for name, attributes in before.items()
    }
    assert all(after[name][key] is before[name][key] for name in before for key in before[name])
    assert len(patcher) == 0
    assert "plain" not in vars(Inheriting)


def test_kinds_signatures_and_pickles_stay(patcher):
    """What inspect, typing and pickle see of a patched function is what they saw before."""
    seen = {name: inspect.signature(getattr(Base, name)) for name in ("plain", "coroutine", "static", "of_class")}
    patcher.apply(MODULE, ALL, "g")
    assert {name: inspect.signature(getattr(Base, name)) for name in seen} == seen
    assert inspect.iscoroutinefunction(Base.coroutine)
    assert inspect.isgeneratorfunction(Base.generator)
    assert inspect.isasyncgenfunction(Base.agenerator)
    assert type(vars(Base)["static"]) is staticmethod
    assert type(vars(Base)["of_class"]) is classmethod
    assert Base.plain.__doc__ == "Say x and y."
    assert Base.plain.__annotations__ == {"x": "int", "y": "str", "return": "str"}
    assert pickle.loads(pickle.dumps(Base.plain)) is Base.plain
    assert pickle.loads(pickle.dumps(Base().plain))(1) == "1"


def test_methods_of_every_kind_are_called_as_before(patcher):
    """Static and class methods keep their binding; each call passes the wrapper once."""
    patcher.apply(MODULE, ALL, "g")
    assert Base.static(3) == 3
    assert Inheriting.of_class(4) == (Inheriting, 4)
    assert Base().plain(1, y="a") == "1a"
    assert list(Base().generator()) == [1]
    assert LOG == ["called"] * 4


def test_a_plain_function_stays_plain_under_a_generator_wrapper(patcher):
    """A function that only returns an iterator is not turned into a generator function, nor the reverse."""

    class Returns:
        def items(self):
            return iter([1, 2])

    module = types.SimpleNamespace(Returns=Returns)
    patcher.apply(module, [Patch(module="m", path="Returns.items", wrap=stepped)], "g")
    assert not inspect.isgeneratorfunction(Returns.items)
    assert list(Returns().items()) == [1, 2]
    with pytest.raises(Moved, match="coroutine"):
        patcher.apply(MODULE, [patch("Base.coroutine", stepped)], "h")


def test_subclasses_that_shadow_are_covered(patcher):
    """An override is wrapped too, and one that is defined after the patch."""
    patcher.apply(MODULE, ALL[:1], "g")

    class Late(Shadowing):
        def plain(self, x: int, *, y: str = "") -> str:
            return "late"

    class LateInheriting(Shadowing):
        pass

    assert Late().plain(1) == "late"
    assert len(LOG) == 1
    LateInheriting().plain(1)
    assert len(LOG) == 3
    original = inspect.unwrap(Late.plain)
    patcher.undo()
    assert vars(Late)["plain"] is original
    assert "__init_subclass__" not in vars(Base)
    LOG.clear()

    class AfterUndo(Base):
        def plain(self, x: int, *, y: str = "") -> str:
            return "free"

    assert AfterUndo().plain(1) == "free"
    assert LOG == []


def test_a_late_subclass_that_cannot_be_covered_is_left_alone(patcher, caplog):
    """An override of another kind (here a stream for a coroutine) stays native: defining a class never fails for us."""

    def awaited(native):
        async def call(*args, **kwargs):
            return await native(*args, **kwargs)

        return call

    patcher.apply(MODULE, [patch("Base.coroutine", awaited, subclasses=True)], "g")

    class Streaming(Base):
        async def coroutine(self):
            yield 1

    assert inspect.isasyncgenfunction(vars(Streaming)["coroutine"])
    assert "Streaming" in caplog.text
    patcher.undo()
    assert "__init_subclass__" not in vars(Base)


def test_late_subclasses_below_an_init_subclass_that_does_not_call_its_base(patcher):
    """A class that keeps its own __init_subclass__ to itself hides nothing, and it still gets its arguments."""
    got = []

    class Selfish(Base):
        def __init_subclass__(cls, *, tag: str) -> None:
            got.append((cls.__name__, tag))

    own = vars(Selfish)["__init_subclass__"]
    patcher.apply(MODULE, ALL[:1], "g")

    class Below(Selfish, tag="t"):
        def plain(self, x: int, *, y: str = "") -> str:
            return "below"

    assert Below().plain(1) == "below"
    assert LOG == ["called"]
    assert got == [("Below", "t")]
    patcher.undo()
    assert vars(Selfish)["__init_subclass__"] is own


def test_patched_classes_may_be_collected(patcher):
    """A class made inside a function lives no longer for being patched."""
    patcher.apply(MODULE, ALL[:1], "g")
    references = []
    for _ in range(300):

        class Passing(Base):
            def plain(self, x: int, *, y: str = "") -> str:
                return super().plain(x)

        references.append(weakref.ref(Passing))
    del Passing
    gc.collect()
    assert sum(reference() is not None for reference in references) == 0
    assert len(patcher) < 10


def test_a_missing_target_raises_and_an_optional_one_does_not(patcher):
    """A target that moved is named; an optional one is passed over."""
    patcher.apply(MODULE, [patch("Base.gone", optional=True), patch("Gone.plain", optional=True)], "g")
    with pytest.raises(Moved, match=r"Base\.gone does not exist"):
        patcher.apply(MODULE, [patch("Base.plain"), patch("Base.gone")], "g")
    patcher.undo("g")
    assert not hasattr(Base.plain, "__wrapped__")


def test_groups_come_off_alone(patcher):
    """Two adapters on one method: applying again adds nothing, and undoing all restores the original."""
    original = vars(Base)["plain"]
    for _ in range(3):
        patcher.apply(MODULE, [patch("Base.plain")], "one")
        patcher.apply(MODULE, [patch("Base.plain")], "two")
    Base().plain(1)
    assert LOG == ["called"] * 2
    patcher.undo("two")
    Base().plain(1)
    assert len(LOG) == 3
    patcher.undo()
    assert vars(Base)["plain"] is original


def test_somebody_elses_patch_over_ours_stays(patcher):
    """A wrapper put on later, which copies or forwards our mark, is not taken for ours and not removed."""
    original = vars(Base)["plain"]
    patcher.apply(MODULE, [patch("Base.plain")], "g")
    ours = vars(Base)["plain"]

    @functools.wraps(ours)
    def theirs(self, *args, **kwargs):
        return ours(self, *args, **kwargs)

    Base.plain = theirs
    try:
        patcher.undo()
        assert vars(Base)["plain"] is theirs
    finally:
        Base.plain = original


def test_somebody_elses_proxy_below_ours_still_sees_the_instance(patcher):
    """A descriptor that another library put there is called as attribute access would call it."""
    wrapt = pytest.importorskip("wrapt")
    seen = []

    class Target:
        def plain(self):
            return self

        @classmethod
        def of_class(cls):
            return cls

    @wrapt.decorator
    def observe(wrapped, instance, args, kwargs):
        seen.append(instance)
        return wrapped(*args, **kwargs)

    Target.plain, Target.of_class = observe(Target.plain), observe(vars(Target)["of_class"])
    before = dict(vars(Target))
    module = types.SimpleNamespace(Target=Target)
    patches = [Patch(module="m", path=f"Target.{name}", wrap=logged) for name in ("plain", "of_class")]
    patcher.apply(module, patches, "g")
    target = Target()
    assert target.plain() is target
    assert Target.of_class() is Target
    assert seen == [target, Target]
    patcher.undo()
    assert vars(Target)["plain"] is before["plain"]
    assert vars(Target)["of_class"] is before["of_class"]


def test_threads_apply_once(patcher):
    """Many threads at once leave one wrapper."""
    threads = [threading.Thread(target=patcher.apply, args=(MODULE, ALL, "g")) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    Base().plain(1)
    assert LOG == ["called"]


# Import hooks


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package to import, `lately`, with a submodule."""
    folder = tmp_path / "lately"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "sub.py").write_text(textwrap.dedent("value = 1\n"))
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    for name in ("lately", "lately.sub"):
        sys.modules.pop(name, None)


def test_hooks_tell_of_each_execution_and_leave_no_trace(package):
    """The first import, a reload and an import anew are told; the loader and the meta path are as ever."""
    import importlib

    before = list(sys.meta_path)
    arrived = []
    hooks = ImportHooks(["lately.sub"], lambda module: arrived.append(module.value))
    hooks.install()
    hooks.install()
    try:
        import lately.sub

        assert arrived == [1]
        assert "exec_module" not in vars(lately.sub.__spec__.loader)
        importlib.reload(lately.sub)
        del sys.modules["lately.sub"]
        importlib.import_module("lately.sub")
        assert arrived == [1, 1, 1]
        assert importlib.util.find_spec("lately.sub") is not None
    finally:
        hooks.uninstall()
        hooks.uninstall()
    assert sys.meta_path == before
    importlib.reload(sys.modules["lately.sub"])
    assert len(arrived) == 3


def test_a_missing_module_stays_missing(package):
    """A watched module that does not exist raises as without us."""
    hooks = ImportHooks(["lately.nothing"], lambda module: None)
    hooks.install()
    try:
        with pytest.raises(ModuleNotFoundError):
            __import__("lately.nothing")
    finally:
        hooks.uninstall()


def test_aliases_hold_the_one_replacement(patcher, monkeypatch):
    """What else holds the identical function gets the identical replacement, so that it pickles; others stay."""
    module, copied, other = types.ModuleType("m_defines"), types.ModuleType("m_copies"), types.ModuleType("m_other")
    module.ask = copied.ask = native = Base.plain
    other.ask = different = Base.static
    for one in (module, copied, other):
        monkeypatch.setitem(sys.modules, one.__name__, one)
    aliases = ("m_copies:ask", "m_other:ask", "m_missing:ask", "m_copies:missing")
    patcher.apply(module, [Patch(module="m_defines", path="ask", wrap=logged, aliases=aliases)], "a")
    assert module.ask is copied.ask is not native
    assert other.ask is different
    patcher.undo()
    assert module.ask is copied.ask is native


def decorator(function):
    @functools.wraps(function)
    def decorated(*args):
        return function(*args)

    return decorated


@decorator
def greet(name):
    return f"hello {name}"


def test_what_a_decorator_keeps_in_its_closure(patcher):
    """A function that was taken earlier is reached through what it decorates; its kind, its looks and it itself stay."""
    taken, kept = greet, inspect.getclosurevars(greet).nonlocals["function"]
    both = [patch("greet"), patch("greet.<function>")]
    for _ in range(3):
        patcher.apply(MODULE, both, "g")
        patcher.apply(MODULE, both, "g")
        assert (taken("you"), LOG) == ("hello you", ["called"])
        assert (greet("you"), LOG) == ("hello you", ["called"] * 3)
        assert inspect.signature(taken) == inspect.signature(kept)
        patcher.undo()
        LOG.clear()
        assert greet is taken
        assert inspect.getclosurevars(taken).nonlocals["function"] is kept
        assert (taken("you"), LOG) == ("hello you", [])


@pytest.mark.parametrize("path", ["greet.<other>", "Base.<function>", "gone.<function>"])
def test_a_closure_without_that_name_is_a_target_that_moved(patcher, path):
    """An optional patch is left out then."""
    with pytest.raises(Moved, match="does not exist"):
        patcher.apply(MODULE, [patch(path)], "g")
    patcher.apply(MODULE, [patch(path, optional=True)], "g")
    assert len(patcher) == 0


def test_somebody_elses_wrapper_in_a_closure_stays(patcher):
    """What was put over ours while we were there is not ours to remove; ours below it passes through."""
    patcher.apply(MODULE, [patch("greet.<function>")], "g")
    [cell] = greet.__closure__
    ours = cell.cell_contents
    cell.cell_contents = lambda name: ours(name) + "!"
    try:
        patcher.undo()
        assert greet("you") == "hello you!"
    finally:
        cell.cell_contents = inspect.unwrap(ours)
