"""Adapter "ag2": AG2 1.x (import `ag2`); model clients, tools, histories, knowledge and agents."""

from __future__ import annotations

from aios_adapters.adapter import Adapter
from aios_adapters.ag2 import _identity, _memory, _models, _tools
from aios_adapters.patching import Patch
from aios_adapters.versions import framework

__all__ = ["ADAPTER"]

VERSIONS = framework("ag2")

ADAPTER = Adapter(
    name="ag2",
    module="ag2",
    distribution=VERSIONS.distributions,
    minimum=VERSIONS.minimum,
    tested=VERSIONS.tested,
    patches=[
        *_memory.PATCHES,
        # Only where the extra `mcp` is installed.
        Patch(
            module="ag2.tools.toolkits.mcp_server.toolkit",
            path="_MCPProxyTool.__call__",
            wrap=_tools.call,
            optional=True,
        ),
        Patch(module="ag2.agent", path="Agent._drive_scope", wrap=_identity.drive_scope),
        Patch(module="ag2.config.client", path="LLMClient.__call__", wrap=_models.call, subclasses="only"),
        Patch(module="ag2.tools.final.function_tool", path="FunctionTool.__call__", wrap=_tools.call, subclasses=True),
    ],
)
