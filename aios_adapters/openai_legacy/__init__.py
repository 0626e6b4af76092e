"""Adapter "openai_legacy": the openai SDK 0.27 and 0.28; completions, chat and embeddings, sync, async and streamed."""

from __future__ import annotations

from aios_adapters.adapter import Adapter
from aios_adapters.openai_legacy import _gate
from aios_adapters.patching import Patch
from aios_adapters.versions import framework

__all__ = ["ADAPTER"]

VERSIONS = framework("openai_legacy")

_REQUESTOR = "openai.api_requestor"  # only the 0.x versions have it: elsewhere this adapter waits for ever

ADAPTER = Adapter(
    name="openai_legacy",
    module=_REQUESTOR,
    distribution=VERSIONS.distributions,
    minimum=VERSIONS.minimum,
    tested=VERSIONS.tested,
    patches=[
        Patch(module=_REQUESTOR, path="APIRequestor.request", wrap=_gate.sync_request),
        Patch(module=_REQUESTOR, path="APIRequestor.arequest", wrap=_gate.async_request),
    ],
)
