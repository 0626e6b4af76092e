"""Adapter "openai": the openai SDK 1.x, 2.x and 3.x; chat, completions, responses and embeddings in every mode."""

from __future__ import annotations

from aios_adapters.adapter import Adapter
from aios_adapters.openai import _gate
from aios_adapters.patching import Patch
from aios_adapters.versions import framework

__all__ = ["ADAPTER"]

_CLIENT = "openai._base_client"

VERSIONS = framework("openai")

ADAPTER = Adapter(
    name="openai",
    module=_CLIENT,  # the 0.x versions do not have it: they are another adapter's
    distribution=VERSIONS.distributions,
    minimum=VERSIONS.minimum,
    tested=VERSIONS.tested,
    patches=[
        # Other observers put a `request` of their own on OpenAI and AsyncOpenAI: those are covered too.
        Patch(module=_CLIENT, path="SyncAPIClient.request", wrap=_gate.sync_request, subclasses=True),
        Patch(module=_CLIENT, path="AsyncAPIClient.request", wrap=_gate.async_request, subclasses=True),
        # Missing in 1.66 and older: refused attempts then sleep as the SDK likes.
        Patch(module=_CLIENT, path="SyncAPIClient._sleep_for_retry", wrap=_gate.sync_sleep, optional=True),
        Patch(module=_CLIENT, path="AsyncAPIClient._sleep_for_retry", wrap=_gate.async_sleep, optional=True),
    ],
)
