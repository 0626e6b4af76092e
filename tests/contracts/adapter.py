"""The patch contract: what every adapter has to hold to, whatever its framework.

Subclass `AdapterContract` in a framework's environment and give it the adapter's name and one LLM call. Needs pytest only.
"""

from __future__ import annotations

import gc
import importlib
import json
import subprocess
import sys
import textwrap
import threading

import pytest

import aios_adapters
from aios_adapters.adapter import Adapter, load_all
from aios_adapters.patching import Patch
from aios_adapters.session import in_force
from aios_evals.endpoint import Endpoint
from aios_kernel.cores.scripted import ScriptedCore
from tests.contracts._looks import LooksContract
from tests.contracts._observers import ObserversContract
from tests.contracts._rig import differing, requests_of
from tests.support.columns import IDENTITY, LEASE, ONCE, RESTORE, SERVE

__all__ = ["AdapterContract"]

ROUNDS = 1000


class AdapterContract(LooksContract, ObserversContract):
    """Every adapter: transparent, complete or absent, exactly once, and gone without a trace."""

    def test_is_active_and_the_version_is_known(self) -> None:
        """With its framework imported, the adapter is active, and every patch has its target."""
        self.imported()
        aios_adapters.enable(strict=True)
        status = aios_adapters.status()[self.name]
        assert status.state == "active", status.reason
        assert status.version
        assert not self.adapter.untested(status.version)
        assert self.targets()

    @pytest.mark.shows(LEASE)
    def test_the_same_result_and_the_same_requests(self, endpoint: Endpoint) -> None:
        """A leased call gives what it gave before, through the identical HTTP requests."""
        before = self.call(endpoint)
        requests = requests_of(endpoint)
        endpoint.reset()
        aios_adapters.enable()
        assert self.call(endpoint) == before
        assert requests_of(endpoint) == requests
        assert not any(queue["running"] for queue in aios_adapters.status().kernel.resources)

    @pytest.mark.shows(ONCE)
    def test_one_syscall_per_call(self, endpoint: Endpoint) -> None:
        """Each logical call is one syscall, however many wrappers it goes through."""
        aios_adapters.enable()
        for number in range(1, 4):
            self.call(endpoint)
            assert aios_adapters.status().syscalls.get("llm") == number

    @pytest.mark.shows(ONCE)
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

    @pytest.mark.shows(RESTORE)
    def test_paused_and_disabled_are_native(self, endpoint: Endpoint) -> None:
        """Inside paused(), and after disable(), calls make no syscalls."""
        before = self.call(endpoint)
        aios_adapters.enable()
        with aios_adapters.paused():
            assert self.call(endpoint) == before
        assert aios_adapters.status().syscalls == {}
        aios_adapters.disable()
        assert self.call(endpoint) == before

    @pytest.mark.shows(SERVE, ONCE)
    def test_a_core_answers_without_the_network(self, endpoint: Endpoint) -> None:
        """With a core of the kernel's own, the endpoint hears nothing and the result has the native type."""
        before = self.call(endpoint)
        endpoint.reset()
        aios_adapters.enable(llm=ScriptedCore(lambda call: "served here"))
        served = self.call(endpoint)
        assert endpoint.requests == []
        assert type(served) is type(before)
        assert aios_adapters.status().syscalls.get("llm") == 1

    @pytest.mark.shows(IDENTITY)
    def test_identity_reaches_the_kernel(self, endpoint: Endpoint) -> None:
        """A call inside agent() is that agent's, with its group and priority, down to the framework's own threads."""
        aios_adapters.enable()
        with aios_adapters.agent("mine", group="g", priority=3):
            self.call(endpoint)
        callers = [row for row in aios_adapters.status().kernel.agents if row["syscalls"].get("llm")]
        assert [row["group"] for row in callers] == ["g"]

    @pytest.mark.shows(RESTORE)
    def test_disable_restores_every_attribute_by_identity(self) -> None:
        """A thousand rounds later, every owner has the very objects it began with."""
        self.imported()
        before = self.attributes()
        meta_path = list(sys.meta_path)
        for _ in range(ROUNDS):
            aios_adapters.enable(only=self.name)
            aios_adapters.disable()
        assert differing(before) == []
        assert sys.meta_path == meta_path

    @pytest.mark.shows(RESTORE)
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

    @pytest.mark.shows(ONCE)
    def test_references_captured_early_are_gated(self, endpoint: Endpoint) -> None:
        """Methods, functions and clients that a program got hold of before enable() go through the gate."""
        use = self.captured(endpoint)
        before = use()
        aios_adapters.enable()
        assert use() == before
        assert aios_adapters.status().syscalls.get("llm") == 1
        aios_adapters.disable()
        assert use() == before

    @pytest.mark.shows(ONCE)
    def test_a_model_class_defined_late_is_gated(self, endpoint: Endpoint) -> None:
        """A user's own model class makes one syscall per call, though it did not exist when we came."""
        aios_adapters.enable()
        self.late(endpoint)
        assert aios_adapters.status().syscalls.get("llm") == 1

    @pytest.mark.shows(ONCE)
    def test_a_framework_imported_after_enable(self, endpoint: Endpoint) -> None:
        """enable() waits for the framework instead of importing it; a program that imports it then is gated."""
        script = f"""
            import importlib, json, os, sys
            import aios_adapters
            from aios_evals.endpoint import Endpoint
            state = lambda: aios_adapters.status()[{self.name!r}].state
            aios_adapters.enable()
            told = [{self.adapter.module!r} in sys.modules, state()]
            contract = getattr(importlib.import_module({type(self).__module__!r}), {type(self).__qualname__!r})()
            contract.imported()
            told.append(state())
            with Endpoint(reply_tokens=6) as endpoint:
                contract.call(endpoint)
            told.append(aios_adapters.status().syscalls.get("llm"))
            aios_adapters.disable()
            print(json.dumps(told), flush=True)
            os._exit(0)  # some frameworks leave threads behind that never end
        """
        command = [sys.executable, "-c", textwrap.dedent(script)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout.splitlines()[-1]) == [False, "waiting", "active", 1]

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
        assert differing(before) == []
        self.call(endpoint)


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
