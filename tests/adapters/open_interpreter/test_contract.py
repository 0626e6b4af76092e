"""The open_interpreter adapter keeps the patch contract."""

from __future__ import annotations

from tests.adapters.open_interpreter import programs
from tests.contracts.adapter import AdapterContract


class TestOpenInterpreter(AdapterContract):
    name = "open_interpreter"

    def call(self, endpoint):
        return programs.chat(endpoint.base_url, "just talk")[0]

    def captured(self, endpoint):
        """An interpreter that was made before, and its bound method."""
        ask = programs.make(endpoint.base_url).chat
        return lambda: ask("just talk", display=False)
