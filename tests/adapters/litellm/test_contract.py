"""The litellm adapter keeps the patch contract."""

from __future__ import annotations

import litellm
import pytest

import aios_adapters
from tests.adapters.litellm import programs
from tests.contracts.adapter import AdapterContract
from tests.support.columns import LEASE, ONCE, RESTORE, SERVE


@pytest.mark.shows(LEASE, SERVE, ONCE, RESTORE)
class TestLitellm(AdapterContract):
    name = "litellm"

    def call(self, endpoint):
        answer = litellm.completion(programs.HTTP, programs.SAY, **programs.at(endpoint.base_url))
        answer.id, answer.created = "", 0
        answer.__pydantic_private__ = None  # how long it took, and what the server's headers said
        return answer


@pytest.mark.shows(RESTORE)
def test_each_function_is_one_object_wherever_it_is_kept():
    """The public name and the module that defines it hold the same replacement, and the same original afterwards."""
    import litellm.main

    places = [(module, name) for module in (litellm, litellm.main) for name in ("text_completion", "atext_completion")]
    before = [getattr(*place) for place in places]
    aios_adapters.enable(strict=True)
    during = [getattr(*place) for place in places]
    aios_adapters.disable()
    assert during[:2] == during[2:]
    assert during != before
    assert [getattr(*place) for place in places] == before
