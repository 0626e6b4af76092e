"""Names to policies: "rr", "rr:quantum=32", "groups:between=fixed,within=(rr:quantum=8)", and third parties' names."""

from __future__ import annotations

import inspect
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from aios_kernel.errors import ConfigError, UnknownName
from aios_kernel.scheduling import policies
from aios_kernel.scheduling.policy import Policy

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = ["ENTRY_POINTS", "policy", "policy_names"]

ENTRY_POINTS = "aios.policies"
_OWN: dict[str, type[Policy]] = {
    cls.name: cls
    for cls in (
        policies.Classes,
        policies.FairShare,
        policies.Fifo,
        policies.Fixed,
        policies.Groups,
        policies.LeastAttained,
        policies.Priority,
        policies.RoundRobin,
    )
}
_WORDS: dict[str, Any] = {"true": True, "false": False, "none": None}


def policy(spec: Policy | type[Policy] | str) -> Policy:
    """Return the policy itself, or a new one of that class or spec (accounts are per resource, never shared).

    Raises `UnknownName` for a name nobody registered, `ConfigError` for options it does not take or a broken plug-in.
    """
    if isinstance(spec, Policy):
        return spec
    if isinstance(spec, str):
        name, _, options = spec.partition(":")
        return _build(_class(name.strip()), spec, _options(spec, options))
    if isinstance(spec, type) and issubclass(spec, Policy):  # pyright: ignore[reportUnnecessaryIsInstance]
        return _build(spec, spec.__name__, {})
    raise ConfigError(f"a policy is a name, a Policy or a subclass of it, not {spec!r}")


def policy_names() -> list[str]:
    """Return every name that `policy` knows, sorted; loads no plug-in."""
    return sorted({*_OWN, *_plugins()})


def _plugins() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=ENTRY_POINTS)}


def _class(name: str) -> type[Policy]:
    if name in _OWN:
        return _OWN[name]
    point = _plugins().get(name)
    if point is None:
        raise UnknownName("policy", name, policy_names())
    where = f"the policy {name!r} (entry point {point.value!r} of {ENTRY_POINTS})"
    try:
        loaded = point.load()
    except Exception as error:
        raise ConfigError(f"{where} cannot be loaded: {error!r}") from error
    if not (isinstance(loaded, type) and issubclass(loaded, Policy)):
        raise ConfigError(f"{where} is {loaded!r}, not a subclass of aios_kernel.scheduling.Policy")
    return loaded


def _build(cls: type[Policy], spec: str, options: dict[str, Any]) -> Policy:
    try:
        return cls(**options)
    except ConfigError:
        raise
    except Exception as error:
        takes = ", ".join(inspect.signature(cls).parameters) or "no options"
        raise ConfigError(f"cannot make the policy {spec!r}: {error}; it takes: {takes}") from error


def _options(spec: str, text: str) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for item in filter(None, (part.strip() for part in _split(text))):
        key, equals, value = item.partition("=")
        if not equals:
            raise ConfigError(f"in the policy {spec!r}, {item!r} is not of the form option=value")
        options[key.strip()] = _value(value.strip())
    return options


def _split(text: str) -> list[str]:
    """Split at the commas outside of parentheses."""
    parts, depth = [""], 0
    for char in text:
        depth += (char == "(") - (char == ")")
        if char == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += char
    return parts


def _value(text: str) -> Any:
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    for convert in (int, float):
        try:
            return convert(text)
        except ValueError:
            pass
    return text[1:-1] if text.startswith("(") and text.endswith(")") else text
