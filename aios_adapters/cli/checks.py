"""What `aios doctor` looks at, as plain data; imports no framework and no torch, and changes nothing."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any

from aios_adapters._remedies import install, unmet
from aios_kernel.errors import AiosError, ConfigError

__all__ = ["report"]

PACKAGES = ("aios-adapters", "torch", "transformers", "llguidance", "matplotlib", "rich", "starlette", "uvicorn")
NEEDED_BY_MODEL = ("torch", "transformers", "accelerate", "gguf")
IN_PROCESS = ("embedded", "torch")  # cores that run a model in the program itself
OFF = {"failed", "too old"}  # left out, though installed
Row = dict[str, Any]


def report(kernel: str | None = None) -> Row:
    """What there is, what is wrong with it, and what to do; `kernel` is the address of a shared kernel that is asked for."""
    from aios_kernel.scheduling.registry import policy_names

    adapters, models, daemon, sandbox = _adapters(), _models(), _daemon(kernel), _sandbox()
    found: Row = {
        "python": platform.python_version(),
        "executable": sys.executable,
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "packages": {name: _version(name) for name in PACKAGES},
        "adapters": adapters,
        "models": models,
        "cores": _cores(),
        "policies": policy_names(),
        "sandbox": sandbox,
        "daemon": daemon,
        "settings": {name: value for name, value in sorted(os.environ.items()) if _is_setting(name)},
    }
    return {
        **found,
        "problems": [*_broken_adapters(adapters), *_settings(adapters), *_kernel(daemon)],
        "hints": _hints(found),
    }


def _is_setting(name: str) -> bool:
    return name.startswith("AIOS_") and name != "AIOS_TOKEN"  # secrets are not shown


# Adapters


def _adapters() -> list[Row]:
    from aios_adapters.adapter import Broken, load_all

    return [_broken(one) if isinstance(one, Broken) else _adapter(one) for one in load_all()]


def _broken(one: Any) -> Row:
    remedy = "reinstall the distribution that registers it, or leave it out: AIOS_EXCLUDE=" + one.name
    return {
        "adapter": one.name,
        "version": "",
        "tested": "",
        "state": "failed",
        "reason": repr(one.error),
        "remedy": remedy,
    }


def _adapter(one: Any) -> Row:
    version = one.version()
    state, reason = "ready", ""
    if version is None:
        state = "not installed"
    elif one.too_old(version):
        state, reason = "too old", f"needs {one.minimum} or newer"
    elif one.untested(version):
        state, reason = "untested", f"newer than {one.tested[1]}; it is enabled all the same"
    if state in {"ready", "untested"} and (lacks := unmet(one)):
        state, reason = "unmet", lacks
    tested = "-".join(dict.fromkeys(part for part in one.tested if part))
    remedy = "" if state in {"ready", "untested"} else install(one)
    return {
        "adapter": one.name,
        "version": version or "",
        "tested": tested,
        "state": state,
        "reason": reason,
        "remedy": remedy,
    }


def _broken_adapters(adapters: Sequence[Row]) -> list[str]:
    """What keeps something from working that is meant to: it is installed, and left out."""
    off = [
        f"adapter {row['adapter']} is off: {row['version']} {row['reason']}" for row in adapters if row["state"] in OFF
    ]
    bad = [
        f"{row['adapter']} {row['version']} may not work: {row['reason']}"
        for row in adapters
        if row["state"] == "unmet"
    ]
    return [line.replace("  ", " ") for line in off + bad]


# Models, cores, sandbox


def _models() -> list[Row]:
    from aios_kernel import models

    return [
        {"model": name, "present": models.installed(name), "about": models.CATALOG[name].about}
        for name in models.CATALOG
    ]


def _cores() -> Row:
    """Each core's name, and what it lacks."""
    from aios_kernel.cores.registry import core_names

    missing = [name for name in NEEDED_BY_MODEL if _version(name) is None]
    return {name: f"needs {', '.join(missing)}" if name in IN_PROCESS and missing else "" for name in core_names()}


