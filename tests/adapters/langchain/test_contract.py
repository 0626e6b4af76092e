"""The langchain adapter keeps the patch contract."""

from __future__ import annotations

import pytest
from langchain_core.embeddings import Embeddings
from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.fake_chat_models import FakeListChatModel, GenericFakeChatModel
from langchain_core.language_models.llms import LLM, BaseLLM
from langchain_core.tools import BaseTool
from langgraph.pregel import Pregel

import aios_adapters
from tests.adapters.langchain import programs
from tests.contracts.adapter import AdapterContract
from tests.support.columns import RESTORE


class TestLangChain(AdapterContract):
    name = "langchain"

    def call(self, endpoint):
        message = programs.model(endpoint.base_url).invoke("hello big world")
        message.id = None  # the run's, new each time
        return message


@pytest.mark.shows(RESTORE)
def test_every_class_is_restored():
    """After disable() no class of the frameworks has an attribute of ours, and none has lost one."""
    classes = [cls for base in (BaseChatModel, BaseLLM, Embeddings, BaseTool, Pregel) for cls in _tree(base)]
    before = [_attributes(cls) for cls in classes]
    aios_adapters.enable(strict=True)
    assert [_attributes(cls) for cls in classes] != before
    aios_adapters.disable()
    assert [_attributes(cls) for cls in classes] == before


def test_what_the_core_asks_of_a_class_stays(enabled):
    """The core compares a class's stream methods with the base's to see whether it has its own."""
    classes = (GenericFakeChatModel, FakeListChatModel)
    asked = [_own_methods(cls) for cls in classes]
    assert asked[0] != asked[1]
    enabled()
    assert [_own_methods(cls) for cls in classes] == asked
    assert BaseChatModel._stream is _native(BaseChatModel._stream)
    assert LLM._call is _native(LLM._call)


def _own_methods(cls):
    names = ("_stream", "_astream", "_generate", "_agenerate")
    return [getattr(cls, name) is getattr(BaseChatModel, name) for name in names]


def _native(function):
    return getattr(function, "__wrapped__", function)


def _attributes(cls):
    return {name: id(value) for name, value in vars(cls).items() if name != "_abc_impl"}


def _tree(cls):
    yield cls
    for sub in type.__subclasses__(cls):
        yield from _tree(sub)
