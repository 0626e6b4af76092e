"""The ag2 adapter keeps the patch contract."""

from __future__ import annotations

import asyncio

from tests.adapters.ag2 import programs
from tests.contracts.adapter import AdapterContract


class TestAG2(AdapterContract):
    name = "ag2"

    def call(self, endpoint):
        async def run():
            reply = await programs.agent(programs.config(endpoint.base_url), tools=[]).ask("hello")
            await programs.close_clients()
            return reply.response

        return asyncio.run(run())