def _sandbox() -> Row:
    """Bubblewrap, by which code that a model wrote can be kept apart: present, and allowed to work here."""
    path = shutil.which("bwrap")
    if path is None:
        return {"bubblewrap": None, "works": False, "reason": "not installed"}
    try:
        done = subprocess.run(
            [path, "--ro-bind", "/", "/", "--unshare-all", "true"],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return {"bubblewrap": path, "works": False, "reason": str(error)}
    lines = done.stderr.strip().splitlines()
    return {"bubblewrap": path, "works": done.returncode == 0, "reason": lines[-1] if lines else ""}


# The shared kernel


def _daemon(asked: str | None) -> Row:
    from pathlib import Path

    from aios_adapters.remote.control import Control, NoKernel

    asked = asked or os.environ.get("AIOS_KERNEL") or ""
    row: Row = {"address": asked or "auto", "asked_for": bool(asked), "state": "not running", "reason": ""}
    try:
        control = Control(asked or None, timeout=3.0)
        row["address"] = str(control.address)
        socket = control.address.path
        found = control.status()
    except NoKernel as error:
        there = bool(socket) and Path(socket).exists()  # pyright: ignore[reportPossiblyUnboundVariable]
        left = "its socket is there, and nobody answers: `aios serve` takes it over"
        return {**row, "state": "not reachable" if there else "not running", "reason": left if there else str(error)}
    except ConfigError as error:
        return {**row, "state": "not reachable", "reason": str(error)}
    server = found.get("server", {})
    agents = sum(one["state"] != "killed" for one in found.get("agents", ()))
    return {**row, "state": "running", "pid": server.get("pid"), "version": server.get("version"), "agents": agents}


def _kernel(daemon: Mapping[str, Any]) -> list[str]:
    """A kernel that is not there is only wrong where it is asked for; "auto" starts it when it is needed."""
    if not daemon["asked_for"] or daemon["state"] == "running" or os.environ.get("AIOS_KERNEL") == "auto":
        return []
    return [f"the kernel asked for, {daemon['address']}, is {daemon['state']}: {daemon['reason']}"]


# Settings


def _settings(adapters: Sequence[Row]) -> list[str]:
    """Whether what the environment and the configuration file ask for can be had."""
    from aios_adapters import config
    from aios_kernel.scheduling.registry import policy

    try:
        settings = config.gather({})
        policy(settings.policy)
    except AiosError as error:
        return [f"a setting cannot be used: {error}"]
    rows = {row["adapter"]: row for row in adapters}
    bad: list[str] = []
    for name in settings.only:
        if name not in rows:
            bad.append(f"adapter {name} is asked for and does not exist; there are {', '.join(rows) or 'none'}")
        elif rows[name]["state"] == "not installed":
            bad.append(f"adapter {name} is asked for, and its framework is not installed: {rows[name]['remedy']}")
    spec = settings.llm if isinstance(settings.llm, str) else ""
    kind, cores = spec.partition(":")[0], _cores()
    if spec and kind not in cores:
        bad.append(f"core {kind} is asked for and does not exist; there are {', '.join(cores)}")
    elif spec and cores[kind]:
        bad.append(f"core {kind} is asked for, and {cores[kind]}: pip install 'aios-adapters[torch]'")
    return bad


def _hints(found: Mapping[str, Any]) -> list[str]:
    """What could work too, and how."""
    hints: list[str] = []
    packages = found["packages"]
    if any(_version(name) is None for name in NEEDED_BY_MODEL):
        hints.append("the embedded model needs torch: pip install 'aios-adapters[torch]'")
    pull = "model {0} is not here yet: aios models pull {0}"
    hints += [pull.format(row["model"]) for row in found["models"] if not row["present"]]
    usable = {"ready", "untested"}
    if not any(row["state"] in usable and row["version"] for row in found["adapters"]):
        hints.append("no supported agent framework is installed: pip install 'aios-adapters[langchain,autogen]'")
    for package, what, extra in (
        ("matplotlib", "the timeline picture needs matplotlib", "matplotlib"),
        ("rich", "the live view of `aios top` needs rich", "'aios-adapters[top]'"),
        ("uvicorn", "`aios serve` needs a web server", "'aios-adapters[serve]'"),
    ):
        if packages[package] is None:
            hints.append(f"{what}: pip install {extra}")
    if not found["sandbox"]["works"]:
        hints.append(f"code cannot be run in a sandbox: bubblewrap is {_said(found['sandbox'])}")
    return hints


def _said(sandbox: Mapping[str, Any]) -> str:
    if sandbox["bubblewrap"] is None:
        return "not installed (Debian, Ubuntu: apt-get install bubblewrap)"
    return f"at {sandbox['bubblewrap']} and may not make namespaces here ({sandbox['reason']})"


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
