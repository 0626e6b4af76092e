"""The metagpt adapter keeps the patch contract."""

from __future__ import annotations

import asyncio

import pytest
from metagpt.memory import Memory
from metagpt.provider.base_llm import BaseLLM
from metagpt.roles import Role

import aios_adapters
from tests.adapters.metagpt import programs
from tests.contracts.adapter import AdapterContract
from tests.support.columns import RESTORE


class TestMetaGPT(AdapterContract):
    name = "metagpt"

    def call(self, endpoint):
        async def run():
            llm = programs.model(endpoint.base_url)
            try:
                return await llm.acompletion_text(programs.USER), llm.get_costs()
            finally:
                await llm.aclient.close()

        return asyncio.run(run())

    def late(self, endpoint):
        class Late(type(programs.model(endpoint.base_url))):
            async def acompletion_text(self, *args, **kwargs):
                return await super().acompletion_text(*args, **kwargs)

        llm = Late(programs.model(endpoint.base_url).config)
        return asyncio.run(llm.acompletion_text(programs.USER))


@pytest.mark.shows(RESTORE)
def test_every_class_is_restored():
    """After disable() no class of MetaGPT has an attribute of ours, and none has lost one."""
    classes = [cls for base in (BaseLLM, Memory, Role) for cls in (base, *_tree(base))]
    assert len(classes) > 30
    before = [_attributes(cls) for cls in classes]
    aios_adapters.enable(strict=True)
    assert [_attributes(cls) for cls in classes] != before
    aios_adapters.disable()
    assert [_attributes(cls) for cls in classes] == before


def _attributes(cls):
    return {name: id(value) for name, value in vars(cls).items() if name != "_abc_impl"}


def _tree(cls):
    for sub in cls.__subclasses__():
        yield sub
        yield from _tree(sub)
