"""Policy files: TOML or JSON, read strictly; whatever is wrong is said with its line, its key and the nearest known word."""

from __future__ import annotations

import difflib
import importlib
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, cast

from aios_kernel.access.actions import ACTIONS, TARGETS
from aios_kernel.access.rules import EFFECTS, IRREVERSIBLE, SETS, Effect, Policy, Rule
from aios_kernel.errors import ConfigError

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable

__all__ = ["load", "parse"]

TOP = ("default", "own", "groups", "rules", "irreversible", "destructive", "sandboxed")
RULE = ("name", "who", "do", "to", "effect", "unattended")
LARGEST = 4_000_000  # bytes; a file of this size is no policy that a person wrote


def load(path: str | os.PathLike[str]) -> Policy:
    """Read a policy file; raises `ConfigError` for one that is missing, cannot be read or says what nobody understands."""
    file = Path(path)
    try:
        if file.stat().st_size > LARGEST:
            raise ConfigError(f"{file} is larger than {LARGEST} bytes: this is no policy file")
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the policy file {file} cannot be read: {error}") from None
    return parse(text, str(file))


def parse(text: str, source: str = "policy.toml") -> Policy:
    """Read a policy; `source` is its file's name, whose ending says the form (JSON, else TOML)."""
    return _Reader(text, source).policy()


