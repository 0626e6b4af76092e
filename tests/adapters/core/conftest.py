"""A made-up framework, installed for one test with its adapter as an entry point."""

from __future__ import annotations

import importlib
import sys
import textwrap
from pathlib import Path

import pytest

import aios_adapters

LIBRARY = """
class Client:
    def ask(self, text):
        return "native " + text

class Tool:
    def run(self, argument):
        return "ran " + argument
"""
ADAPTER = """
from aios_adapters import calls
from aios_adapters.adapter import Adapter
from aios_adapters.patching import Patch
from aios_kernel.abi import ChatCall, ToolCall

def ask(native):
    def ask(self, text):
        return calls.llm_call(
            "fakelib",
            lambda: ChatCall(model="m", messages=[{"role": "user", "content": text}]),
            lambda: native(self, text),
            lambda reply: reply.text,
        )
    return ask

def run(native):
    def run(self, argument):
        call = lambda: ToolCall(name="tool", arguments=argument)
        return calls.tool_call("fakelib", call, lambda: native(self, argument), lambda error: f"denied: {error}")
    return run

ADAPTER = Adapter(
    name="fakelib", module="fakelib", distribution="fakelib", minimum="1.0", tested=("1.0", "1.5"),
    patches=[
        Patch(module="fakelib.llm", path="Client.ask", wrap=ask),
        Patch(module="fakelib.llm", path="Tool.run", wrap=run),
        EXTRA
    ],
)
"""


class FakeLibrary:
    """Writes the framework and its adapter into a folder on the path."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def install(self, version: str = "1.2", *, extra: str = "") -> None:
        (self.folder / "fakelib").mkdir()
        (self.folder / "fakelib" / "__init__.py").write_text("")
        (self.folder / "fakelib" / "llm.py").write_text(LIBRARY)
        (self.folder / "fakelib_aios.py").write_text(textwrap.dedent(ADAPTER).replace("EXTRA", extra))
        info = self.folder / f"fakelib-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: fakelib\nVersion: {version}\n")
        (info / "entry_points.txt").write_text("[aios.adapters]\nfakelib = fakelib_aios:ADAPTER\n")
        importlib.invalidate_caches()


@pytest.fixture
def fakelib(tmp_path, monkeypatch):
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    yield FakeLibrary(folder)
    aios_adapters.disable()
    for name in ("fakelib", "fakelib.llm", "fakelib_aios"):
        sys.modules.pop(name, None)


@pytest.fixture(autouse=True)
def clean(monkeypatch, tmp_path):
    """No session, no configuration from outside."""
    from aios_adapters import _log, config

    for name in (*config.ENVIRONMENT, config.DISABLE):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(_log, "_warned", set())
    yield
    aios_adapters.disable()
