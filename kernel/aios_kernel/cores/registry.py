"""Cores by name: built-in ones, those of the entry-point group `aios.cores`, and core objects as they are."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from aios_kernel.cores.base import Core
from aios_kernel.errors import ConfigError, UnknownName

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["core", "core_names"]

GROUP = "aios.cores"
# name -> (module, attribute): imported only when asked for, since torch alone costs seconds.
BUILT_IN = {
    "embedded": ("aios_kernel.cores.torch", "TorchCore"),
    "torch": ("aios_kernel.cores.torch", "TorchCore"),
    "encoder": ("aios_kernel.cores.torch", "EncoderCore"),
    "openai": ("aios_kernel.cores.openai_compatible", "OpenAICore"),
}


def core_names() -> list[str]:
    """Names that `core` knows."""
    return sorted({*BUILT_IN, *(entry.name for entry in entry_points(group=GROUP))})


def core(spec: Core | str) -> Core:
    """Return the core for a spec: an object, "embedded", "torch:MODEL", "encoder:MODEL", "openai:BASE_URL", or an entry point's name.

    What follows the colon is the first argument of the core's class. Raises `UnknownName`, `ConfigError`, and
    `ModelLoadError` from the core itself.
    """
    if isinstance(spec, Core):
        return spec
    if not isinstance(spec, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        message = f"a core is named by a string or is a Core object, not {type(spec).__name__}"
        raise ConfigError(message)
    name, _, argument = spec.partition(":")
    made = _factory(name)(*([argument] if argument else []))
    if made.name == name or not argument:
        made.name = spec
    return made


def _factory(name: str) -> Callable[..., Core]:
    if name in BUILT_IN:
        module, attribute = BUILT_IN[name]
        return getattr(import_module(module), attribute)
    for entry in entry_points(group=GROUP, name=name):
        try:
            found: Any = entry.load()
        except Exception as error:
            message = f"the core {name!r} of entry point {entry.value!r} cannot be loaded: {error!r}"
            raise ConfigError(message) from error
        return found
    raise UnknownName("core", name, core_names(), 'Use "torch:MODEL" or "openai:BASE_URL" for a model or a server.')
