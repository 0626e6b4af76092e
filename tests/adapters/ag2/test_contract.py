"""The ag2 adapter keeps the patch contract."""

from __future__ import annotations

import asyncio

from ag2 import Agent
from ag2.config import LLMClient
from ag2.events import ModelMessage, ModelResponse
from ag2.testing import TestConfig

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

    def late(self, endpoint):
        """A client class that gives its own answer."""

        class Late(LLMClient):
            async def __call__(self, messages, context, *, tools, response_schema, serializer):
                return ModelResponse(ModelMessage("late"))

        class Made(TestConfig):
            def create(self):
                return Late()

        return asyncio.run(Agent("alice", config=Made()).ask("hello")).body
