"""The openai_agents adapter keeps the patch contract."""

from __future__ import annotations

import asyncio

import pytest
from agents import Runner

from tests.adapters.openai_agents import programs
from tests.contracts.adapter import AdapterContract
from tests.support.columns import IDENTITY, LEASE, ONCE, RESTORE, SERVE


@pytest.mark.shows(LEASE, SERVE, ONCE, IDENTITY, RESTORE)
class TestOpenAIAgents(AdapterContract):
    name = "openai_agents"

    def call(self, endpoint):
        agent = programs.agent(endpoint.base_url, tools=())
        return asyncio.run(Runner.run(agent, "hello big world")).final_output
