"""What to do about a framework that is not there, or not as it must be: the version table's recipes."""

from __future__ import annotations

import re
import shlex
from importlib import metadata
from typing import TYPE_CHECKING

from packaging.requirements import Requirement

from aios_adapters.versions import TABLE, Framework

if TYPE_CHECKING:
    from aios_adapters.adapter import Adapter

__all__ = ["install", "unmet"]


def install(one: Adapter) -> str:
    """The command that works today, and why a plain one may not."""
    row = _row_of(one.name)
    if row is not None and row.install:
        return f"{row.install} ({row.remedy})" if row.remedy else row.install
    names = (one.distribution,) if isinstance(one.distribution, str) else tuple(one.distribution)
    if not names or not names[0]:
        return ""
    asked = Requirement(names[0])
    below = [str(one) for one in asked.specifier if one.operator.startswith("<")]
    return f"pip install '{','.join([f'{asked.name}>={one.minimum}', *below])}'"


def _row_of(adapter: str) -> Framework | None:
    return next((row for row in TABLE if row.adapter == adapter), None)


def unmet(one: Adapter) -> str:
    """What the framework needs beside itself to work today, by its row's command, and is not here in that version."""
    row = _row_of(one.name)
    if row is None or not row.install:
        return ""
    words = row.install.partition(" install ")[2]
    found: list[str] = []
    for word in shlex.split(re.sub(r"--\S+ \S+", "", words)):
        needed = Requirement(word)
        version = _version(needed.name)
        if version is None and needed.specifier:  # without one, only some of the framework needs it
            found.append(f"{needed} is not installed")
        elif (
            version is not None
            and needed.name != one.package()
            and not needed.specifier.contains(version, prereleases=True)
        ):
            found.append(f"{needed.name} {version} is installed, and it needs {needed}")
    return "; ".join(found)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