class _Reader:
    def __init__(self, text: str, source: str) -> None:
        self._lines = text.splitlines()
        self._source = source
        self._json = source.endswith(".json")
        self._data = self._parsed(text)

    def policy(self) -> Policy:
        data = self._data
        self._known(data, TOP, None)
        rules = data.get("rules", [])
        if not isinstance(rules, list) or not all(isinstance(one, Mapping) for one in cast("list[Any]", rules)):
            self._fail("rules are tables, each headed [[rules]]", "rules")
        groups = self._groups(data.get("groups", {}))
        return Policy(
            rules=tuple(
                self._rule(number, one, groups) for number, one in enumerate(cast("list[Mapping[str, Any]]", rules), 1)
            ),
            groups=groups,
            default=self._effect(data.get("default", "deny"), "default", None),
            own=self._flag(data.get("own", True), "own", None),
            irreversible=self._texts(data.get("irreversible", list(IRREVERSIBLE)), "irreversible", None),
            destructive=self._texts(data.get("destructive", []), "destructive", None),
            sandboxed=self._texts(data.get("sandboxed", []), "sandboxed", None),
            source=self._source,
        )

    def _rule(self, number: int, data: Mapping[str, Any], groups: Mapping[str, Any]) -> Rule:
        self._known(data, RULE, number)
        if "effect" not in data:
            self._fail(f"a rule needs an effect: {', '.join(EFFECTS)}", None, number)
        line = self._line(None, number)
        title = data.get("name", "")
        if not isinstance(title, str):
            self._fail("a name is text", "name", number)
        rule = Rule(
            effect=self._effect(data["effect"], "effect", number),
            who=self._texts(data.get("who", "*"), "who", number),
            do=self._texts(data.get("do", "*"), "do", number),
            to=self._texts(data.get("to", "*"), "to", number),
            unattended=self._flag(data.get("unattended", False), "unattended", number),
            name=f"rule {number}" + (f" {title!r}" if title else "") + (f" (line {line})" if line else ""),
        )
        self._meant(rule, number, groups)
        return rule

    def _meant(self, rule: Rule, number: int, groups: Mapping[str, Any]) -> None:  # noqa: C901 - one line per fault
        """A misspelt word would make a rule that never fits: refuse what cannot mean anything."""
        if rule.unattended and rule.effect != "allow":
            self._fail(
                "unattended says that nobody is asked, which is only of use with effect = 'allow'", "unattended", number
            )
        for one in rule.who:
            kind, colon, name = one.partition(":")
            if colon and kind == "group" and not re.search(r"[*?[]", name) and name not in groups:
                self._fail(f"no group {name!r}{_near(name, groups)}", "who", number)
            elif colon and kind not in {"group", "agent"}:
                self._fail(f"{one!r} is neither an agent nor 'group:NAME'", "who", number)
        for one in rule.do:
            kind = one.partition(".")[0]
            if one not in SETS and not re.search(r"[*?[]", kind) and (kind not in ACTIONS or "." not in one):
                self._fail(
                    f"no action {one!r}{_near(one, _words())}; actions are KIND.VERB with KIND one of {', '.join(ACTIONS)}",
                    "do",
                    number,
                )
        for one in rule.to:
            kind = one.partition(":")[0]
            if not re.search(r"[*?[]", kind) and kind not in TARGETS:
                self._fail(
                    f"no target {one!r}{_near(kind, TARGETS)}; targets begin with one of {', '.join(TARGETS)}",
                    "to",
                    number,
                )
            for name in re.findall(r"\{([^}]*)\}", one):
                if name != "agent":
                    self._fail(f"{{{name}}} in {one!r}: only {{agent}} stands for something", "to", number)

    def _groups(self, data: Any) -> dict[str, tuple[str, ...]]:
        if not isinstance(data, Mapping):
            self._fail("groups are a table of NAME = [members]", "groups")
        found = cast("Mapping[str, Any]", data)
        return {name: self._texts(members, name, None, at_least=0) for name, members in found.items()}

    def _effect(self, value: Any, key: str, rule: int | None) -> Effect:
        if value not in EFFECTS:
            self._fail(
                f"{value!r} is no effect{_near(str(value), EFFECTS)}; effects are {', '.join(EFFECTS)}", key, rule
            )
        return value

    def _flag(self, value: Any, key: str, rule: int | None) -> bool:
        if not isinstance(value, bool):
            self._fail(f"{key} is true or false, not {value!r}", key, rule)
        return value

    def _texts(self, value: Any, key: str, rule: int | None, at_least: int = 1) -> tuple[str, ...]:
        found = cast("list[Any]", [value] if isinstance(value, str) else value)
        if not isinstance(value, (str, list)) or not all(isinstance(one, str) and one for one in found):
            self._fail(f"{key} is a text or a list of texts, not {value!r}", key, rule)
        if rule is not None and len(found) < at_least:
            self._fail(f"{key} is empty, so the rule would never fit", key, rule)
        return tuple(found)

    def _known(self, data: Mapping[str, Any], known: Iterable[str], rule: int | None) -> None:
        names = list(known)
        for key in data:
            if key not in names:
                self._fail(f"unknown key {key!r}{_near(key, names)}; known: {', '.join(names)}", key, rule)

    def _fail(self, what: str, key: str | None, rule: int | None = None) -> NoReturn:
        line = self._line(key, rule)
        where = f"{self._source}:{line}" if line else self._source
        about = f"rule {rule}: " if rule is not None else ""
        raise ConfigError(f"{where}: {about}{what}")

    def _line(self, key: str | None, rule: int | None) -> int:
        """The line of a key in a rule or before all of them; 0 where it cannot be told."""
        if self._json:
            return 0
        heads = [number for number, line in enumerate(self._lines, 1) if re.match(r"\s*\[\[\s*rules\s*\]\]", line)]
        if rule is not None and rule > len(heads):  # written in another of TOML's forms
            return 0
        first = 1 if rule is None else heads[rule - 1]
        last = len(self._lines) if rule is None or rule == len(heads) else heads[rule] - 1
        for number in range(first, last + 1):
            line = self._lines[number - 1]
            if key is not None and re.match(rf"\s*(?:\[+\s*)?[\"']?{re.escape(key)}[\"']?\s*[\]=.]", line):
                return number
        return 0 if rule is None else first

    def _parsed(self, text: str) -> Mapping[str, Any]:
        try:
            found = json.loads(text, object_pairs_hook=_once) if self._json else _toml(self._source)(text)
        except ConfigError:
            raise
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"{self._source} is not valid {'JSON' if self._json else 'TOML'}: {error}") from None
        if not isinstance(found, Mapping):
            raise ConfigError(f"{self._source} is no table of settings")
        return cast("Mapping[str, Any]", found)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):  # JSON takes the last one without a word
        raise ValueError("a key is there twice")
    return found


def _words() -> tuple[str, ...]:
    return (
        *SETS,
        *(one for words in SETS.values() for one in words),
        *IRREVERSIBLE,
        "tool.run",
        "llm.chat",
        "llm.embedding",
    )


def _near(word: str, known: Iterable[str]) -> str:
    found = difflib.get_close_matches(word, list(known), n=1)
    return f" (did you mean {found[0]!r}?)" if found else ""


def _toml(source: str) -> Callable[[str], Mapping[str, Any]]:
    for name in ("tomllib", "tomli"):
        try:
            return importlib.import_module(name).loads
        except ModuleNotFoundError:
            continue
    raise ConfigError(f"{source} is TOML, which Python 3.10 cannot read by itself: pip install tomli, or write JSON")
