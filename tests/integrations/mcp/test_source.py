"""MCP servers as sources of tools, over both transports, with servers on the official SDK."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from pathlib import Path

import pytest

pytest.importorskip("mcp", reason="the extra mcp is not installed")

from aios_integrations.mcp import add_mcp_server
from aios_kernel.abi import Agent, ToolCall
from aios_kernel.errors import ConfigError, ToolArguments, ToolFailed, ToolTimeout, ToolUnavailable
from aios_kernel.kernel import Kernel
from aios_kernel.toolkit import ToolManager
from tests.support.waiting import PATIENCE, wait_until

SERVER = str(Path(__file__).with_name("sample_server.py"))
COMMAND = [sys.executable, SERVER]


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


@pytest.fixture
def kernel():
    kernel = Kernel(managers=[ToolManager(shipped=(), load_entry_points=False)])
    yield kernel
    kernel.close()


@pytest.fixture
def url():
    """The sample server over HTTP."""
    port = free_port()
    process = subprocess.Popen([*COMMAND, str(port)], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    def up():
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/mcp", timeout=2)
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False
        return True

    wait_until(up)
    yield f"http://127.0.0.1:{port}/mcp"
    process.kill()
    process.wait()


def ask(kernel, name, **arguments):
    with kernel.syscall(ToolCall(agent=Agent(name="ann"), name=name, arguments=arguments)) as grant:
        return grant.reply().data


@pytest.fixture(params=["stdio", "http"])
def connected(kernel, request):
    """A kernel that has the sample server's tools as `sample/...`, over each transport."""
    where = {"command": COMMAND} if request.param == "stdio" else {"url": request.getfixturevalue("url")}
    add_mcp_server(kernel.managers[0], "sample", **where)
    return kernel


def test_its_tools_are_the_kernel_s(connected):
    """Names, schemas and hints are in the list; calls are checked here, run there, and come back as plain data."""
    rows = {row["name"]: row for row in connected.managers[0].rows()}
    assert rows["sample/add"]["description"] == "Add two numbers."
    assert rows["sample/add"]["parameters"]["required"] == ["a", "b"]
    assert (rows["sample/add"]["destructive"], rows["sample/fail"]["destructive"]) == (False, True)
    assert rows["sample/add"]["origin"] == "mcp"
    assert ask(connected, "sample/add", a=2, b=3) == 5
    assert ask(connected, "sample/weird_name_") == "fine"
    assert ask(connected, "sample/picture")[0]["mimeType"] == "image/png"
    with pytest.raises(ToolArguments, match="'b' is missing"):
        ask(connected, "sample/add", a=2)
    with pytest.raises(ToolFailed, match="because I say so"):
        ask(connected, "sample/fail", why="because I say so")


def test_many_at_once(connected):
    """Calls share the connection and do not wait for one another."""
    results = []
    threads = [
        threading.Thread(target=lambda n=n: results.append(ask(connected, "sample/add", a=n, b=1)), daemon=True)
        for n in range(50)
    ]
    with connected.syscall(ToolCall(name="sample/wait", arguments={"seconds": 500})):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
    assert sorted(results) == list(range(1, 51))
    wait_until(lambda: not connected.running)


def test_a_server_that_dies(kernel):
    """The call fails, and the next one starts the server anew."""
    add_mcp_server(kernel.managers[0], "sample", command=COMMAND)
    with pytest.raises((ToolFailed, ToolUnavailable)):
        ask(kernel, "sample/die")
    assert ask(kernel, "sample/add", a=1, b=1) == 2


def test_a_server_that_hangs(kernel):
    """The caller is answered at its time."""
    add_mcp_server(kernel.managers[0], "sample", command=COMMAND, timeout=1.5)
    with pytest.raises(ToolTimeout, match=r"within 1\.5 seconds"):
        ask(kernel, "sample/hang")


def test_what_a_server_gets_and_writes(kernel, monkeypatch, capfd):
    """Not this program's environment, only what it is given; its stderr is not this program's."""
    monkeypatch.setenv("PLANTED_KEY", "PLANTED")
    add_mcp_server(kernel.managers[0], "sample", command=COMMAND, env={"GIVEN": "-given"})
    assert ask(kernel, "sample/secret") == "nothing-given"
    assert ask(kernel, "sample/noisy") == "wrote"
    kernel.close()
    assert capfd.readouterr() == ("", "")


def test_servers_that_are_not_there(kernel):
    """Said at once, with the server's name; nothing of it stays."""
    with pytest.raises(ToolUnavailable, match="'gone' cannot be reached"):
        add_mcp_server(kernel.managers[0], "gone", command=["/no/such/program"])
    with pytest.raises(ToolUnavailable, match="'gone' cannot be reached"):
        add_mcp_server(kernel.managers[0], "gone", url=f"http://127.0.0.1:{free_port()}/mcp")
    with pytest.raises(ToolUnavailable, match="'mute' cannot be reached in time"):
        add_mcp_server(kernel.managers[0], "mute", command=["sleep", "607"], connect=1.0)
    with pytest.raises(ConfigError, match="either a command"):
        add_mcp_server(kernel.managers[0], "both", command=COMMAND, url="http://127.0.0.1/")
    assert not [row for row in kernel.managers[0].rows() if row["origin"] == "mcp"]


def test_closing_ends_the_server(kernel, tmp_path):
    """The program that was started ends with the kernel; calls after that are refused."""
    mark = tmp_path / "alive"
    script = f"import sys, pathlib; pathlib.Path({str(mark)!r}).write_text(str(__import__('os').getpid())); sys.argv = ['x']\n"
    script += f"import runpy; runpy.run_path({SERVER!r}, run_name='__main__')"
    add_mcp_server(kernel.managers[0], "sample", command=[sys.executable, "-c", script])
    process = Path("/proc") / mark.read_text()
    assert process.exists()
    kernel.close()
    wait_until(lambda: not process.exists() or "Z" in (process / "stat").read_text().split()[2:3])
