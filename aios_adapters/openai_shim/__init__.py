"""Adapter "openai_shim": the 0.x calls of the openai SDK on 1.x and later, for programs that ask for it."""

from __future__ import annotations

from aios_adapters.adapter import Adapter
from aios_adapters.openai_shim import _errors, _resources
from aios_adapters.patching import Patch
from aios_adapters.versions import framework

__all__ = ["ADAPTER"]

VERSIONS = framework("openai")

_OLD = "openai.lib._old_api"  # what the SDK has in the place of the old resources: objects that raise when called

ADAPTER = Adapter(
    name="openai_shim",
    module=_OLD,
    distribution=VERSIONS.distributions,
    minimum=VERSIONS.minimum,
    tested=VERSIONS.tested,
    opt_in="openai_legacy",
    adds={"openai.error": _errors.make},
    patches=[Patch(module=_OLD, path="APIRemovedInV1Proxy.__getattr__", wrap=_resources.attribute)],
)
