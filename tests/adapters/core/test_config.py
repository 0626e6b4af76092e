"""Where settings come from: keywords, then the environment, then a file; and what importing us costs."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import aios_adapters
from aios_adapters import config
from aios_kernel.errors import ConfigError, UnknownName


def test_precedence(monkeypatch, tmp_path):
    """A keyword beats the environment, which beats the file."""
    (tmp_path / "aios.toml").write_text('policy = "file"\nstrict = true\nonly = ["a"]\nrecord-content = true\n')
    assert config.gather({}).policy == "file"
    assert config.gather({}).record_content
    monkeypatch.setenv("AIOS_POLICY", "environment")
    monkeypatch.setenv("AIOS_ONLY", "a, b")
    settings = config.gather({})
    assert (settings.policy, settings.strict, settings.only) == ("environment", True, ("a", "b"))
    assert config.gather({"policy": "keyword", "only": "c"}).policy == "keyword"
    assert config.gather({"only": "c"}).only == ("c",)


def test_the_nearest_file_counts(monkeypatch, tmp_path):
    """pyproject.toml of a folder above is read; one that does not speak of us is passed over."""
    (tmp_path / "pyproject.toml").write_text(
        '[tool.aios-adapters]\nllm = "core"\n[tool.aios-adapters.limits."llm:*"]\nrpm = 3\n'
    )
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    (below / "pyproject.toml").write_text("[tool.other]\nkey = 1\n")
    monkeypatch.chdir(below)
    settings = config.gather({})
    assert settings.llm == "core"
    assert settings.limits == {"llm:*": {"rpm": 3}}


def test_mistakes_are_named(monkeypatch, tmp_path):
    """An unknown key, a broken file and a bad value say what is wrong and where."""
    file = tmp_path / "aios.toml"
    file.write_text("polcy = 1\n")
    with pytest.raises(UnknownName, match="Did you mean 'policy'"):
        config.gather({})
    file.write_text("not toml")
    with pytest.raises(ConfigError, match="not valid TOML"):
        config.gather({})
    file.unlink()
    monkeypatch.setenv("AIOS_STRICT", "perhaps")
    with pytest.raises(ConfigError, match="AIOS_STRICT"):
        config.gather({})


def test_python_3_10_without_tomli_says_so(monkeypatch, tmp_path):
    """Where nothing can read TOML, a file that configures us is not passed over in silence."""
    (tmp_path / "aios.toml").write_text("strict = true\n")
    monkeypatch.setitem(sys.modules, "tomllib", None)
    monkeypatch.setitem(sys.modules, "tomli", None)
    with pytest.raises(ConfigError, match="pip install tomli"):
        config.gather({})


def test_aios_disable_switches_off(monkeypatch):
    """With AIOS_DISABLE=1, enable() does nothing at all."""
    monkeypatch.setenv("AIOS_DISABLE", "1")
    assert not aios_adapters.enable().enabled
    monkeypatch.setenv("AIOS_DISABLE", "0")
    assert aios_adapters.enable().enabled


SCRIPT = """
import sys, time, json
before, start = set(sys.modules), time.process_time()
import aios_adapters
cost = time.process_time() - start
with aios_adapters.agent("a"), aios_adapters.paused():
    pass
imported = {name.partition(".")[0] for name in set(sys.modules) - before}
aios_adapters.enable()
enabled = {name.partition(".")[0] for name in set(sys.modules) - before}
known = set(sys.stdlib_module_names) | {"aios_adapters", "aios_kernel"}
print(json.dumps([cost, sorted(imported - known), sorted(enabled - known)]))
"""


def test_importing_us_is_light():
    """The import takes at most 50 ms of CPU and loads only the standard library; enable() adds `packaging` at most."""
    outs = [
        json.loads(subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True).stdout)
        for _ in range(3)
    ]
    assert min(out[0] for out in outs) <= 0.05
    assert outs[0][1] == []
    assert set(outs[0][2]) <= {"packaging", "typing_extensions"}
