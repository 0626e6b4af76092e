"""Rules: who may do what to whose memory, files, tools and cores, and which rule decides."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = ["EFFECTS", "IRREVERSIBLE", "SETS", "Effect", "Policy", "Rule", "Verdict", "named"]

Effect = Literal["allow", "ask", "deny"]
MOST_KNOWN = 4096  # verdicts kept, since agents do the same again and again
EFFECTS: tuple[Effect, ...] = ("allow", "ask", "deny")
#: What cannot be taken back, where a policy does not say otherwise. Tools that are marked destructive come on top.
IRREVERSIBLE = (
    "memory.update", "memory.remove", "storage.write", "storage.rollback", "storage.delete", "storage.share",
    "code.run", "access.add_privilege", "access.remove_privilege", "access.ask",
)  # fmt: skip
#: Words for several actions at once.
SETS: Mapping[str, tuple[str, ...]] = {
    "reads": (
        "memory.get", "memory.retrieve", "memory.list",
        "storage.read", "storage.retrieve", "storage.list", "storage.history", "storage.mount", "storage.shares",
    ),
    "writes": (
        "memory.add", "memory.update", "memory.sync",
        "storage.create_file", "storage.create_directory", "storage.write", "storage.rollback",
    ),
    "deletes": ("memory.remove", "storage.delete"),
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule. `who`, `do` and `to` are patterns of which one each has to fit; `name` is how people are told of it.

    `unattended` lets also what cannot be taken back pass without asking a person.
    """

    effect: Effect
    who: tuple[str, ...] = ("*",)
    do: tuple[str, ...] = ("*",)
    to: tuple[str, ...] = ("*",)
    unattended: bool = False
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a policy says of one action on one target, by which rule, and why; `matched` names every rule that fits."""

    effect: Effect
    rule: str
    why: str
    matched: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Rules in order, privilege groups and their members, and what holds where no rule fits.

    A rule that denies wins over all others; else the last rule that fits decides, so that what is more specific is said
    later. With `own`, an agent may do everything to its own memory and files. What is `irreversible` is asked for all the
    same, unless the rule that decides is `unattended`. `destructive` and `sandboxed` are patterns of tools' names.
    """

    rules: tuple[Rule, ...] = ()
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, "tuple[str, ...]"])
    default: Effect = "deny"
    own: bool = True
    irreversible: tuple[str, ...] = IRREVERSIBLE
    destructive: tuple[str, ...] = ()
    sandboxed: tuple[str, ...] = ()
    source: str = ""
    _known: dict[Any, Verdict] = field(default_factory=dict[Any, "Verdict"], compare=False, repr=False)

    def groups_of(self, agent: str, declared: str = "") -> tuple[str, ...]:
        """The privilege groups of an agent; `declared` is the scheduling group that its program gives it."""
        return tuple(name for name, members in self.groups.items() if _member(members, agent, declared))

    def decide(
        self, agent: str, action: str, target: str, *, groups: tuple[str, ...] = (), irreversible: str | None = None
    ) -> Verdict:
        """Say what holds; `irreversible` is why the action cannot be taken back ("": it can), None to go by its name."""
        asked = (agent, action, target, groups, irreversible)
        found = self._known.get(asked)
        if found is None:
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            found = self._known[asked] = self._decided(agent, action, target, groups, irreversible)
        return found

    def _decided(
        self, agent: str, action: str, target: str, groups: tuple[str, ...], irreversible: str | None
    ) -> Verdict:
        fitting = [rule for rule in self._all if _fits(rule, agent, groups, action, target)]
        matched = tuple(rule.name for rule in fitting)
        denying = [rule for rule in fitting if rule.effect == "deny"]
        if denying:
            return Verdict(effect="deny", rule=denying[-1].name, why="a rule that denies wins", matched=matched)
        if not fitting:
            found = Rule(effect=self.default, name="default")
            why = f"no rule fits, and the default is {self.default!r}"
        else:
            found = fitting[-1]
            why = "the only rule that fits" if len(fitting) == 1 else "the last rule that fits decides"
        reason = self.reason(action) if irreversible is None else irreversible
        if found.effect == "allow" and reason and not found.unattended:
            why = f"{why}, but {reason}, and the rule is not unattended"
            return Verdict(effect="ask", rule=found.name, why=why, matched=matched)
        return Verdict(effect=found.effect, rule=found.name, why=why, matched=matched)

    def reason(self, action: str) -> str:
        """Why an action cannot be taken back, going by its name alone; "" where it can."""
        return f"{action} cannot be taken back" if _any(self.irreversible, action) else ""

    @property
    def _all(self) -> tuple[Rule, ...]:
        return (_OWN, *self.rules) if self.own else self.rules


_OWN = Rule(
    effect="allow",
    do=("memory.*", "storage.*"),
    to=("memory:{agent}", "file:agent:{agent}/*", "file:agent:{agent}", "collection:*", "share:*"),
    name="own (an agent's own memory and files)",
)


def named(name: str) -> str:
    """A name as targets have it: a slash in it does not begin another part, and an agent cannot look like a group."""
    name = name.replace("%", "%25").replace("/", "%2F")
    return name.replace(":", "%3A", 1) if name.startswith(("agent:", "group:")) else name


def _any(patterns: tuple[str, ...], text: str) -> bool:
    return any(fnmatch.fnmatchcase(text, pattern) for pattern in patterns)


def _member(members: tuple[str, ...], agent: str, declared: str) -> bool:
    for member in members:
        kind, colon, name = member.partition(":")
        if colon and kind == "group":
            if declared and (fnmatch.fnmatchcase(declared, name) or declared.startswith(f"{name}/")):
                return True
        elif fnmatch.fnmatchcase(agent, name if colon and kind == "agent" else member):
            return True
    return False


def _fits(rule: Rule, agent: str, groups: tuple[str, ...], action: str, target: str) -> bool:
    return _does(rule.do, action) and _is(rule.who, agent, groups) and _reaches(rule.to, agent, target)


def _does(do: tuple[str, ...], action: str) -> bool:
    return any(action in SETS[one] if one in SETS else fnmatch.fnmatchcase(action, one) for one in do)


def _is(who: tuple[str, ...], agent: str, groups: tuple[str, ...]) -> bool:
    for one in who:
        kind, colon, name = one.partition(":")
        if colon and kind == "group":
            if any(fnmatch.fnmatchcase(group, name) for group in groups):
                return True
        elif fnmatch.fnmatchcase(agent, name if colon and kind == "agent" else one):
            return True
    return False


def _reaches(to: tuple[str, ...], agent: str, target: str) -> bool:
    mine = re.sub(r"([*?[])", r"[\1]", named(agent))  # a name is no pattern
    return any(fnmatch.fnmatchcase(target, pattern.replace("{agent}", mine)) for pattern in to)
