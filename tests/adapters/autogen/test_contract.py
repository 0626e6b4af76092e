"""The autogen adapter keeps the patch contract."""

from __future__ import annotations

import asyncio
import sys

import pytest
from autogen_core.models import ChatCompletionClient

import aios_adapters
from tests.adapters.autogen import programs
from tests.contracts.adapter import AdapterContract
from tests.support.columns import RESTORE


class TestAutoGen(AdapterContract):
    name = "autogen"

    def call(self, endpoint):
        async def run():
            async with programs.client(endpoint.base_url) as client:
                return await programs.create(client)

        return asyncio.run(run())


@pytest.mark.shows(RESTORE)
def test_every_class_is_restored():
    """After disable() no class of AutoGen has an attribute of ours, and none has lost one."""
    classes = list(_tree(ChatCompletionClient))
    assert len(classes) >= 3
    before = [dict(vars(cls)) for cls in classes]
    aios_adapters.enable(strict=True)
    assert [dict(vars(cls)) for cls in classes] != before
    aios_adapters.disable()
    after = [dict(vars(cls)) for cls in classes]
    assert [{k: id(v) for k, v in one.items() if k != "_abc_impl"} for one in after] == [
        {k: id(v) for k, v in one.items() if k != "_abc_impl"} for one in before
    ]


def _tree(cls):
    for sub in cls.__subclasses__():
        if sub.__module__ in sys.modules:
            yield sub
            yield from _tree(sub)
