"""Model-written code, run in the sandbox."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aios_kernel.toolkit.tool import Tool

if TYPE_CHECKING:
    from collections.abc import Callable

    from aios_kernel.toolkit.sandbox import Ran, Sandbox

__all__ = ["code_tools"]

MAX_CODE = 100_000
ANSWER_TIME = 30.0  # what a call may take beside the code itself: starting on a busy machine, killing, reading


def code_tools(sandbox: Sandbox) -> list[Tool]:
    """Make `aios/python` and `aios/shell` on a sandbox."""
    return [
        _code_tool(
            "python",
            "Run Python code and return what it prints. Nothing is kept between runs.",
            sandbox,
            sandbox.python,
        ),
        _code_tool(
            "shell",
            "Run a shell script and return what it prints. Nothing is kept between runs.",
            sandbox,
            sandbox.shell,
        ),
    ]


def _code_tool(name: str, description: str, sandbox: Sandbox, run: Callable[[str], Ran]) -> Tool:
    def execute(code: str) -> dict[str, Any]:
        return run(code).report()

    return Tool(
        name=f"aios/{name}",
        description=f"{description} There is no network, and the machine's files are not there.",
        parameters={
            "type": "object",
            "properties": {"code": {"type": "string", "minLength": 1, "maxLength": MAX_CODE}},
            "required": ["code"],
            "additionalProperties": False,
        },
        run=execute,
        origin="shipped",
        ready=sandbox.why_not,
        timeout=sandbox.limits.seconds + ANSWER_TIME,
        code=True,
        # Inside the sandbox nothing of value can be destroyed; outside of it, everything can.
        destructive=sandbox.allow_unsandboxed and not sandbox.protected,
    )
