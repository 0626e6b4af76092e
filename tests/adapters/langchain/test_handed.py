"""The kernel's own tools as LangChain's: one syscall each, as the agent that uses them, in every mode."""

from __future__ import annotations

import pytest
from langchain.agents import create_agent

from aios_adapters.tools import for_langchain
from aios_kernel.errors import ConfigError
from tests.adapters.langchain.programs import ask, model
from tests.support.columns import TOOLS
from tests.support.handed import kitchen

__all__ = ["kitchen"]
pytestmark = pytest.mark.shows(TOOLS)


async def test_an_agent_uses_them(endpoint, enabled, kitchen):
    """Sync and async: the result is the kernel's, the call is made once, and it is the agent's."""
    enabled(kernel=kitchen.kernel)
    agent = create_agent(model(endpoint.base_url), for_langchain("kitchen/*"), name="bob")
    for result in (agent.invoke(ask("weigh")), await agent.ainvoke(ask("weigh"))):
        assert result["messages"][2].content == '{"kernel": "apple 0 weighs 1 kg"}'
    assert (kitchen.users, kitchen.tool_calls) == (["bob", "bob"], 2)
    assert kitchen.queues() == {"tool:aios/list_tools", "tool:kitchen/weigh"}
    offered = {tool["function"]["name"]: tool["function"] for tool in endpoint.requests[0].body["tools"]}
    assert offered["weigh"]["description"] == "Weigh a thing on the kernel's scale."
    assert offered["weigh"]["parameters"]["required"] == ["what"]


async def test_failures_are_messages_to_the_model(endpoint, enabled, kitchen):
    """What the tool raises, and arguments that do not fit, come back in words; the agent goes on."""
    enabled(kernel=kitchen.kernel)
    tools = {tool.name: tool for tool in for_langchain("kitchen/*")}
    agent = create_agent(model(endpoint.base_url), [tools["fail"]], name="bob")
    message = agent.invoke(ask("fail"))["messages"][2]
    assert "kitchen/fail raised ZeroDivisionError: apple 0" in message.content
    assert "'what' is missing; 'wat' is not known; did you mean 'what'?" in tools["weigh"].invoke({"wat": 1})
    assert "did you mean" in await tools["weigh"].ainvoke({"wat": 1})


def test_without_enable(kitchen):
    """A kernel that is passed is used; without any it is said what to do."""
    (weigh,) = for_langchain("kitchen/weigh", kernel=kitchen.kernel)
    assert weigh.invoke({"what": "pear", "unit": None}) == '{"kernel": "pear weighs 1 kg"}'
    with pytest.raises(ConfigError, match="enable"):
        for_langchain("kitchen/weigh")
