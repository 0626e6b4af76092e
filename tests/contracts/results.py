"""The contract of stores of results: subclass it, and make the store in a fixture."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from aios_kernel.abi import Agent
from aios_kernel.errors import ToolError

ANN = Agent(name="ann", framework="langchain", instance="1")


class ResultStoreContract:
    """What the tool manager relies on. A subclass has a fixture `store`."""

    @pytest.mark.parametrize("text", ["", "x", "äöü 🐙\n\r\n", "\ud800 alone", "x" * 100_000])
    def test_what_is_put_is_got(self, store, text):
        """Every text comes back as it was, under a reference that names its content."""
        reference = store.put(ANN, text)
        assert store.get(ANN, reference) == text
        assert store.put(ANN, text) == reference
        assert store.put(ANN, text + "y") != reference

    def test_agents_are_apart(self, store):
        """A reference means nothing to another agent, nor to a namesake of another framework or instance."""
        reference = store.put(ANN, "mine")
        for other in (Agent(name="ben"), replace(ANN, framework="autogen"), replace(ANN, instance="2")):
            with pytest.raises(ToolError, match="no result"):
                store.get(other, reference)
        assert store.get(replace(ANN, priority=1, group="g"), reference) == "mine"

    @pytest.mark.parametrize(
        "reference",
        ["", "x", "result:", "result:" + "0" * 64, "result:../../etc/passwd", "result:" + "0" * 63 + "/", "result:\0"],
    )
    def test_what_is_no_reference(self, store, reference):
        """Each is an error that says so, and reads nothing."""
        with pytest.raises(ToolError, match=r"no result|no reference"):
            store.get(ANN, reference)

    def test_from_many_threads(self, store):
        """Texts of many agents at once, the same ones among them, are all there afterwards."""
        kept, wrong = {}, []

        def keep(number):
            agent = Agent(name=f"agent {number % 5}")
            try:
                kept[number] = agent, store.put(agent, f"text {number % 7}")
            except Exception as error:  # noqa: BLE001 - the test looks at it
                wrong.append(error)

        threads = [threading.Thread(target=keep, args=(number,)) for number in range(40)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not wrong
        assert all(store.get(*kept[number]) == f"text {number % 7}" for number in range(40))
