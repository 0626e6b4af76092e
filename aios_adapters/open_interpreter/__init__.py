"""Adapter "open_interpreter": Open Interpreter 0.4; its model in both modes, code, messages, and interpreters as agents."""

from __future__ import annotations

from aios_adapters.adapter import Adapter
from aios_adapters.open_interpreter import _code, _llm, _memory
from aios_adapters.patching import Patch
from aios_adapters.versions import framework

__all__ = ["ADAPTER"]

VERSIONS = framework("open_interpreter")

_LLM = "interpreter.core.llm.llm"
_CORE = "interpreter.core.core"
_TERMINAL = "interpreter.core.computer.terminal.terminal"


def _parser(name: str, wrap: _llm.Function) -> Patch:
    return Patch(module=_LLM, path=name, wrap=wrap, aliases=(f"interpreter.core.llm.{name}:{name}",))


ADAPTER = Adapter(
    name="open_interpreter",
    module="interpreter",
    distribution=VERSIONS.distributions,
    minimum=VERSIONS.minimum,
    tested=VERSIONS.tested,
    patches=[
        _parser("run_text_llm", _llm.text_llm),
        _parser("run_tool_calling_llm", _llm.tool_llm),
        Patch(module=_LLM, path="Llm.run", wrap=_memory.read, subclasses=True),
        Patch(module=_CORE, path="OpenInterpreter._respond_and_store", wrap=_memory.store, subclasses=True),
        Patch(module=_CORE, path="OpenInterpreter.reset", wrap=_memory.reset, subclasses=True),
        Patch(module=_TERMINAL, path="Terminal.run", wrap=_code.run, subclasses=True),
    ],
)
