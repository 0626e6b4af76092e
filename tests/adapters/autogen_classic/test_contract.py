"""The autogen_classic adapter keeps the patch contract."""

from __future__ import annotations

from importlib import metadata
from types import SimpleNamespace

import autogen
import pytest

import aios_adapters
from aios_adapters.adapter import Adapter
from tests.adapters.autogen_classic import programs
from tests.contracts.adapter import AdapterContract
from tests.support.columns import RESTORE


class TestAutoGenClassic(AdapterContract):
    name = "autogen_classic"

    def call(self, endpoint):
        client = autogen.OpenAIWrapper(**programs.config(endpoint.base_url))
        response = client.create(messages=[{"role": "user", "content": "hello"}])
        response.message_retrieval_function = None  # a method of the client, which is another one each time
        return response

    def late(self, endpoint):
        """A model client's class with its own `create`."""

        class Late(Custom):
            def create(self, params):
                return SimpleNamespace(choices=[], model="late")

        client = autogen.OpenAIWrapper(config_list=[{"model": "sim", "model_client_cls": "Late"}])
        client.register_model_client(Late)
        return client.create(messages=[{"role": "user", "content": "hello"}], cache_seed=None)


class Custom:
    """A model client as AutoGen takes them: a class with the right methods."""

    def __init__(self, config, **kwargs):
        pass

    def create(self, params):
        raise NotImplementedError

    def message_retrieval(self, response):
        return []

    def cost(self, response):
        return 0

    def get_usage(self, response):
        return {}


@pytest.mark.shows(RESTORE)
def test_a_class_known_by_its_methods_is_restored():
    """A class that is patched when it is first used has its own method again after disable()."""
    native = vars(Custom)["create"]
    client = autogen.OpenAIWrapper(config_list=[{"model": "sim", "model_client_cls": "Custom"}])
    client.register_model_client(Custom)
    aios_adapters.enable(strict=True)
    with pytest.raises(NotImplementedError):
        client.create(messages=[{"role": "user", "content": "hello"}], cache_seed=None)
    assert vars(Custom)["create"] is not native
    aios_adapters.disable()
    assert vars(Custom)["create"] is native


def test_versions_of_another_framework_are_not_this_one():
    """A distribution's name is not enough: `ag2` is one framework below 1 and another from there on."""
    (name,) = (one for one in ("pyautogen", "ag2") if _installed(one))
    version = metadata.version(name)

    def seen(distribution):
        return Adapter(name="x", module="autogen", patches=(), distribution=distribution).version()

    assert seen((f"{name}<1",)) == version
    assert seen((f"{name}>=1",)) is None
    assert seen((f"{name}>=1", name)) == version


def _installed(name):
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
