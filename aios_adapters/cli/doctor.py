"""`aios status` and `aios doctor`: what is installed, what of it is supported, and what to do about the rest."""

from __future__ import annotations

import argparse
import json
import os
import platform
from importlib import metadata
from typing import Any

from aios_adapters.cli.tables import show_table

__all__ = ["add_parser", "report"]

PACKAGES = ("aios-adapters", "torch", "transformers", "llguidance", "matplotlib", "rich")
NEEDED_BY_MODEL = ("torch", "transformers", "accelerate", "gguf")


def add_parser(subparsers: Any) -> None:
    """Add the two commands."""
    for name, text in (
        ("status", "show installed adapters, models, policies and settings"),
        ("doctor", "the same, then name what is wrong and what to do; exit code 1 if anything is broken"),
    ):
        parser = subparsers.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        parser.add_argument("--json", action="store_true", help="print one JSON object instead of tables")
        parser.set_defaults(run=run, command=name)


def run(args: argparse.Namespace) -> int:
    """Look, and tell."""
    found = report()
    advise = args.command == "doctor"
    if args.json:
        print(
            json.dumps(
                found if advise else {k: v for k, v in found.items() if k not in {"problems", "hints"}}, indent=2
            )
        )
    else:
        _show(found, advise=advise)
    return 1 if advise and found["problems"] else 0


def report() -> dict[str, Any]:
    """What there is, as plain data; imports no framework and no torch."""
    from aios_kernel.cores.registry import core_names
    from aios_kernel.scheduling.registry import policy_names

    adapters = _adapters()
    models = _models()
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: _version(name) for name in PACKAGES},
        "adapters": adapters,
        "models": models,
        "policies": policy_names(),
        "cores": core_names(),
        "settings": {name: value for name, value in sorted(os.environ.items()) if name.startswith("AIOS_")},
        "problems": _problems(adapters),
        "hints": _hints(adapters, models),
    }


def _adapters() -> list[dict[str, str]]:
    from aios_adapters.adapter import Broken, load_all

    return [_broken(one) if isinstance(one, Broken) else _adapter(one) for one in load_all()]


def _broken(one: Any) -> dict[str, str]:
    return {"adapter": one.name, "version": "", "tested": "", "state": "failed", "reason": repr(one.error)}


def _adapter(one: Any) -> dict[str, str]:
    version = one.version()
    state, reason = "ready", ""
    if version is None:
        state, reason = "not installed", ""
    elif one.too_old(version):
        state, reason = "too old", f"needs {one.minimum} or newer"
    elif one.untested(version):
        state, reason = "untested", f"newer than {one.tested[1]}; it is enabled all the same"
    tested = "-".join(dict.fromkeys(part for part in one.tested if part))
    return {"adapter": one.name, "version": version or "", "tested": tested, "state": state, "reason": reason}


def _models() -> list[dict[str, Any]]:
    from aios_kernel import models

    return [
        {"model": name, "present": models.installed(name), "about": models.CATALOG[name].about}
        for name in models.CATALOG
    ]


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _problems(adapters: list[dict[str, str]]) -> list[str]:
    """What keeps something from working that is meant to."""
    bad = [row for row in adapters if row["state"] in {"failed", "too old"}]
    return [f"adapter {row['adapter']} is off: {row['version']} {row['reason']}".replace("  ", " ") for row in bad]


def _hints(adapters: list[dict[str, str]], models: list[dict[str, Any]]) -> list[str]:
    """What could work too, and how."""
    hints: list[str] = []
    if any(_version(name) is None for name in NEEDED_BY_MODEL):
        hints.append("the embedded model needs torch: pip install 'aios-adapters[torch]'")
    hints += [
        f"model {row['model']} is not here yet: aios models pull {row['model']}" for row in models if not row["present"]
    ]
    if not any(row["state"] in {"ready", "untested"} and row["version"] for row in adapters):
        hints.append("no supported agent framework is installed: pip install 'aios-adapters[langchain,autogen]'")
    if _version("matplotlib") is None:
        hints.append("the timeline picture needs matplotlib: pip install matplotlib")
    return hints


def _show(found: dict[str, Any], *, advise: bool) -> None:
    packages = ", ".join(f"{name} {version or '-'}" for name, version in found["packages"].items())
    print(f"Python {found['python']} on {found['platform']}\n{packages}\n")
    columns = ("adapter", "version", "tested", "state", "reason")
    show_table(columns, [[row[name] or "-" for name in columns[:4]] + [row["reason"]] for row in found["adapters"]])
    print()
    present = [[row["model"], "ready" if row["present"] else "not pulled", row["about"]] for row in found["models"]]
    show_table(("model", "state", "about"), present)
    print(f"\npolicies: {', '.join(found['policies'])}\ncores:    {', '.join(found['cores'])}")
    for name, value in found["settings"].items():
        print(f"setting:  {name}={value}")
    if advise:
        _advise(found)


def _advise(found: dict[str, Any]) -> None:
    print()
    for line in found["problems"]:
        print(f"problem: {line}")
    for line in found["hints"]:
        print(f"hint:    {line}")
    if not found["problems"]:
        print("Nothing is broken.")
