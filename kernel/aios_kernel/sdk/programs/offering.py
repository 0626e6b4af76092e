"""Which tools a model is offered, and what it calls them."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aios_kernel.abi import Reply, ToolCall
from aios_kernel.agents.steps import Program, Step
from aios_kernel.errors import ConfigError, ToolUnavailable, ToolUnknown
from aios_kernel.toolkit.naming import short_names

if TYPE_CHECKING:
    from aios_kernel.abi import Agent

__all__ = ["Offer", "offered"]

LIST = "aios/list_tools"


@dataclass(frozen=True, slots=True)
class Offer:
    """Specs in the form of the OpenAI API, and the kernel's names by those that the model uses."""

    specs: tuple[Mapping[str, Any], ...]
    full: Mapping[str, str]


def offered(agent: Agent | None, tools: Sequence[str | Mapping[str, Any]]) -> Program[Offer]:
    """The tools that are meant by patterns and specs.

    Raises `ConfigError` where two would have one name, `ToolUnknown` for a pattern that fits nothing, `ToolUnavailable` for a tool that cannot run where the kernel is.
    """
    patterns = [one for one in ([tools] if isinstance(tools, str) else tools) if isinstance(one, str)]
    specs = [one for one in tools if not isinstance(one, str)]
    if not patterns:
        return Offer(tuple(specs), {})
    reply: Reply = yield Step(ToolCall(agent=agent, name=LIST))
    rows: dict[str, dict[str, Any]] = {row["name"]: row for row in reply.data if "description" in row}
    chosen = [rows[name] for name in sorted(rows) if _wanted(rows[name], patterns)]
    for pattern in patterns:
        if not any(fnmatch.fnmatchcase(name, pattern) for name in rows):
            raise ToolUnknown(f"the kernel has no tool {pattern!r}. Known: {', '.join(sorted(rows))}")
    shorts = short_names(row["name"] for row in chosen)
    both = sorted(set(shorts.values()) & {str(spec.get("function", {}).get("name")) for spec in specs})
    if both:
        raise ConfigError(
            f"the model could not tell a tool of the kernel's from your own {both[0]!r}: call yours otherwise"
        )
    made = [_spec(shorts[row["name"]], row) for row in chosen]
    return Offer((*specs, *made), {short: name for name, short in shorts.items()})


def _wanted(row: dict[str, Any], patterns: Sequence[str]) -> bool:
    """Whether a tool is among those meant; one that cannot run is, if it is named in full, an error."""
    name, missing = row["name"], row["missing"]
    if missing and name in patterns:
        raise ToolUnavailable(f"{name} cannot run here, it needs {'; '.join(missing)}")
    return not missing and any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _spec(short: str, row: dict[str, Any]) -> dict[str, Any]:
    function = {"name": short, "description": row["description"], "parameters": row["parameters"]}
    return {"type": "function", "function": function}
