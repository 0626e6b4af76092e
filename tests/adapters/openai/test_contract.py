"""The openai adapter keeps the patch contract."""

from __future__ import annotations

import openai

from tests.contracts.adapter import AdapterContract


class TestOpenAI(AdapterContract):
    name = "openai"

    def call(self, endpoint):
        with openai.OpenAI(base_url=endpoint.base_url, api_key="test") as client:
            return client.chat.completions.create(
                model="sim", messages=[{"role": "user", "content": "hello big world"}]
            )
