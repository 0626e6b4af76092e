"""The kernel's tools in the form of the OpenAI API: specs for the request, and what runs a model's tool call."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from aios_adapters.tools import for_openai, kernel_tools
from aios_kernel.errors import ConfigError
from aios_kernel.kernel import Kernel
from aios_kernel.toolkit import ToolManager
from tests.support.handed import kitchen

__all__ = ["kitchen"]


def test_specs_and_calls(kitchen):
    """The specs are what an API takes; arguments come as text or objects; failures are text for the model."""
    specs, run = for_openai("kitchen/*", kernel=kitchen.kernel)
    assert [spec["function"]["name"] for spec in specs] == ["fail", "weigh"]
    assert json.loads(json.dumps(specs)) == specs
    assert run("weigh", '{"what": "pear"}') == '{"kernel": "pear weighs 1 kg"}'
    assert run("weigh", {"what": "pear", "unit": "lb"}) == '{"kernel": "pear weighs 1 lb"}'
    assert kitchen.users == ["root", "root"]
    for name, arguments, says in (
        ("weigh", "{", "error: Expecting"),
        ("weigh", "3", "error: the arguments must be a JSON object"),
        ("weigh", {}, "error: kitchen/weigh was not run: 'what' is missing"),
        ("fail", {"what": "x"}, "error: kitchen/fail raised ZeroDivisionError: x"),
        ("nothing", {}, "error: there is no tool named 'nothing'"),
    ):
        assert run(name, arguments).startswith(says)


def test_names_that_models_may_say(kitchen):
    """Short where that is enough, whole where two tools would have one name, in letters that every API takes."""
    manager = ToolManager(shipped=(), load_entry_points=False)
    for name in ("a/x", "b/x", "c/y.z"):
        manager.add(lambda: 1, name=name, parameters={"type": "object"})
    kernel = Kernel(managers=[manager])
    names = {tool.full_name: tool.name for tool in kernel_tools(kernel=kernel)}
    assert names == {
        "a/x": "x",
        "aios/list_tools": "list_tools",
        "aios/read_result": "read_result",
        "b/x": "b_x",
        "c/y.z": "y_z",
    }
    kernel.close()


def test_what_cannot_be_handed(kitchen, monkeypatch):
    """A name that is not there, a tool that lacks something, a kernel without a manager: each says so."""
    monkeypatch.delenv("BRAVE_API_KEY", raising=False)
    with pytest.raises(ConfigError, match="no tool 'kitchen/wiegh'"):
        kernel_tools("kitchen/wiegh", kernel=kitchen.kernel)
    shipped = Kernel(managers=[ToolManager(load_entry_points=False)])
    with pytest.raises(ConfigError, match="BRAVE_API_KEY"):
        kernel_tools("aios/web_search", kernel=shipped)
    assert "aios/web_search" not in {tool.full_name for tool in kernel_tools(kernel=shipped)}
    shipped.close()
    bare = Kernel()
    with pytest.raises(ConfigError, match="no tool manager"):
        kernel_tools(kernel=bare)
    bare.close()


def test_importing_it_imports_no_framework():
    """Neither the frameworks nor pydantic, nor the kernel's managers."""
    code = (
        "import sys, aios_adapters.tools\n"
        "print([m for m in ('langchain_core', 'autogen_core', 'llama_index', 'pydantic', 'mcp', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"
