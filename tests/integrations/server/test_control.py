"""The control routes over a daemon: look, decide, set policies, follow events; and what bad requests are told."""

from __future__ import annotations

import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from aios_adapters.remote.control import Control, NoKernel
from aios_integrations.server.feed import MOST_BEHIND
from aios_kernel import Agent, AgentKilled, ChatCall, ConfigError
from aios_kernel.events import Event
from tests.integrations.server.support import PATIENCE, raw_client_of
from tests.support.waiting import wait_until

ANN, BOB = Agent(name="ann", group="team"), Agent(name="bob")


@pytest.fixture
def control(listening):
    return Control(listening.address)


def call(kernel, agent, model="own"):
    """One leased call."""
    with kernel.syscall(ChatCall(model=model, agent=agent)):
        pass


def test_what_the_kernel_is_doing_is_seen(kernel, control):
    """Agents with pid, state and counts; resources with policy and queue; the policies in charge."""
    call(kernel, ANN)
    seen = control.status()
    ann = next(one for one in seen["agents"] if one["name"] == "ann")
    assert (ann["group"], ann["state"], ann["syscalls"]) == ("team", "idle", {"llm": 1})
    rows = {one["resource"]: (one["policy"], one["granted"], one["waiting"]) for one in seen["resources"]}
    assert rows["llm:default:own"] == ("fifo", 1, 0)
    assert seen["policies"] == {"*": "fifo"}
    assert control.agents() == seen["agents"]


def test_decisions_reach_the_agents(kernel, control):
    """Pause holds, resume lets go on, priority is set, kill ends; each answer says what the agent is now."""
    pid = kernel.spawn(ANN).pid
    with ThreadPoolExecutor(1) as pool:
        assert control.decide(pid, "pause")["state"] == "paused"
        future = pool.submit(call, kernel, ANN)
        wait_until(lambda: control.agents()[pid - 1]["waiting"] == 1)
        assert control.decide(pid, "priority", priority=3)["priority"] == 3
        assert control.decide(pid, "resume")["state"] != "paused"
        future.result(PATIENCE)
    assert control.decide(pid, "kill")["state"] == "killed"
    with pytest.raises(AgentKilled):
        call(kernel, ANN)


def test_a_policy_is_set_for_a_pattern_and_for_all(kernel, control):
    """It is in charge of what exists and of what comes; the answer shows both."""
    call(kernel, ANN, "one")
    found = control.set_policy("rr:quantum=4", "llm:*")
    assert found["policies"] == {"llm:*": "rr:quantum=4", "*": "fifo"}
    call(kernel, ANN, "two")
    in_charge = {one["resource"]: one["policy"] for one in control.policies()["resources"]}
    assert in_charge["llm:default:one"] == in_charge["llm:default:two"] == "rr"
    found = control.set_policy("wfq")
    assert {one["policy"] for one in found["resources"]} == {"wfq"}
    assert "las" in found["known"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "says"),
    [
        ("POST", "/agents/77/kill", None, 404, "unknown pid 77"),
        ("POST", "/agents/1/eat", None, 404, "unknown action 'eat'"),
        ("POST", "/agents/1/priority", {"priority": 0}, 400, "use 1"),
        ("POST", "/agents/1/priority", {"priority": "high"}, 400, "use a whole number"),
        ("POST", "/agents/1/priority", [1], 400, "not a JSON object"),
        ("PUT", "/policy", {"policy": "zz"}, 404, "unknown policy 'zz'"),
        ("PUT", "/policy", {}, 400, "say which"),
        ("PUT", "/policy", {"policy": "x" * 100_000}, 400, "longer than"),
        ("GET", "/agents/1/kill", None, 405, "Invalid URL"),
    ],
)
def test_what_cannot_be_is_a_clear_answer(listening, method, path, body, status, says):
    """An error object with a sentence that helps; the kernel goes on."""
    with raw_client_of(listening) as client:
        answer = client.request(method, f"/aios/v1{path}", **({} if body is None else {"json": body}))
        assert (answer.status_code, says in answer.json()["error"]["message"]) == (status, True), answer.text
        assert client.put("/aios/v1/policy", content=b"{nonsense").status_code == 400
        assert client.get("/aios/v1/status").status_code == 200


def test_events_are_followed_as_they_come(kernel, control):
    """Each change of a call and of an agent, in order, while it happens."""
    seen, ready = [], threading.Event()

    def follow():
        ready.set()
        for name, event in control.events():
            seen.append((name, event.get("agent"), event.get("kind")))
            if name == "kill":
                return

    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(follow)
        ready.wait(PATIENCE)
        wait_until(lambda: kernel.bus.active)
        call(kernel, BOB)
        kernel.kill(kernel.spawn(BOB).pid)
        future.result(PATIENCE)
    assert seen == [
        ("spawn", "bob", None), ("submit", "bob", "llm"), ("grant", "bob", "llm"), ("finish", "bob", "llm"), ("kill", "bob", None),
    ]  # fmt: skip
    wait_until(lambda: not kernel.bus.active)  # the reader has left, and with it its subscription


def test_a_reader_that_does_not_read_is_dropped_and_slows_nobody(kernel, listening, control):
    """Events pile up for it alone, up to a bound; then it is no subscriber any more, and the daemon answers as ever."""
    address = listening.address
    with socket.socket(socket.AF_UNIX if address.path else socket.AF_INET) as reader:
        reader.connect(address.path or (address.host, address.port))
        token = f"Authorization: Bearer {listening.token}\r\n" if listening.token else ""
        reader.sendall(f"GET /aios/v1/events HTTP/1.1\r\nHost: localhost\r\n{token}\r\n".encode())
        wait_until(lambda: kernel.bus.active)
        fat = Event("error", 0.0, details={"where": "x" * 10_000})
        for _ in range(MOST_BEHIND * 40):
            kernel.bus.emit(fat)
            if not kernel.bus.active:
                break
        assert not kernel.bus.active
        assert control.status()["policies"] == {"*": "fifo"}


def test_no_kernel_and_another_s_answer_are_said(tmp_path, monkeypatch):
    """Nobody there: what to start. No HTTP there: that it is no kernel."""
    with pytest.raises(NoKernel, match="start one: aios serve"):
        Control(f"unix:{tmp_path}/none.sock").status()
    monkeypatch.setenv("AIOS_KERNEL", f"unix:{tmp_path}/env.sock")
    with pytest.raises(NoKernel, match=r"env\.sock"):
        Control().agents()
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def answer():
            peer, _ = server.accept()
            with peer:
                peer.recv(4096)
                peer.sendall(b"hello\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(NoKernel, match="no kernel"):
            Control(f"tcp:127.0.0.1:{port}").status()
        thread.join(PATIENCE)


def test_a_wrong_token_is_refused(listening, monkeypatch):
    """Over TCP the token is asked for, here as everywhere."""
    if listening.address.path:
        pytest.skip("a Unix socket asks the system who it is")
    monkeypatch.setenv("AIOS_TOKEN", "wrong")
    with pytest.raises(ConfigError, match="token"):
        Control(listening.address).status()
