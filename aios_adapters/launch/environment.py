"""What is handed down to the program and its children: settings, and the folder that Python looks into as it starts."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

__all__ = ["LAUNCH", "PROBE", "ROOT", "SITE", "SUMMARY", "environment"]

#: The folder of our `sitecustomize`.
SITE = str(Path(__file__).parent / "site")
LAUNCH = "AIOS_LAUNCH"  # 1: enable as Python starts
PROBE = "AIOS_LAUNCH_PROBE"  # 1: only look whether that would work
ROOT = "AIOS_LAUNCH_ROOT"  # the pid of the program itself, to tell it from its children
SUMMARY = "AIOS_LAUNCH_SUMMARY"  # 1: the program says at its end, on stderr, what the kernel did


def environment(before: Mapping[str, str], settings: Mapping[str, str]) -> dict[str, str]:
    """The program's environment: as it was, with the settings, and with our folder first in PYTHONPATH."""
    path = [entry for entry in before.get("PYTHONPATH", "").split(os.pathsep) if entry != SITE]
    # An empty PYTHONPATH is like none; an empty entry in one that is not means the working directory.
    entries = [SITE, *path] if any(path) else [SITE]
    return {**before, **settings, "PYTHONPATH": os.pathsep.join(entries), LAUNCH: "1"}
