"""A server that dies: nobody hangs, nothing runs twice, and the next call finds the next server."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import aios_adapters
from aios_adapters.calls import llm_call
from aios_adapters.remote import RemoteKernel
from aios_adapters.remote.autostart import answers
from aios_kernel import ChatCall, KernelClosed, KernelLost
from aios_kernel.abi import LLMCall
from aios_kernel.address import parse
from aios_kernel.cores.scripted import ScriptedCore
from tests.remote.conftest import BEGIN, CALL, Rig, server_pid
from tests.support.waiting import PATIENCE, wait_until


def serve(path: Path) -> subprocess.Popen[bytes]:
    """A server in a process of its own with one slot, ready."""
    command = [sys.executable, "-m", "aios_adapters", "serve", "--socket", str(path), "--limits", "llm:*:in_flight=1"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)
    wait_until(lambda: answers(parse(f"unix:{path}")))
    return process


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_dead_server_hangs_nobody(tmp_path: Path, how: signal.Signals) -> None:
    """Waiters in threads and event loops are woken with an error that names the address and what to do."""
    server = serve(tmp_path / "k.sock")
    gate = RemoteKernel(f"unix:{tmp_path / 'k.sock'}")
    errors: list[BaseException] = []

    def wait() -> None:
        try:
            with gate.syscall(CALL):
                errors.append(AssertionError("granted"))
        except KernelLost as error:
            errors.append(error)

    async def await_() -> None:
        try:
            async with gate.syscall(CALL):
                errors.append(AssertionError("granted"))
        except KernelLost as error:
            errors.append(error)

    async def many() -> None:
        await asyncio.gather(*(await_() for _ in range(8)))

    try:
        with gate.syscall(CALL) as held:
            threads = [threading.Thread(target=wait) for _ in range(8)]
            threads.append(threading.Thread(target=lambda: asyncio.run(many())))
            for thread in threads:
                thread.start()
            wait_until(lambda: gate.status().resources[0]["waiting"] == 16)
            server.send_signal(how)
            for thread in threads:
                thread.join(PATIENCE)
            assert len(errors) == 16
            for error in errors:
                assert str(tmp_path) in str(error)
                assert "aios serve" in str(error)
            held.first_token()  # what runs goes on
    finally:
        server.kill()
        server.wait(PATIENCE)
        gate.close()


def test_the_next_call_finds_the_next_server(tmp_path: Path) -> None:
    """After a loss each call tries anew; a grant of the dead server is given back without a word."""
    path = tmp_path / "k.sock"
    gate = RemoteKernel(f"unix:{path}")
    with pytest.raises(KernelLost), gate.syscall(CALL):
        pass
    for _ in range(2):
        server = serve(path)
        try:
            with gate.syscall(CALL) as grant:
                grant.keep()
            server.kill()
            server.wait(PATIENCE)
            with pytest.raises(KernelLost), gate.syscall(CALL):
                pass
            grant.release()
        finally:
            server.kill()
            server.wait(PATIENCE)
    gate.close()


def test_calls_go_on_without_a_kernel_by_choice(tmp_path: Path) -> None:
    """on_kernel_loss="run": enable() comes up, and calls are made natively until a server is there."""
    path = tmp_path / "k.sock"
    try:
        aios_adapters.enable(only="openai", kernel=f"unix:{path}", on_kernel_loss="run")
        assert "cannot be reached" in aios_adapters.status().headline
        assert llm_call("openai", lambda: CALL, lambda: "native", lambda reply: "served") == "native"
        server = serve(path)
        try:
            assert llm_call("openai", lambda: CALL, lambda: "native", lambda reply: "served") == "native"
            assert aios_adapters.status().syscalls == {"llm": 1}
        finally:
            server.kill()
            server.wait(PATIENCE)
        assert llm_call("openai", lambda: CALL, lambda: "native", lambda reply: "served") == "native"
    finally:
        aios_adapters.disable()


def test_enable_says_at_once_that_there_is_no_kernel(tmp_path: Path) -> None:
    """Without that choice the error comes from enable(), not from the first call, and nothing is left enabled."""
    with pytest.raises(KernelLost, match="aios serve"):
        aios_adapters.enable(only="openai", kernel=f"unix:{tmp_path / 'k.sock'}")
    assert not aios_adapters.status().enabled


def test_enable_takes_the_kernel_from_the_environment(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """AIOS_KERNEL joins a program to a shared kernel without a change to it; disable() leaves that kernel running."""
    rig.serve()
    monkeypatch.setenv("AIOS_KERNEL", rig.server.where)
    try:
        aios_adapters.enable(only="openai")
        assert llm_call("openai", lambda: CALL, lambda: "native", lambda reply: "served") == "native"
        assert rig.kernel.status().syscalls == {"llm": 1}
    finally:
        aios_adapters.disable()
    assert not rig.kernel.closed


def test_eight_programs_that_start_at_once_get_one_server(runtime: Path) -> None:
    """kernel="auto": one of them starts it, the others wait for it, and all their calls are in one kernel."""
    runtime.mkdir()
    code = BEGIN + "with kernel.syscall(CALL): print(kernel.status().syscalls['llm'], flush=True)\nsys.stdin.read()"
    programs = [
        subprocess.Popen([sys.executable, "-c", code, "auto"], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)
        for _ in range(8)
    ]
    try:
        counts = [int(program.stdout.readline()) for program in programs if program.stdout is not None]
        pid = server_pid(runtime)
        os.kill(pid, 0)
        assert max(counts) == 8
        log = (runtime / "kernel.log").read_text()
        assert log.count("ready on") == 1
    finally:
        for program in programs:
            program.communicate("")


def test_a_socket_that_a_dead_server_left_is_no_obstacle(runtime: Path) -> None:
    """kernel="auto" after kill -9: a new server takes the address over, in the same client."""
    gate = RemoteKernel("auto")
    with gate.syscall(CALL):
        pass
    first = server_pid(runtime, kill=True)
    with gate.syscall(ChatCall(model="m")) as grant:
        assert grant.lease
    assert server_pid(runtime) != first
    gate.close()


def test_a_call_that_a_closed_part_of_the_kernel_refuses_is_not_lost(rig: Rig) -> None:
    """A core or a manager that is closed ends its own calls, not the kernel: nobody connects again and again."""

    class Closed(ScriptedCore):
        """A core that has been closed."""

        def prepare(self, call: LLMCall) -> None:
            raise KernelClosed("the core is closed")

    gate = rig.serve(llm={"closed": Closed([]), "m": "lease"})
    with pytest.raises(KernelClosed, match="the core is closed"), gate.syscall(ChatCall(model="closed")):
        pass
    with gate.syscall(CALL):
        pass
    assert [client.number for client in rig.server.channel.clients] == [1]


def test_a_server_whose_kernel_has_ended_is_asked_once(rig: Rig) -> None:
    """A kernel that drains while its server still takes connections: the call is lost, without a flood of them."""
    gate = rig.serve()
    with gate.syscall(CALL) as grant:
        grant.keep()
        rig.kernel.drain()
        with pytest.raises(KernelLost, match="shut down"), gate.syscall(CALL):
            pass
        assert len(rig.server.channel.clients) == 1
        grant.release()


def test_a_server_that_cannot_start_says_why(runtime: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its last words and its log are in the error, and nobody waits a minute for them."""
    monkeypatch.setenv("AIOS_TOKEN", "")
    runtime.mkdir()
    (runtime / "kernel.sock").write_text("not a socket")
    begun = time.monotonic()
    with pytest.raises(KernelLost, match=r"no socket.*kernel\.log"), RemoteKernel("auto").syscall(CALL):
        pass
    assert time.monotonic() - begun < 50
