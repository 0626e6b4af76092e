"""The patch contract: what every adapter has to hold to, whatever its framework.

Subclass `AdapterContract` in a framework's environment and give it the adapter's name and one LLM call. Needs pytest only.
"""

from __future__ import annotations

import gc
import importlib
import inspect
import json
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any, ClassVar, cast

import pytest

import aios_adapters
from aios_adapters.adapter import Adapter, load_all
from aios_adapters.patching import Moved, Patch
from aios_adapters.session import in_force
from aios_evals.endpoint import Endpoint
from aios_kernel.cores.scripted import ScriptedCore

ROUNDS = 1000
_MISSING: Any = object()


class AdapterContract:
    """Every adapter: transparent, complete or absent, exactly once, and gone without a trace."""

    #: The adapter's name in `status()`.
    name: ClassVar[str]

    def call(self, endpoint: Endpoint) -> Any:
        """Make one LLM call with the framework, to the endpoint; return a result that can be compared."""
        raise NotImplementedError

    # Fixtures

    @pytest.fixture(autouse=True)
    def _clean(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Iterator[None]:
        for name in [name for name in os.environ if name.startswith("AIOS_") and name != "AIOS_TEST_ENV"]:
            monkeypatch.delenv(name)
        monkeypatch.chdir(tmp_path)
        aios_adapters.disable()
        yield
        aios_adapters.disable()

    @pytest.fixture
    def endpoint(self) -> Iterator[Endpoint]:
        with Endpoint(reply_tokens=6) as endpoint:
            yield endpoint

    @property
    def adapter(self) -> Adapter:
        """The adapter's row of the table."""
        return next(one for one in load_all() if isinstance(one, Adapter) and one.name == self.name)

    def targets(self) -> list[tuple[Any, str]]:
        """Owner and name of every attribute the adapter patches in this version."""
        adapter = self.adapter
        patches = [p for module in adapter.modules for p in adapter.patches_of(module, adapter.version())]
        return [found for patch in patches if (found := _target(patch)) is not None]

    def attributes(self) -> dict[tuple[int, str], Any]:
        """What is at each target now; nothing for an attribute that is inherited."""
        return {
            (id(owner), name): cast("dict[str, Any]", vars(owner)).get(name, _MISSING) for owner, name in self.targets()
        }

    # The contract

    def test_is_active_and_the_version_is_known(self) -> None:
        """With its framework imported, the adapter is active, and every patch has its target."""
        for module in self.adapter.modules:
            importlib.import_module(module)
        aios_adapters.enable(strict=True)
        status = aios_adapters.status()[self.name]
        assert status.state == "active", status.reason
        assert status.version
        assert not self.adapter.untested(status.version)
        assert self.targets()

    def test_the_same_result_and_the_same_requests(self, endpoint: Endpoint) -> None:
        """A leased call gives what it gave before, through the identical HTTP requests."""
        before = self.call(endpoint)
        requests = _requests(endpoint)
        endpoint.reset()
        aios_adapters.enable()
        assert self.call(endpoint) == before
        assert _requests(endpoint) == requests
        assert not any(queue["running"] for queue in aios_adapters.status().kernel.resources)

    def test_one_syscall_per_call(self, endpoint: Endpoint) -> None:
        """Each logical call is one syscall, however many wrappers it goes through."""
        aios_adapters.enable()
        for number in range(1, 4):
            self.call(endpoint)
            assert aios_adapters.status().syscalls.get("llm") == number

    def test_enabled_twice_and_from_threads_it_is_still_one(self, endpoint: Endpoint) -> None:
        """enable() may be called at any time, from anywhere."""
        aios_adapters.enable()
        threads = [threading.Thread(target=aios_adapters.enable) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.call(endpoint)
        assert aios_adapters.status().syscalls.get("llm") == 1

    def test_paused_and_disabled_are_native(self, endpoint: Endpoint) -> None:
        """Inside paused(), and after disable(), calls make no syscalls."""
        before = self.call(endpoint)
        aios_adapters.enable()
        with aios_adapters.paused():
            assert self.call(endpoint) == before
        assert aios_adapters.status().syscalls == {}
        aios_adapters.disable()
        assert self.call(endpoint) == before

    def test_a_core_answers_without_the_network(self, endpoint: Endpoint) -> None:
        """With a core of the kernel's own, the endpoint hears nothing and the result has the native type."""
        before = self.call(endpoint)
        endpoint.reset()
        aios_adapters.enable(llm=ScriptedCore(lambda call: "served here"))
        served = self.call(endpoint)
        assert endpoint.requests == []
        assert type(served) is type(before)
        assert aios_adapters.status().syscalls.get("llm") == 1

    def test_identity_reaches_the_kernel(self, endpoint: Endpoint) -> None:
        """A call inside agent() is that agent's, with its group and priority, down to the framework's own threads."""
        aios_adapters.enable()
        with aios_adapters.agent("mine", group="g", priority=3):
            self.call(endpoint)
        callers = [row for row in aios_adapters.status().kernel.agents if row["syscalls"].get("llm")]
        assert [row["group"] for row in callers] == ["g"]

    def test_disable_restores_every_attribute_by_identity(self) -> None:
        """A thousand rounds later, every owner has the very objects it began with."""
        for module in self.adapter.modules:
            importlib.import_module(module)
        before = self.attributes()
        meta_path = list(sys.meta_path)
        for _ in range(ROUNDS):
            aios_adapters.enable(only=self.name)
            aios_adapters.disable()
        after = self.attributes()
        assert all(after[key] is value for key, value in before.items())
        assert sys.meta_path == meta_path

    def test_signatures_kinds_and_pickles_stay(self) -> None:
        """What inspect and pickle say of a patched function is what they said before."""
        seen = [_seen(owner, name) for owner, name in self.targets()]
        aios_adapters.enable(only=self.name)
        assert [_seen(owner, name) for owner, name in self.targets()] == seen

    def test_nothing_is_left_behind(self, endpoint: Endpoint) -> None:
        """Calls of a session that is over keep neither its kernel nor its threads alive."""
        self.call(endpoint)
        gc.collect()
        threads = threading.active_count()
        for _ in range(5):
            aios_adapters.enable()
            self.call(endpoint)
            aios_adapters.disable()
        assert threading.active_count() <= threads + 2
        assert in_force() is None

    def test_the_framework_is_not_imported_by_us(self) -> None:
        """enable() waits for the framework instead of importing it, and is there when it comes."""
        script = (
            "import sys, json, aios_adapters; aios_adapters.enable(); "
            f"early = {self.adapter.module!r} in sys.modules; state = aios_adapters.status()[{self.name!r}].state; "
            f"[__import__(name) for name in {self.adapter.modules!r}]; "
            f"print(json.dumps([early, state, aios_adapters.status()[{self.name!r}].state]))"
        )
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout.splitlines()[-1]) == [False, "waiting", "active"]

    def test_a_moved_target_leaves_no_half_adapter(self, monkeypatch: pytest.MonkeyPatch, endpoint: Endpoint) -> None:
        """If one target is gone, none is patched, the reason is shown and the program works."""
        adapter = self.adapter
        last = adapter.patches[-1]
        gone = Patch(module=last.module, path=f"{last.path}_that_moved", wrap=last.wrap, versions=last.versions)
        importlib.import_module(last.module)
        before = self.attributes()
        broken = _with_patches(adapter, [*adapter.patches, gone])
        others = [one for one in load_all() if one.name != self.name]
        monkeypatch.setattr("aios_adapters.session.load_all", lambda: [*others, broken])
        aios_adapters.enable()
        status = aios_adapters.status()[self.name]
        assert (status.state, "that_moved does not exist" in status.reason) == ("failed", True)
        assert all(value is before[key] for key, value in self.attributes().items())
        self.call(endpoint)


def _target(patch: Patch) -> tuple[Any, str] | None:
    """Owner and name of a patch's target; None where an optional one is missing."""
    *path, name = patch.path.split(".")
    owner: Any = importlib.import_module(patch.module)
    try:
        for step in path:
            owner = getattr(owner, step)
        getattr(owner, name)
    except AttributeError:
        if patch.optional:
            return None
        raise Moved(f"{patch} does not exist") from None
    return owner, name


def _with_patches(adapter: Adapter, patches: list[Patch]) -> Adapter:
    return Adapter(
        name=adapter.name,
        module=adapter.module,
        distribution=adapter.distribution,
        tested=adapter.tested,
        minimum=adapter.minimum,
        resolve=adapter.resolve,
        patches=patches,
    )


def _seen(owner: Any, name: str) -> tuple[Any, ...]:
    function = getattr(owner, name)
    tests = (inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction)
    kinds = tuple(test(function) for test in tests)
    return (inspect.signature(function), function.__qualname__, function.__doc__, kinds, _pickles(function))


def _pickles(function: Any) -> bool:
    try:
        return pickle.loads(pickle.dumps(function)) == function
    except (pickle.PicklingError, AttributeError):
        return False


def _requests(endpoint: Endpoint) -> list[tuple[Any, ...]]:
    """What the endpoint was sent. Ids that a program makes anew for each request are no part of it."""
    return [
        (
            record.method,
            record.path,
            {key: value for key, value in record.headers.items() if key != "host"},
            record.body,
        )
        for record in endpoint.requests
    ]
