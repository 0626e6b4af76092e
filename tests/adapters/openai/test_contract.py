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

    def captured(self, endpoint):
        """The create method, as a program keeps it."""
        create = openai.OpenAI(base_url=endpoint.base_url, api_key="test").chat.completions.create
        return lambda: create(model="sim", messages=[{"role": "user", "content": "hello big world"}])

    def late(self, endpoint):
        """A client class with a `request` of its own."""

        class Logged(openai.OpenAI):
            def request(self, *args, **kwargs):
                return super().request(*args, **kwargs)

        with Logged(base_url=endpoint.base_url, api_key="test") as client:
            client.completions.create(model="sim", prompt="a b")
