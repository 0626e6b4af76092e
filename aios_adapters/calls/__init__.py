"""What adapters put between a framework and its own call: builder, gate, guard, then the framework's call or ours.

An adapter gives functions: `build()` makes the Call from the framework's arguments (None: let it pass), `native()`
makes the framework's own call, `served` turns the kernel's answer into the framework's type. What `build` raises makes
the call native; from the moment a syscall is dispatched, errors are raised.
"""

from aios_adapters.calls._gate import claiming, enter, enter_llm, inside_llm, keep, leased_grant, refusals, report
from aios_adapters.calls._journal import arecord, given_back, record, recorded, recording
from aios_adapters.calls._llm import allm_call, allm_stream, llm_call, llm_stream
from aios_adapters.calls._memory import Store, amemory_call, amemory_stream, memory_call, memory_stream
from aios_adapters.calls._steps import astepped, closing, stepped
from aios_adapters.calls._tools import atool_call, atool_stream, tool_call, tool_stream
from aios_adapters.calls._visits import Visit, Visits, visit, visits

__all__ = [
    "Store",
    "Visit",
    "Visits",
    "allm_call",
    "allm_stream",
    "amemory_call",
    "amemory_stream",
    "arecord",
    "astepped",
    "atool_call",
    "atool_stream",
    "claiming",
    "closing",
    "enter",
    "enter_llm",
    "given_back",
    "inside_llm",
    "keep",
    "leased_grant",
    "llm_call",
    "llm_stream",
    "memory_call",
    "memory_stream",
    "record",
    "recorded",
    "recording",
    "refusals",
    "report",
    "stepped",
    "tool_call",
    "tool_stream",
    "visit",
    "visits",
]
