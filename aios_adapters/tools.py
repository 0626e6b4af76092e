"""The kernel's tools as native tools of a framework: `for_langchain()`, `for_autogen()`, `for_llama_index()`, `for_openai()`."""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

from aios_adapters import identity, session
from aios_adapters._handed import MARK
from aios_kernel.abi import ToolCall
from aios_kernel.errors import ConfigError, SyscallError
from aios_kernel.toolkit.naming import short_names

if TYPE_CHECKING:
    from aios_kernel.gate import Gate, Grant

__all__ = ["KernelTool", "for_autogen", "for_langchain", "for_llama_index", "for_openai", "kernel_tools"]

LIST = "aios/list_tools"


@dataclass(frozen=True, slots=True)
class KernelTool:
    """One of the kernel's tools, as frameworks need it: `name` is what a model calls it, `full_name` the kernel."""

    name: str
    full_name: str
    description: str
    parameters: Mapping[str, Any]
    kernel: Gate | None = None

    def call(self, arguments: Mapping[str, Any]) -> Any:
        """Call it through the gate, as the agent of this context; raises `SyscallError`."""
        with _gate(self.kernel).syscall(self._call(arguments)) as grant:
            return _served(grant).reply().data

    async def acall(self, arguments: Mapping[str, Any]) -> Any:
        """Do the same in this event loop."""
        async with _gate(self.kernel).syscall(self._call(arguments)) as grant:
            return (await _served(grant).areply()).data

    def _call(self, arguments: Mapping[str, Any]) -> ToolCall:
        now = session.in_force()
        agent = identity.current(() if now is None else now.resolvers)
        return ToolCall(agent=agent, name=self.full_name, arguments=dict(arguments))


def kernel_tools(*names: str, kernel: Gate | None = None) -> list[KernelTool]:
    """List the kernel's tools whose full names match one of the patterns; without any, all that can run here.

    `kernel` None is that of `enable()`. Raises `ConfigError` for a pattern that fits nothing, with the reason.
    """
    with _gate(kernel).syscall(ToolCall(name=LIST)) as grant:
        rows = cast("list[dict[str, Any]]", _served(grant).reply().data)
    ours = {row["name"]: row for row in rows if "description" in row}
    for name in names:
        if not any(fnmatch.fnmatchcase(one, name) for one in ours):
            raise ConfigError(f"the kernel has no tool {name!r}. Known: {', '.join(sorted(ours))}")
        if name in ours and ours[name]["missing"]:
            raise ConfigError(f"{name} cannot run here, it needs {'; '.join(ours[name]['missing'])}")
    usable = (row for row in ours.values() if not row["missing"])
    chosen = [row for row in usable if not names or any(fnmatch.fnmatchcase(row["name"], name) for name in names)]
    shorts = short_names(row["name"] for row in chosen)
    return [
        KernelTool(shorts[row["name"]], row["name"], row["description"], row["parameters"], kernel) for row in chosen
    ]


def for_openai(*names: str, kernel: Gate | None = None) -> tuple[list[dict[str, Any]], Callable[[str, Any], str]]:
    """The tools in the form of the OpenAI API, and what runs one by its name and arguments, to text for the model.

    A failure is text too, beginning with "error:".
    """
    tools = {tool.name: tool for tool in kernel_tools(*names, kernel=kernel)}
    specs = [
        {
            "type": "function",
            "function": {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)},
        }
        for tool in tools.values()
    ]

    def run(name: str, arguments: Any) -> str:
        if name not in tools:
            return f"error: there is no tool named {name!r}. Known: {', '.join(tools)}"
        try:
            text = isinstance(arguments, str) and arguments.strip()
            given: Any = json.loads(arguments) if text else arguments or {}
            if not isinstance(given, Mapping):
                return "error: the arguments must be a JSON object"
            return _text(tools[name].call(cast("Mapping[str, Any]", given)))
        except (SyscallError, ValueError) as error:
            return f"error: {error}"

    return specs, run


def for_langchain(*names: str, kernel: Gate | None = None) -> list[Any]:
    """The tools as LangChain's `StructuredTool`s; a failure is a message to the model."""
    base = import_module("langchain_core.tools")

    def made(tool: KernelTool) -> Any:
        def run(**arguments: Any) -> str:
            try:
                return _text(tool.call(arguments))
            except SyscallError as error:
                raise base.ToolException(str(error)) from error

        async def arun(**arguments: Any) -> str:
            try:
                return _text(await tool.acall(arguments))
            except SyscallError as error:
                raise base.ToolException(str(error)) from error

        return base.StructuredTool(
            name=tool.name,
            description=tool.description,
            args_schema=_schema(tool),
            func=run,
            coroutine=arun,
            handle_tool_error=True,
            metadata={MARK: tool.full_name},
        )

    return [made(tool) for tool in kernel_tools(*names, kernel=kernel)]


def for_autogen(*names: str, kernel: Gate | None = None) -> list[Any]:
    """The tools as AutoGen 0.7's `BaseTool`s; AutoGen makes a failed result of what they raise."""
    base = import_module("autogen_core.tools").BaseTool

    def made(tool: KernelTool) -> Any:
        async def run(_self: Any, args: Any, cancellation_token: Any) -> str:
            from aios_adapters.autogen._cancel import cancellable

            return _text(await cancellable(tool.acall(args.model_dump()), cancellation_token))

        kind: Any = type("KernelTool", (base,), {"run": run, MARK: tool.full_name, "__module__": __name__})
        return kind(_model(tool), str, tool.name, tool.description)

    return [made(tool) for tool in kernel_tools(*names, kernel=kernel)]


def for_llama_index(*names: str, kernel: Gate | None = None) -> list[Any]:
    """The tools as LlamaIndex's `FunctionTool`s; its agents make a failed output of what they raise."""
    base = import_module("llama_index.core.tools")

    def made(tool: KernelTool) -> Any:
        def run(**arguments: Any) -> str:
            return _text(tool.call(arguments))

        async def arun(**arguments: Any) -> str:
            return _text(await tool.acall(arguments))

        metadata = base.ToolMetadata(name=tool.name, description=tool.description, fn_schema=_model(tool))
        native = base.FunctionTool(fn=run, async_fn=arun, metadata=metadata)
        setattr(native, MARK, tool.full_name)
        return native

    return [made(tool) for tool in kernel_tools(*names, kernel=kernel)]


def _gate(kernel: Gate | None) -> Gate:
    if kernel is not None:
        return kernel
    now = session.in_force()
    if now is None:
        raise ConfigError("there is no kernel to take tools from: call aios_adapters.enable() first, or pass kernel=")
    return now.kernel


def _served(grant: Grant) -> Grant:
    if grant.lease:
        raise ConfigError("this kernel has no tool manager: enable(data=FOLDER) and `aios serve` give it one")
    return grant


def _schema(tool: KernelTool) -> dict[str, Any]:
    return {**tool.parameters, "title": tool.name, "description": tool.description}


def _model(tool: KernelTool) -> Any:
    """A pydantic model that has the tool's own schema and takes anything: the kernel does the checking."""
    pydantic: Any = import_module("pydantic")

    def model_json_schema(*_: Any, **__: Any) -> dict[str, Any]:
        return {"properties": {}, **tool.parameters}

    fields = {
        "__module__": __name__,
        "model_config": pydantic.ConfigDict(extra="allow"),
        "model_json_schema": staticmethod(model_json_schema),
    }
    return type(f"{tool.name}_arguments", (pydantic.BaseModel,), fields)


def _text(data: Any) -> str:
    return data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)
