"""Clients of a shared kernel: who they are, and what is left when they die, fork, or come with the wrong papers."""

from __future__ import annotations

import os
import socket
import threading
import time

import pytest

from aios_adapters.remote import RemoteKernel, connection
from aios_kernel import Agent, ChatCall, KernelClosed, KernelLost, KernelRefused, ToolCall
from aios_kernel.errors import ConfigError
from tests.remote.conftest import CALL, Rig
from tests.support.waiting import PATIENCE, wait_until

LIMIT_ONE = {"llm:*": {"in_flight": 1}}
HOLD = """
with kernel.syscall(CALL) as grant:
    grant.keep()
waiter = threading.Thread(target=lambda: kernel.syscall(CALL).__enter__(), daemon=True)
__import__("contextvars").Context().run(waiter.start)
while not kernel.status().resources[0]["waiting"]: pass
print("holding", flush=True)
sys.stdin.read()
"""


def test_a_killed_client_gives_back_its_grants_and_its_places_within_a_second(rig: Rig) -> None:
    """Kill -9 of a process that holds the only slot and waits for another: the next in line has it at once."""
    gate = rig.serve(limits=LIMIT_ONE)
    program = rig.program(HOLD)
    assert program.stdout is not None
    assert program.stdout.readline() == "holding\n"
    granted = threading.Event()

    def wait() -> None:
        with gate.syscall(CALL):
            granted.set()

    waiter = threading.Thread(target=wait)
    waiter.start()
    wait_until(lambda: rig.llm("waiting") == 2)
    program.kill()
    begun = time.monotonic()
    assert granted.wait(PATIENCE)
    assert time.monotonic() - begun < 1.0
    waiter.join(PATIENCE)
    wait_until(lambda: rig.llm("waiting") == rig.llm("running") == 0)
    assert len(rig.server.channel.clients) == 1


def test_a_client_s_agents_leave_the_table_with_it_and_its_counts_stay(rig: Rig) -> None:
    """The process table holds who is there; what was counted is not lost."""
    gate = rig.serve()
    program = rig.program('with kernel.syscall(ChatCall(model="m", agent=Agent(name="ann"))): pass')
    program.wait(PATIENCE)
    wait_until(lambda: not rig.server.channel.clients)
    wait_until(lambda: [process.name for process in rig.kernel.processes] == ["root"])
    assert gate.status().syscalls == {"llm": 1}


def test_agents_of_one_name_in_two_processes_are_two(rig: Rig) -> None:
    """Each has its own pid and account; within a process a name is one agent."""
    gate = rig.serve()
    call = ChatCall(model="m", agent=Agent(name="ann"))
    code = 'with kernel.syscall(ChatCall(model="m", agent=Agent(name="ann"))) as g: print(g.pid, flush=True)\nsys.stdin.read()'
    program = rig.program(code)
    assert program.stdout is not None
    other = int(program.stdout.readline())
    with gate.syscall(call) as first, gate.syscall(call) as second:
        assert first.pid == second.pid != other


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_has_a_connection_of_its_own(rig: Rig) -> None:
    """What the parent holds is the parent's; neither ends the other's calls."""
    rig.serve(limits={"llm:*": {"in_flight": 2}})
    program = rig.program("""
with kernel.syscall(CALL) as grant:
    grant.keep()
pid = os.fork()
if pid == 0:
    grant.release()                       # not the child's to give back
    with kernel.syscall(CALL): print("child", kernel.status().resources[0]["running"], flush=True)
    kernel.close()
    os._exit(0)
os.waitpid(pid, 0)
print("parent", kernel.status().resources[0]["running"], flush=True)
grant.release()
print("released", kernel.status().resources[0]["running"], flush=True)
""")
    out, _ = program.communicate(timeout=PATIENCE)
    assert out.splitlines() == ["child 2", "parent 1", "released 0"]


