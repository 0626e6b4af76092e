"""Adapter "metagpt": MetaGPT 0.8; language models, memories, code, search, the browser and roles."""

from __future__ import annotations

from aios_adapters.adapter import Adapter
from aios_adapters.metagpt import _code, _identity, _memory, _models, _tools
from aios_adapters.patching import Patch
from aios_adapters.versions import framework

__all__ = ["ADAPTER"]

_LLM = "metagpt.provider.base_llm"
_ROLE = "metagpt.roles.role"

VERSIONS = framework("metagpt")

ADAPTER = Adapter(
    name="metagpt",
    module="metagpt",
    distribution=VERSIONS.distributions,
    minimum=VERSIONS.minimum,
    tested=VERSIONS.tested,
    patches=[
        # The retries of `acompletion_text` are inside it: a call with all its attempts is one syscall.
        Patch(module=_LLM, path="BaseLLM.acompletion_text", wrap=_models.acompletion_text, subclasses=True),
        Patch(module=_LLM, path="BaseLLM.acompletion", wrap=_models.acompletion, subclasses="only"),
        Patch(module=_LLM, path="BaseLLM._update_costs", wrap=_models.update_costs),
        Patch(module="metagpt.logs", path="_llm_stream_log", wrap=_models.stream_log),
        Patch(module="metagpt.actions.run_code", path="RunCode.run_text", wrap=_code.run_text, subclasses=True),
        Patch(module="metagpt.actions.run_code", path="RunCode.run_script", wrap=_code.run_script, subclasses=True),
        Patch(
            module="metagpt.actions.di.execute_nb_code",
            path="ExecuteNbCode.run",
            wrap=_code.run_cell,
            subclasses=True,
        ),
        Patch(module="metagpt.tools.search_engine", path="SearchEngine.run", wrap=_tools.search, subclasses=True),
        Patch(
            module="metagpt.tools.web_browser_engine",
            path="WebBrowserEngine.run",
            wrap=_tools.browse,
            subclasses=True,
        ),
        *_memory.PATCHES,
        Patch(module=_ROLE, path="Role.run", wrap=_identity.own, subclasses=True),
        Patch(module=_ROLE, path="Role.react", wrap=_identity.own, subclasses=True),
        Patch(module=_ROLE, path="Role._observe", wrap=_identity.own, subclasses=True),
        Patch(module=_ROLE, path="Role._think", wrap=_identity.own, subclasses=True),
        Patch(module=_ROLE, path="Role._act", wrap=_identity.own, subclasses=True),
    ],
)
