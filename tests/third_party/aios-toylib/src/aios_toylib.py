"""An adapter for toylib, as a package of its own."""

from __future__ import annotations

from aios_adapters import calls
from aios_adapters.adapter import Adapter
from aios_adapters.identity import framework_agent
from aios_adapters.patching import Patch
from aios_kernel.abi import ChatCall, ToolCall


def chat(model, text, *, stream=False):
    """The request as the kernel sees it."""
    messages = [{"role": "user", "content": text}]
    return ChatCall(model=model.name, messages=messages, endpoint=model.base_url, stream=stream)


def refused(error):
    """What toylib's users expect where a model does not answer."""
    import toylib

    return toylib.ToyError(str(error))


def complete(native):
    def _complete(self, text):
        return calls.llm_call(
            "toylib",
            lambda: chat(self, text),  # the request; None lets the call pass
            lambda: native(self, text),  # the framework's own call
            lambda reply: reply.text,  # the kernel's answer in the framework's type
            refused=refused,
        )

    return _complete


def acomplete(native):
    async def _acomplete(self, text):
        return await calls.allm_call(
            "toylib", lambda: chat(self, text), lambda: native(self, text), lambda reply: reply.text, refused=refused
        )

    return _acomplete


def pieces(native):
    def _pieces(self, text):
        yield from calls.llm_stream(
            "toylib",
            lambda: chat(self, text, stream=True),
            lambda: native(self, text),
            lambda delta: [delta.text] if delta.text else [],
            refused=refused,
        )

    return _pieces


def run_tool(native):
    def run_tool(name, tool, argument):
        return calls.tool_call(
            "toylib",
            lambda: ToolCall(name=name, arguments=argument),
            lambda: native(name, tool, argument),
            lambda error: f"tool {name} failed: {error}",  # a refusal, in the form of a failed tool
        )

    return run_tool


def run(native):
    def run(self, task):
        with framework_agent(self.name, framework="toylib"):  # whose calls they are
            return native(self, task)

    return run


ADAPTER = Adapter(
    name="toylib",
    module="toylib",
    distribution="toylib",
    minimum="1.0",
    tested=("1.2", "1.2"),
    patches=[
        Patch(module="toylib.models", path="Model._complete", wrap=complete, subclasses=True),
        Patch(module="toylib.models", path="Model._acomplete", wrap=acomplete, subclasses=True),
        Patch(module="toylib.models", path="Model._pieces", wrap=pieces, subclasses=True),
        Patch(module="toylib.agent", path="run_tool", wrap=run_tool),
        Patch(module="toylib.agent", path="Agent.run", wrap=run),
    ],
)