def test_a_program_that_ends_says_what_its_last_call_used(rig: Rig) -> None:
    """Leaving the interpreter sends what is due before the connection ends."""
    rig.serve()
    program = rig.program("""
with kernel.syscall(CALL) as grant: grant.report(Usage(output_tokens=7))
""")
    seen = []
    rig.kernel.bus.subscribe(lambda event: seen.append(event) if event.name == "finish" else None)
    assert program.wait(PATIENCE) == 0
    wait_until(lambda: seen)
    assert seen[0].details["usage"].output_tokens == 7


def test_a_wrong_token_is_refused_with_what_to_do(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over TCP the token counts; the refusal names the way to the right one, and is no loss that calls could go on by."""
    rig._path = None  # pyright: ignore[reportAttributeAccessIssue] - a TCP port instead
    monkeypatch.setenv("AIOS_TOKEN", "right")
    gate = rig.serve(token="right")
    with gate.syscall(CALL) as grant:
        assert grant.lease
    monkeypatch.setenv("AIOS_TOKEN", "wrong")
    other = rig.client()
    with pytest.raises(KernelRefused, match="AIOS_TOKEN"), other.syscall(CALL):
        pass


def test_another_version_of_the_protocol_is_refused(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both versions are named, and what to install."""
    rig.serve()
    monkeypatch.setattr(connection, "VERSION", 99)
    other = rig.client()
    with pytest.raises(KernelRefused, match=r"version 1 .* version 99.*same release"), other.syscall(CALL):
        pass


@pytest.mark.parametrize("http", ["h11", "httptools"])
def test_over_tcp_and_with_either_parser(rig: Rig, http: str) -> None:
    """The channel is plain HTTP/1.1 in both directions at once."""
    rig._path = None  # pyright: ignore[reportAttributeAccessIssue] - a TCP port instead
    gate = rig.serve(http=http)
    for _ in range(20):
        with gate.syscall(ToolCall(name="t")) as grant:
            assert grant.lease
    assert gate.status().syscalls == {"tool": 20}


def test_what_answers_but_is_no_kernel_is_said_so() -> None:
    """A web server, a mute socket and nobody at all: each a clear error that names the address."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        where = f"tcp:127.0.0.1:{server.getsockname()[1]}"

        def answer() -> None:
            peer, _ = server.accept()
            with peer:
                peer.recv(65536)
                peer.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno")

        threading.Thread(target=answer, daemon=True).start()
        with pytest.raises(KernelLost, match=f"{where}.*404"), RemoteKernel(where).syscall(CALL):
            pass
    with pytest.raises(KernelLost, match=f"{where}.*aios serve"), RemoteKernel(where).syscall(CALL):
        pass


def test_an_address_that_is_none_names_the_forms() -> None:
    """A typing error is found at once."""
    for wrong in ("here", "unix:", "tcp:8000", "tcp:host:port", "unix:" + "/x" * 80):
        with pytest.raises(ConfigError, match=r"unix:PATH|too long"):
            RemoteKernel(wrong)


def test_a_closed_client_wakes_its_waiters(rig: Rig) -> None:
    """close() in the client ends what it waits for, and the server forgets it."""
    gate = rig.serve(limits=LIMIT_ONE)
    errors: list[BaseException] = []
    with rig.client().syscall(CALL):

        def wait() -> None:
            try:
                with gate.syscall(CALL):
                    pass
            except KernelClosed as error:
                errors.append(error)

        waiter = threading.Thread(target=wait)
        waiter.start()
        wait_until(lambda: rig.llm("waiting") == 1)
        gate.close()
        waiter.join(PATIENCE)
        assert len(errors) == 1
        wait_until(lambda: rig.llm("waiting") == 0)


def test_calls_of_unusual_content_cross(rig: Rig) -> None:
    """Objects that JSON has no form for do not fail a call: the kernel only decides when it runs."""
    seen = []
    gate = rig.serve(checks=(lambda call, process: seen.append(call),))
    arguments: dict[object, object] = {1: {2, 3}, "deep": object(), "text": "\ud800"}
    with gate.syscall(ToolCall(name="t", arguments=arguments)) as grant:
        assert grant.lease
    assert seen[0].arguments["1"] == [2, 3]
