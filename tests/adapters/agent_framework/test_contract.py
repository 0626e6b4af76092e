"""The agent_framework adapter keeps the patch contract."""

from __future__ import annotations

import asyncio

import pytest

from tests.adapters.agent_framework import programs
from tests.contracts.adapter import AdapterContract
from tests.support.columns import IDENTITY, LEASE, ONCE, RESTORE, SERVE


@pytest.mark.shows(LEASE, SERVE, ONCE, IDENTITY, RESTORE)
class TestAgentFramework(AdapterContract):
    name = "agent_framework"

    def call(self, endpoint):
        async def run():
            return (await programs.agent(endpoint.base_url, tools=()).run("hello big world")).text

        return asyncio.run(run())
