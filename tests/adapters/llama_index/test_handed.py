"""The kernel's own tools as LlamaIndex's: one syscall each, as the agent that uses them."""

from __future__ import annotations

import pytest

from aios_adapters.tools import for_llama_index
from tests.adapters.llama_index.programs import agent
from tests.support.columns import TOOLS
from tests.support.handed import kitchen

__all__ = ["kitchen"]
pytestmark = pytest.mark.shows(TOOLS)


async def test_an_agent_uses_them(endpoint, enabled, kitchen):
    """The result is the kernel's, the call is made once, and it is the agent's; a failure is LlamaIndex's own failed output."""
    enabled(kernel=kitchen.kernel)
    tools = for_llama_index("kitchen/*")
    (used,) = (await agent(endpoint.base_url, "bob", tools=tools).run("weigh")).tool_calls
    assert (used.tool_output.is_error, used.tool_output.content) == (False, '{"kernel": "apple 0 weighs 1 kg"}')
    (used,) = (await agent(endpoint.base_url, "bob", tools=tools).run("fail")).tool_calls
    assert used.tool_output.is_error
    assert "kitchen/fail raised ZeroDivisionError: apple 0" in used.tool_output.content
    assert (kitchen.users, kitchen.tool_calls) == (["bob"], 2)
    assert kitchen.queues() == {"tool:aios/list_tools", "tool:kitchen/weigh", "tool:kitchen/fail"}
    offered = {tool["function"]["name"]: tool["function"] for tool in endpoint.requests[0].body["tools"]}
    assert offered["weigh"]["parameters"]["required"] == ["what"]


async def test_without_enable(kitchen):
    """A kernel that is passed is used, sync and async."""
    (weigh,) = for_llama_index("kitchen/weigh", kernel=kitchen.kernel)
    assert weigh.call(what="pear").content == '{"kernel": "pear weighs 1 kg"}'
    assert (await weigh.acall(what="pear")).content == '{"kernel": "pear weighs 1 kg"}'
