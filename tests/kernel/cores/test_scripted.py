"""The scripted core keeps the contract of serving cores."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

from aios_kernel import MockClock, Reply, ToolRequest
from aios_kernel.cores.base import Core
from aios_kernel.cores.scripted import ScriptedCore
from tests.contracts.core import CoreContract


def fail(call: object) -> str:
    raise RuntimeError("no answer")


class TestScriptedCore(CoreContract):
    def serving(self) -> AbstractContextManager[Core]:
        return nullcontext(ScriptedCore(lambda call: "one two three four"))

    def calling(self) -> AbstractContextManager[Core]:
        request = ToolRequest(id="call_1", name="look_up", arguments='{"word": "x"}')
        return nullcontext(ScriptedCore(lambda call: Reply(tool_calls=(request,))))

    def failing(self) -> AbstractContextManager[Core]:
        return nullcontext(ScriptedCore(fail))

    def slow(self) -> AbstractContextManager[Core]:
        return nullcontext(ScriptedCore(lambda call: "never", latency=1.0, clock=MockClock()))
