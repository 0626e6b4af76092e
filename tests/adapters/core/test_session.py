"""enable(), disable(), paused() and status(), on a made-up framework."""

from __future__ import annotations

import importlib
import logging
import os
import pickle
import sys
import threading
import time

import pytest

import aios_adapters
from aios_adapters.adapter import AdapterError
from aios_kernel.abi import ChatCall, Reply
from aios_kernel.cores.scripted import ScriptedCore
from aios_kernel.errors import AccessDenied, ConfigError, CoreError, UnknownName
from aios_kernel.kernel import Kernel


def wait_until(condition):
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def library():
    return importlib.import_module("fakelib.llm")


@pytest.mark.parametrize("early", [True, False])
def test_imported_before_or_after(fakelib, early):
    """A framework is patched whether it is imported before enable() or after, and restored by disable()."""
    fakelib.install()
    if early:
        library()
    aios_adapters.enable()
    assert aios_adapters.status()["fakelib"].state == ("active" if early else "waiting")
    assert library().Client().ask("hi") == "native hi"
    assert aios_adapters.status().syscalls == {"llm": 1}
    assert aios_adapters.status()["fakelib"].calls == 1
    aios_adapters.disable()
    assert library().Client().ask("hi") == "native hi"
    assert not hasattr(library().Client.ask, "__wrapped__")
    assert repr(aios_adapters.status()) == "aios-adapters: not enabled"


def test_a_thousand_rounds_leave_nothing(fakelib):
    """Enabling and disabling again and again neither grows nor changes anything."""
    fakelib.install()
    module = library()
    native, before, threads = vars(module.Client)["ask"], list(sys.meta_path), threading.active_count()
    started = threading.Thread.start
    for _ in range(1000):
        aios_adapters.enable()
        aios_adapters.disable()
    assert vars(module.Client)["ask"] is native
    assert threading.Thread.start is started
    assert sys.meta_path == before
    assert threading.active_count() == threads


