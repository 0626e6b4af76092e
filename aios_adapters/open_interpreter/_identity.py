"""Who is calling: each interpreter object is an agent."""

from __future__ import annotations

import itertools
import threading
import weakref
from typing import TYPE_CHECKING, Any

from aios_adapters.identity import framework_agent

if TYPE_CHECKING:
    from aios_kernel.abi import Agent

__all__ = ["FRAMEWORK", "agent_of"]

FRAMEWORK = "open_interpreter"
NAME = "interpreter"

_numbers = itertools.count(1)
_known: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()
_lock = threading.Lock()


def agent_of(interpreter: Any) -> Agent:
    """The agent that an interpreter is; it inherits what is around it.

    Open Interpreter is generators all through, in which a context variable would leak to whoever reads them: so each
    call is told its agent.
    """
    with _lock:
        number = _known.get(interpreter) or next(_numbers)
        _known[interpreter] = number
    with framework_agent(NAME, framework=FRAMEWORK, instance=str(number)) as agent:
        return agent
