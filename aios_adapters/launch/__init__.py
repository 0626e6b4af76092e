"""The launcher: start a Python program, unchanged, with the kernel under it and under its children."""

from aios_adapters.launch.environment import SITE, environment
from aios_adapters.launch.target import Target, probe, resolve

__all__ = ["SITE", "Target", "environment", "probe", "resolve"]