def test_enable_twice_and_from_many_threads(fakelib):
    """The second enable() changes nothing, wherever it comes from."""
    fakelib.install()
    module = library()
    aios_adapters.enable()
    kernel, ask = aios_adapters.kernel(), module.Client.ask
    threads = [threading.Thread(target=aios_adapters.enable) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert aios_adapters.kernel() is kernel
    assert module.Client.ask is ask
    module.Client().ask("a")
    assert aios_adapters.status().syscalls == {"llm": 1}


def test_what_is_given_later_changes_only_that(fakelib):
    """A later enable() with an argument keeps the other settings."""
    fakelib.install()
    module = library()
    aios_adapters.enable(policy="priority", limits={"llm:*": {"in_flight": 3}})
    aios_adapters.enable(limits={"llm:*": {"in_flight": 4}})
    module.Client().ask("a")
    (queue,) = aios_adapters.kernel().status().resources
    assert (queue["policy"], queue["told"]["in_flight"]) == ("priority", 4)
    aios_adapters.enable(llm=ScriptedCore(lambda call: Reply(text="served")))
    assert module.Client().ask("a") == "served"
    with pytest.raises(ConfigError, match=r"disable\(\) first"):
        aios_adapters.enable(policy="fifo")
    assert module.Client().ask("a") == "served"
    aios_adapters.enable(llm=None)
    assert module.Client().ask("a") == "native a"


def test_a_given_kernel_is_used_and_left_running(fakelib):
    """`kernel=` is the gate of every call, and disable() does not close it."""
    fakelib.install()
    kernel = Kernel()
    aios_adapters.enable(kernel=kernel)
    library().Client().ask("a")
    aios_adapters.disable()
    assert kernel.status().syscalls == {"llm": 1}
    assert not kernel.closed
    kernel.close()


def test_paused_is_native(fakelib):
    """Calls inside paused() make no syscalls; those after it do."""
    fakelib.install()
    aios_adapters.enable()
    client = library().Client()
    with aios_adapters.paused():
        client.ask("a")
        with aios_adapters.paused():
            client.ask("b")
        client.ask("c")
    client.ask("d")
    assert aios_adapters.status().syscalls == {"llm": 1}


def test_only_and_exclude(fakelib):
    """Adapters can be chosen; a name that is none is refused with the known ones."""
    fakelib.install()
    library()
    aios_adapters.enable(exclude=["fakelib"])
    assert aios_adapters.status()["fakelib"].state == "skipped"
    aios_adapters.disable()
    aios_adapters.enable(only="fakelib")
    assert aios_adapters.status()["fakelib"].state == "active"
    assert aios_adapters.status()["context"].state == "skipped"
    aios_adapters.disable()
    with pytest.raises(UnknownName, match="fakelib"):
        aios_adapters.enable(only="fakelip")
    assert not aios_adapters.status().enabled


def test_too_old_is_skipped_with_its_reason(fakelib, caplog):
    """Below the minimum the adapter stays out, and strict raises."""
    fakelib.install("0.9")
    library()
    with caplog.at_level(logging.WARNING):
        aios_adapters.enable()
    shown = aios_adapters.status()["fakelib"]
    assert (shown.state, shown.version) == ("skipped", "0.9")
    assert "older than 1.0" in shown.reason
    assert "older than 1.0" in caplog.text
    aios_adapters.disable()
    with pytest.raises(AdapterError, match=r"older than 1\.0"):
        aios_adapters.enable(strict=True)
    assert not aios_adapters.status().enabled


@pytest.mark.parametrize(("version", "warned"), [("1.5.9", False), ("1.6", True), ("1.1", False)])
def test_newer_than_tested_warns_once_and_runs(fakelib, caplog, version, warned):
    """Above the tested range there is one warning, and the adapter is active."""
    fakelib.install(version)
    library()
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            aios_adapters.enable()
            assert aios_adapters.status()["fakelib"].state == "active"
            aios_adapters.disable()
    assert caplog.text.count("newest version") == (1 if warned else 0)


@pytest.mark.parametrize(
    "extra",
    [
        'Patch(module="fakelib.llm", path="Client.moved", wrap=ask)',
        'Patch(module="fakelib.moved", path="Client.ask", wrap=ask)',
        'Patch(module="fakelib.llm", path="__doc__", wrap=ask)',
    ],
)
def test_a_moved_target_takes_the_whole_adapter_out(fakelib, extra):
    """Half an adapter is never left: the rest is undone, and status() tells why."""
    fakelib.install(extra=extra)
    module = library()
    native = vars(module.Client)["ask"]
    aios_adapters.enable()
    shown = aios_adapters.status()["fakelib"]
    assert shown.state == "failed"
    assert "fakelib 1.2" in shown.reason
    assert vars(module.Client)["ask"] is native
    assert module.Client().ask("a") == "native a"
    aios_adapters.disable()
    with pytest.raises(AdapterError, match="fakelib"):
        aios_adapters.enable(strict=True)


def test_a_broken_adapter_leaves_the_others(fakelib):
    """An entry point that cannot be loaded is shown, and everything else works."""
    fakelib.install()
    (fakelib.folder / "fakelib_aios.py").write_text("1 / 0\n")
    aios_adapters.enable()
    assert "ZeroDivisionError" in aios_adapters.status()["fakelib"].reason
    assert aios_adapters.status()["context"].state == "active"


def test_a_denied_tool_answers_in_the_frameworks_form(fakelib):
    """A refusal becomes what the adapter makes of it; the tool does not run."""
    fakelib.install()

    def refuse(call, process):
        raise AccessDenied("not this one")

    kernel = Kernel(checks=(refuse,))
    aios_adapters.enable(kernel=kernel)
    assert library().Tool().run("x") == "denied: not this one"
    kernel.close()


def test_after_dispatch_nothing_falls_back(fakelib):
    """A core that fails is an error in the caller, not a silent native call."""
    fakelib.install()
    aios_adapters.enable(llm=ScriptedCore([]))
    with pytest.raises(CoreError):
        library().Client().ask("a")


def test_a_call_that_cannot_be_translated_is_native_and_counted(fakelib, caplog):
    """Before dispatch, a translation that raises leaves the program its own call."""
    fakelib.install()
    source = (fakelib.folder / "fakelib_aios.py").read_text()
    (fakelib.folder / "fakelib_aios.py").write_text(source.replace('model="m"', "model=1 / 0"))
    with caplog.at_level(logging.WARNING):
        aios_adapters.enable()
        assert library().Client().ask("a") == "native a"
    shown = aios_adapters.status()["fakelib"]
    assert (shown.calls, shown.fallbacks) == (0, 1)
    assert "1 calls made natively" in repr(aios_adapters.status())


def test_disable_under_a_waiting_call_lets_it_go_on(fakelib):
    """A call that waits for its grant when the session ends is made natively."""
    fakelib.install()
    library()
    aios_adapters.enable(limits={"llm:*": {"in_flight": 1}})
    kernel, results, granted = aios_adapters.kernel(), [], threading.Event()

    def call():
        granted.wait(5)
        results.append(library().Client().ask("w"))

    # Started outside the syscall: a thread started inside would be lent its slot.
    waiting = threading.Thread(target=call)
    waiting.start()
    with kernel.syscall(ChatCall(model="m")):
        granted.set()
        wait_until(lambda: any(queue["waiting"] for queue in kernel.status().resources))
        aios_adapters.disable()
        waiting.join(5)
    assert results == ["native w"]


def test_captured_functions_pass_through_when_disabled(fakelib):
    """A reference to the wrapper, kept from a session that is over, is native."""
    fakelib.install()
    aios_adapters.enable()
    client = library().Client()
    ask = client.ask
    assert pickle.loads(pickle.dumps(library().Client.ask)) is library().Client.ask
    aios_adapters.disable()
    assert ask("a") == "native a"


def test_status_is_readable(fakelib):
    """The table names each adapter with its state, in a terminal and in a notebook."""
    fakelib.install()
    library()
    shown = aios_adapters.enable()
    library().Client().ask("a")
    shown = aios_adapters.status()
    assert "enabled; syscalls: llm 1" in repr(shown)
    line = next(line for line in repr(shown).splitlines() if line.startswith("fakelib"))
    assert line.split() == ["fakelib", "1.2", "1.0-1.5", "active", "1"]
    assert "<td>fakelib</td>" in shown._repr_html_()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_goes_on(fakelib):
    """After fork the child's calls are syscalls of a kernel of its own, and it can disable and enable."""
    fakelib.install()
    aios_adapters.enable()
    client = library().Client()
    client.ask("parent")
    child = os.fork()
    if child == 0:
        try:
            good = client.ask("child") == "native child" and aios_adapters.status().syscalls == {"llm": 1}
            aios_adapters.disable()
            aios_adapters.enable()
            os._exit(0 if good and client.ask("again") == "native again" else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert aios_adapters.status().syscalls == {"llm": 1}
