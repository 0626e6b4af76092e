"""The openai_legacy adapter keeps the patch contract."""

from __future__ import annotations

import openai

import aios_adapters
from tests.contracts.adapter import AdapterContract


class TestOpenAILegacy(AdapterContract):
    name = "openai_legacy"

    def call(self, endpoint):
        return openai.ChatCompletion.create(
            model="sim",
            messages=[{"role": "user", "content": "hello big world"}],
            api_base=endpoint.base_url,
            api_key="test",
        )

    def captured(self, endpoint):
        create = openai.Completion.create
        return lambda: create(model="sim", prompt="a b", api_base=endpoint.base_url, api_key="test")


def test_the_adapter_of_later_versions_stays_out():
    """On 0.x the adapter for 1.x and later waits, without a warning and without an error when strict."""
    aios_adapters.enable(strict=True)
    assert aios_adapters.status()["openai"].state == "waiting"
    assert aios_adapters.status()["openai_legacy"].state == "active"
