"""What a tool is: a name, a callable, the shape of its arguments, and what it declares about itself."""

from __future__ import annotations

import importlib.util
import inspect
import os
import re
import shutil
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from aios_kernel.agents.schema import tool_spec
from aios_kernel.errors import ConfigError

__all__ = ["DEFAULT_TIMEOUT", "Tool", "declare", "make_tool"]

F = TypeVar("F", bound=Callable[..., Any])
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}/[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
DEFAULT_TIMEOUT = 60.0
MAX_RETRIES = 10
_DECLARED = "__aios_tool__"


def _anything() -> dict[str, Any]:
    return {"type": "object", "properties": {}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """One tool, named `org/name`; `run` takes the arguments as keywords, and may be a coroutine function.

    `parameters` is the JSON schema of the arguments. `imports` (top-level modules), `binaries` and `environment`
    (variables) are what it needs of the machine; `ready` may say why it cannot run. At most `limit` calls run at once;
    the caller is answered after `timeout` seconds (None: whenever the tool ends). A failed call is tried again `retries`
    times, which only an `idempotent` tool may declare. `destructive` marks what cannot be undone, `code` one that runs
    model-written code; the access manager reads both.
    """

    name: str
    run: Callable[..., Any]
    description: str = ""
    parameters: Mapping[str, Any] = field(default_factory=_anything)
    origin: str = "python"
    imports: tuple[str, ...] = ()
    binaries: tuple[str, ...] = ()
    environment: tuple[str, ...] = ()
    ready: Callable[[], str | None] | None = None
    limit: int | None = None
    timeout: float | None = DEFAULT_TIMEOUT
    idempotent: bool = False
    retries: int = 0
    destructive: bool = False
    code: bool = False

    def __post_init__(self) -> None:
        if NAME.fullmatch(self.name) is None:
            raise ConfigError(f"tool name {self.name!r}: use 'org/name', of letters, digits, '_', '.' and '-'")
        if self.limit is not None and self.limit < 1:
            raise ConfigError(f"tool {self.name!r}: limit is {self.limit}; use 1 or more, or None for no limit")
        if self.timeout is not None and self.timeout <= 0:
            raise ConfigError(f"tool {self.name!r}: timeout is {self.timeout}; use seconds above 0, or None")
        if not 0 <= self.retries <= MAX_RETRIES:
            raise ConfigError(f"tool {self.name!r}: retries is {self.retries}; use 0 to {MAX_RETRIES}")
        if self.retries and not self.idempotent:
            raise ConfigError(f"tool {self.name!r} declares retries: only a tool declared idempotent is run again")

    def missing(self) -> list[str]:
        """What the tool needs and this machine lacks, with what to do about it."""
        found = [f"the Python module {name!r}: install it" for name in self.imports if not _importable(name)]
        found += [f"the program {name!r}: install it" for name in self.binaries if shutil.which(name) is None]
        found += [f"the environment variable {name}: set it" for name in self.environment if not os.environ.get(name)]
        if not found and self.ready is not None:
            try:
                reason = self.ready()
            except Exception as error:  # noqa: BLE001 - one tool's trouble must not hide the others in the list
                reason = f"it cannot tell what: {error!r}"
            found += [reason] if reason else []
        return found

    def spec(self) -> dict[str, Any]:
        """The tool in the form of the OpenAI API."""
        function = {"name": self.name, "description": self.description, "parameters": dict(self.parameters)}
        return {"type": "function", "function": function}


def declare(**settings: Any) -> Callable[[F], F]:
    """Say about a function, as a decorator, what it is as a tool: any field of `Tool` but `run`."""
    unknown = sorted(set(settings) - (set(Tool.__dataclass_fields__) - {"run"}))
    if unknown:
        raise ConfigError(f"a tool declares no {', '.join(unknown)}")

    def mark(function: F) -> F:
        setattr(function, _DECLARED, settings)
        return function

    return mark


def make_tool(function: Callable[..., Any] | Tool, *, org: str = "local", **settings: Any) -> Tool:
    """Make a tool of a callable: its signature gives the parameters, its docstring the description."""
    if isinstance(function, Tool):
        return function
    described = tool_spec(function)["function"]
    declared: dict[str, Any] = {**getattr(function, _DECLARED, {}), **settings}
    name = declared.pop("name", described["name"])
    fields: dict[str, Any] = {
        "description": described["description"],
        "parameters": _parameters(function, described["parameters"]),
        **declared,
    }
    return Tool(name=name if "/" in name else f"{org}/{name}", run=function, **fields)


def _parameters(function: Callable[..., Any], schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of a signature: null where the annotation has None, nothing beside the parameters there are."""
    hints, properties = typing.get_type_hints(function), schema["properties"]
    for name, described in properties.items():
        if _optional(hints.get(name)):
            properties[name] = {"anyOf": [described, {"type": "null"}]}
    kinds = {parameter.kind for parameter in inspect.signature(function).parameters.values()}
    return schema if inspect.Parameter.VAR_KEYWORD in kinds else {**schema, "additionalProperties": False}


def _optional(hint: Any) -> bool:
    return typing.get_origin(hint) in {typing.Union, types.UnionType} and type(None) in typing.get_args(hint)


def _importable(name: str) -> bool:
    try:
        return importlib.util.find_spec(name.partition(".")[0]) is not None
    except (ImportError, ValueError):
        return False
