"""aios-toylib keeps the patch contract, and what its author wants to be sure of beside it."""

from __future__ import annotations

import asyncio

import toylib

import aios_adapters
from aios_kernel.cores.scripted import ScriptedCore
from aios_kernel.errors import AccessDenied
from aios_kernel.kernel import Kernel
from tests.contracts.adapter import AdapterContract


class TestToylib(AdapterContract):
    name = "toylib"

    def call(self, endpoint):
        return toylib.Model(endpoint.base_url, "sim").ask("hello big world")

    def captured(self, endpoint):
        ask = toylib.Model(endpoint.base_url, "sim").ask
        return lambda: ask("hello big world")

    def late(self, endpoint):
        class Shouting(toylib.Model):
            def _complete(self, text):
                return super()._complete(text.upper())

        Shouting(endpoint.base_url, "sim").ask("hello")

    def test_streams_and_coroutines(self, endpoint):
        """Each is one syscall with the same result, and a core answers them in pieces."""
        model = toylib.Model(endpoint.base_url, "sim")
        before = list(model.stream("a b")), asyncio.run(model.aask("a b"))
        aios_adapters.enable()
        assert (list(model.stream("a b")), asyncio.run(model.aask("a b"))) == before
        assert aios_adapters.status().syscalls == {"llm": 2}
        aios_adapters.disable()
        aios_adapters.enable(llm=ScriptedCore(lambda call: "one two"))
        assert list(model.stream("a b")) == ["one ", "two"]

    def test_an_agent_with_a_tool(self):
        """Calls are the agent's, the tool is a syscall, and a denied one is a failed tool that the model hears of."""

        def check(call, process):
            if call.kind == "tool" and call.name == "rm":
                raise AccessDenied("not this tool")

        def reply(call):
            text = call.messages[-1]["content"]
            return text.splitlines()[-1] if "said:" in text else text

        kernel = Kernel(llm=ScriptedCore(reply), checks=(check,))
        aios_adapters.enable(kernel=kernel)
        agent = toylib.Agent("worker", toylib.Model("http://127.0.0.1:9", "sim"), {"upper": str.upper, "rm": str.lower})
        assert agent.run("upper abc") == "upper said: ABC"
        assert "failed: not this tool" in agent.run("rm all")
        (row,) = [row for row in kernel.status().agents if row["name"] == "worker"]
        assert row["syscalls"] == {"llm": 4, "tool": 1}
        kernel.close()
