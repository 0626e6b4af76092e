"""The kernel's own tools as AutoGen's: one syscall each, as the agent that uses them."""

from __future__ import annotations

import pytest
from autogen_agentchat.agents import AssistantAgent
from autogen_core import CancellationToken

from aios_adapters.tools import for_autogen
from tests.adapters.autogen.programs import client
from tests.support.columns import TOOLS
from tests.support.handed import kitchen

__all__ = ["kitchen"]
pytestmark = pytest.mark.shows(TOOLS)


async def test_an_agent_uses_them(endpoint, enabled, kitchen):
    """The result is the kernel's, the call is made once, and it is the agent's; a failure is AutoGen's own failed result."""
    enabled(kernel=kitchen.kernel)
    tools = for_autogen("kitchen/*")
    async with client(endpoint.base_url) as llm:
        result = await AssistantAgent("bob", llm, tools=tools).run(task="weigh")
        failed = await AssistantAgent("bob", llm, tools=tools).run(task="fail")
    (done,) = result.messages[2].content
    assert (done.content, done.is_error) == ('{"kernel": "apple 0 weighs 1 kg"}', False)
    (done,) = failed.messages[2].content
    assert done.is_error
    assert "kitchen/fail raised ZeroDivisionError: apple 0" in done.content
    assert (kitchen.users, kitchen.tool_calls) == (["bob"], 2)
    assert kitchen.queues() == {"tool:aios/list_tools", "tool:kitchen/weigh", "tool:kitchen/fail"}
    offered = {tool["function"]["name"]: tool["function"] for tool in endpoint.requests[0].body["tools"]}
    assert offered["weigh"]["parameters"]["required"] == ["what"]
    assert set(offered["weigh"]["parameters"]["properties"]) == {"what", "unit"}


async def test_without_enable(kitchen):
    """A kernel that is passed is used, by hand and with a token."""
    (weigh,) = for_autogen("kitchen/weigh", kernel=kitchen.kernel)
    assert await weigh.run_json({"what": "pear"}, CancellationToken()) == '{"kernel": "pear weighs 1 kg"}'
    with pytest.raises(Exception, match="did you mean 'what'"):
        await weigh.run_json({"wat": "pear"}, CancellationToken())
