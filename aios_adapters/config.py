"""What `enable()` was asked for: keywords before environment variables before the configuration file."""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, cast

from aios_kernel.errors import ConfigError, UnknownName

__all__ = ["DISABLE", "ENVIRONMENT", "SECTION", "Settings", "disabled", "gather"]

SECTION = "aios-adapters"  # [tool.aios-adapters] of pyproject.toml; the whole of aios.toml
DISABLE = "AIOS_DISABLE"  # 1: enable() does nothing
ON_LOSS = ("raise", "run")
JOURNAL_MODES = ("record", "replay", "strict", "refresh")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that can be set; each field is a keyword of `enable()` and a key of the file."""

    llm: Any = None
    only: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    strict: bool = False
    policy: Any = "fifo"
    policies: Mapping[str, Any] = field(default_factory=dict[str, Any])
    limits: Mapping[str, Mapping[str, float]] = field(default_factory=dict[str, Mapping[str, float]])
    trace: str | None = None
    record_content: bool = False
    budgets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])
    prices: Mapping[str, Any] = field(default_factory=dict[str, Any])
    access: Any = None
    audit: str | None = None
    data: str | None = None
    memory: bool = False
    embedder: Any = None
    openai_legacy: bool = False
    journal: str | None = None
    journal_mode: str = "record"
    journal_idempotent: tuple[str, ...] = ()
    kernel: str | None = None
    on_kernel_loss: str = "raise"


def _flag(text: str) -> bool:
    value = text.strip().lower()
    if value in {"1", "true", "yes", "on"}:
        return True
    if value in {"", "0", "false", "no", "off"}:
        return False
    raise ValueError("use 1 or 0")


def _names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _limits(text: str) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for part in filter(None, (one.strip() for one in text.split(";"))):
        pattern, _, values = part.rpartition(":")  # the pattern may hold colons
        pairs = [value.partition("=") for value in values.split(",")]
        if not pattern or not all(key.strip() and number.strip() for key, _, number in pairs):
            raise ValueError(f"{part!r} is not of the form RESOURCE:KEY=N,KEY=N")
        found[pattern.strip()] = {key.strip(): float(number) for key, _, number in pairs}
    return found


def _budgets(text: str) -> dict[str, dict[str, Any]]:
    """What `--budget` is given: scopes separated by semicolons, "*" where none is named."""
    found: dict[str, dict[str, Any]] = {}
    for part in filter(None, (one.strip() for one in text.split(";"))):
        scope, _, values = part.rpartition(":")
        pairs = [value.partition("=") for value in values.split(",")]
        if not all(key.strip() and value.strip() for key, _, value in pairs):
            raise ValueError(f"{part!r} is not of the form SCOPE:KEY=N,KEY=N")
        words = {"then", "reserve"}
        given = {key.strip(): value.strip() if key.strip() in words else float(value) for key, _, value in pairs}
        found.setdefault(scope.strip() or "*", {}).update(given)
    return found


#: Environment variable -> setting, how its text is read, what it means.
ENVIRONMENT: dict[str, tuple[str, Callable[[str], Any], str]] = {
    "AIOS_LLM": ("llm", str, "serve LLM calls from this core instead of the program's own endpoint"),
    "AIOS_ONLY": ("only", _names, "adapters to enable, separated by commas"),
    "AIOS_EXCLUDE": ("exclude", _names, "adapters to leave out, separated by commas"),
    "AIOS_STRICT": ("strict", _flag, "1: raise where an adapter would be skipped"),
    "AIOS_POLICY": ("policy", str, "scheduling policy of every resource"),
    "AIOS_LIMITS": (
        "limits",
        _limits,
        "limits by resource pattern, as in llm:*:in_flight=4,rpm=60;tool:search:in_flight=1",
    ),
    "AIOS_BUDGETS": (
        "budgets",
        _budgets,
        "budgets by scope, as in *:tokens=10000,then=pause;agent:ann:calls=5;kernel:money=1.5",
    ),
    "AIOS_ACCESS": (
        "access",
        str,
        "policy file that says which agent may do what to whose memory, files, tools and models",
    ),
    "AIOS_AUDIT": ("audit", str, "file that takes down what the access manager allowed and denied"),
    "AIOS_DATA": (
        "data",
        str,
        "folder below which the kernel keeps memory and files of agents, and its tools their results",
    ),
    "AIOS_EMBEDDER": (
        "embedder",
        str,
        "what memories are found by besides their words: lexical, minilm or kernel:MODEL",
    ),
    "AIOS_MEMORY": ("memory", _flag, "1: what frameworks' own memories keep is kept in the kernel's memory too"),
    "AIOS_KERNEL": ("kernel", str, "use the kernel of another process: unix:PATH, tcp:HOST:PORT or auto"),
    "AIOS_ON_KERNEL_LOSS": ("on_kernel_loss", str, "run: make calls without a kernel while that one cannot be reached"),
    "AIOS_JOURNAL": ("journal", str, "file that keeps what calls were answered, and answers them when it is run again"),
    "AIOS_JOURNAL_MODE": ("journal_mode", str, "record (and answer), replay, strict or refresh"),
    "AIOS_JOURNAL_IDEMPOTENT": ("journal_idempotent", _names, "tools that may run again, separated by commas"),
    "AIOS_TRACE": ("trace", str, "file for a Chrome trace of every syscall"),
    "AIOS_RECORD_CONTENT": ("record_content", _flag, "1: events carry prompts and arguments"),
    "AIOS_OPENAI_LEGACY": ("openai_legacy", _flag, "1: reinstate the calls of the openai SDK's 0.x on later versions"),
}


def gather(given: Mapping[str, Any], environ: Mapping[str, str] | None = None) -> Settings:
    """Put the settings together, by this process's environment or another's; raises `UnknownName` for a key that does not exist, `ConfigError` for a bad value."""
    environ = os.environ if environ is None else environ
    values = {**_from_file(Path.cwd()), **_from_environment(environ), **given}
    return Settings(**{key: _shaped(key, value) for key, value in values.items()})


def disabled() -> bool:
    """Whether the environment switches us off."""
    return _read(DISABLE, _flag, os.environ.get(DISABLE, ""))


def _shaped(key: str, value: Any) -> Any:
    """One name may be written without a list, a path as a path."""
    if key in {"only", "exclude", "journal_idempotent"}:
        return _names(value) if isinstance(value, str) else tuple(cast("Sequence[str]", value or ()))
    if key in {"policies", "limits", "budgets", "prices"}:
        return dict(cast("Mapping[str, Any]", value or {}))
    if key == "journal_mode" and value not in JOURNAL_MODES:
        raise UnknownName("journal_mode", value, JOURNAL_MODES)
    if key == "on_kernel_loss" and value not in ON_LOSS:
        raise UnknownName("on_kernel_loss", value, ON_LOSS)
    if key == "policy" and value is None:
        return "fifo"
    if key in {"trace", "journal", "data"} and value is not None:
        return os.fspath(cast("str", value))
    return value


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    found = ((name, environ.get(name)) for name in ENVIRONMENT)
    return {ENVIRONMENT[name][0]: _read(name, ENVIRONMENT[name][1], text) for name, text in found if text}


def _read(name: str, parse: Callable[[str], Any], text: str) -> Any:
    try:
        return parse(text)
    except ValueError as error:
        raise ConfigError(f"environment variable {name} is {text!r}: {error}") from None


def _from_file(folder: Path) -> dict[str, Any]:
    """The nearest file that configures us, in the folder or above it."""
    for place in (folder, *folder.parents):
        for file in (place / "aios.toml", place / "pyproject.toml"):
            table = _table(file)
            if table is not None:
                return _checked(table, file)
    return {}


def _table(file: Path) -> Mapping[str, Any] | None:
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    if file.name == "aios.toml":
        return _parse(text, file)
    if not re.search(rf"""tool\s*\.\s*["']?{SECTION}""", text):  # most pyproject.toml files: nothing to parse
        return None
    return cast("Mapping[str, Any] | None", _parse(text, file).get("tool", {}).get(SECTION))


def _parse(text: str, file: Path) -> Mapping[str, Any]:
    try:
        return _toml(file)(text)
    except ValueError as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"{file} is not valid TOML: {error}") from None


def _toml(file: Path) -> Callable[[str], Mapping[str, Any]]:
    for name in ("tomllib", "tomli"):
        try:
            return importlib.import_module(name).loads
        except ModuleNotFoundError:
            continue
    raise ConfigError(f"{file} configures aios-adapters, but Python 3.10 cannot read TOML by itself: pip install tomli")


def _checked(table: Mapping[str, Any], file: Path) -> dict[str, Any]:
    known = {one.name for one in fields(Settings)}
    for key in table:
        if key.replace("-", "_") not in known:
            raise UnknownName(f"key in {file}", key, known)
    return {key.replace("-", "_"): value for key, value in table.items()}
