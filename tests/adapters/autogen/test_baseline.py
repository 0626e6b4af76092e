"""AutoGen 0.7 on the simulated endpoint, without the kernel."""

from __future__ import annotations

from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.conditions import MaxMessageTermination
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_ext.models.openai import OpenAIChatCompletionClient

from aios_evals.endpoint import Endpoint

INFO = {
    "vision": False,
    "function_calling": True,
    "json_output": True,
    "structured_output": True,
    "family": "unknown",
}


async def test_team():
    """A team of two takes turns, one model call each."""
    with Endpoint(reply_tokens=4) as endpoint:
        client = OpenAIChatCompletionClient(
            model="sim", base_url=endpoint.base_url, api_key="test", model_info=INFO, max_retries=0
        )
        agents = [AssistantAgent(name, model_client=client) for name in ("alice", "bob")]
        team = RoundRobinGroupChat(agents, termination_condition=MaxMessageTermination(3))
        result = await team.run(task="count to three")
        await client.close()
        assert [message.source for message in result.messages] == ["user", "alice", "bob"]
        assert len(endpoint.requests) == 2
