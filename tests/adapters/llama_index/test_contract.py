"""The llama_index adapter keeps the patch contract."""

from __future__ import annotations

import pytest
from llama_index.core.agent.workflow import AgentWorkflow, BaseWorkflowAgent
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.base.llms.base import BaseLLM
from llama_index.core.memory import BaseMemory
from llama_index.core.tools import BaseTool

import aios_adapters
from tests.adapters.llama_index import programs
from tests.contracts.adapter import AdapterContract
from tests.support.columns import IDENTITY, LEASE, ONCE, RESTORE, SERVE


@pytest.mark.shows(LEASE, SERVE, ONCE, IDENTITY, RESTORE)
class TestLlamaIndex(AdapterContract):
    name = "llama_index"

    def call(self, endpoint):
        return programs.model(endpoint.base_url).chat(programs.message("hello big world")).message


@pytest.mark.shows(RESTORE)
def test_every_class_is_restored():
    """After disable() no class of the framework has an attribute of ours, and none has lost one."""
    bases = (BaseLLM, BaseEmbedding, BaseTool, BaseMemory, BaseWorkflowAgent, AgentWorkflow)
    classes = [cls for base in bases for cls in _tree(base)]
    before = [_attributes(cls) for cls in classes]
    aios_adapters.enable(strict=True)
    assert [_attributes(cls) for cls in classes] != before
    aios_adapters.disable()
    assert [_attributes(cls) for cls in classes] == before


def _attributes(cls):
    return {name: id(value) for name, value in vars(cls).items() if name != "_abc_impl"}


def _tree(cls):
    yield cls
    for sub in type.__subclasses__(cls):
        yield from _tree(sub)
