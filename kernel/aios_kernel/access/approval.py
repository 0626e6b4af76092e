"""Approvals: the question that a held call puts, the answer to it, and who may be asked."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Answer", "Approver", "Nobody", "Request"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One question: may this agent do this to these targets, with these arguments? Times are seconds since the epoch."""

    agent: str
    action: str
    targets: tuple[str, ...]
    arguments: Any = None
    why: str = ""
    rule: str = ""
    group: str = ""
    pid: int = 0
    asked: float = 0.0
    expires: float = 0.0
    id: str = field(default_factory=lambda: secrets.token_hex(6))

    @property
    def target(self) -> str:
        """The targets as one text."""
        return " + ".join(self.targets)

    @property
    def key(self) -> tuple[str, str, str]:
        """What a decision is remembered by: other arguments do not make another question."""
        return self.agent, self.action, self.target


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A decision: by whom, and for how many seconds it also counts for the same agent, action and target."""

    allowed: bool
    by: str = ""
    remember: float | None = None
    note: str = ""


class Approver(Protocol):
    """Whoever is asked. All methods may be called from any thread and must not wait."""

    def ask(self, request: Request, reply: Callable[[Answer], None]) -> None:
        """Put a question; `reply` takes the answer, from any thread, at any time; the first one counts."""
        ...

    def withdraw(self, request: Request) -> None:
        """Take note that the question has been answered otherwise, or has no call behind it any more."""
        ...

    def close(self) -> None:
        """Ask nothing more."""
        ...


class Nobody:
    """Nobody can be asked, so that the answer is no, at once."""

    def ask(self, request: Request, reply: Callable[[Answer], None]) -> None:
        """Say no."""
        reply(Answer(allowed=False, by="nobody", note="nobody is there who could be asked"))

    def withdraw(self, request: Request) -> None:
        """Nothing was asked."""

    def close(self) -> None:
        """Nothing is open."""
