"""The access manager: a check before every call, a person's approval where one is needed, and a record of it all."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, ClassVar

from aios_kernel.abi import AccessCall
from aios_kernel.access.actions import Wanted, wanted
from aios_kernel.access.approval import Answer, Approver, Nobody, Request
from aios_kernel.access.audit import AuditLog
from aios_kernel.access.decisions import Decisions
from aios_kernel.access.desk import Desk, Question
from aios_kernel.access.reading import load
from aios_kernel.access.rules import Policy, Verdict, named
from aios_kernel.clock import SystemClock
from aios_kernel.errors import AccessDenied, ConfigError, CoreError
from aios_kernel.managers.base import Manager

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from aios_kernel.abi import Agent, Call
    from aios_kernel.access.actions import Exists, Marks
    from aios_kernel.clock import Clock
    from aios_kernel.holds import Hold
    from aios_kernel.process import Process

__all__ = ["AccessManager"]

TIMEOUT = 300.0  # seconds that a person has to answer
SEVERITY = {"allow": 0, "ask": 1, "deny": 2}
MEMBERS = ("access.add_privilege", "access.remove_privilege")


class AccessManager(Manager):
    """Decide about every call by a policy: `Kernel(checks=(access.check,), managers=[access])`.

    `policy` is a policy or its file. What it says to ask for is put to `approver` (by default nobody, which is no); a
    question that nobody answers in `timeout` seconds is answered no. `audit` takes every decision. `remember` is a file
    for decisions that are to outlive the process. `marks(call)` says of a tool call which of "destructive" and
    "sandboxed" it is, and `exists(call, agent)` whether a write overwrites something; without them, what is not known to
    be harmless is asked for. `now` tells seconds since the epoch and `clock` wakes up whoever waits too long.

    It fails closed: a policy that cannot be read, a decision that cannot be recorded and anything unforeseen refuse.
    Raises `ConfigError` for a policy file that cannot be used. Thread-safe.
    """

    kind: ClassVar[str] = "access"
    kinds: ClassVar[frozenset[str]] = frozenset({"access"})

    def __init__(
        self,
        policy: Policy | str | os.PathLike[str],
        *,
        name: str = "access",
        approver: Approver | None = None,
        audit: AuditLog | str | os.PathLike[str] | None = None,
        timeout: float = TIMEOUT,
        remember: str | os.PathLike[str] | None = None,
        marks: Marks | None = None,
        exists: Exists | None = None,
        now: Callable[[], float] = time.time,
        clock: Clock | None = None,
    ) -> None:
        super().__init__(name)
        self._path = None if isinstance(policy, Policy) else policy
        self._policy: Policy | None = policy if isinstance(policy, Policy) else load(policy)
        self._problem = ""
        self._marks, self._exists, self._now = marks, exists, now
        self._audit = audit if audit is None or isinstance(audit, AuditLog) else AuditLog(audit, now=now)
        self._clock, self._own_clock = clock or SystemClock(), clock is None
        self._approver, self._timeout = approver or Nobody(), timeout
        self._remember, self._decisions = remember, Decisions(remember, now=now)
        self._members: dict[tuple[str, str], float | None] = {}  # added while running: (group, agent) -> until
        self._desk = self._new_desk()

    def _new_desk(self) -> Desk:
        return Desk(self._approver, self._decisions, self._clock, self._timeout, self._answered)

    def learn(self, *, marks: Marks | None = None, exists: Exists | None = None) -> None:
        """Take what the kernel's other managers can tell; what was given at the start stays."""
        self._marks, self._exists = self._marks or marks, self._exists or exists

    # The check -----------------------------------------------------------------------------------------------------

    def check(self, call: Call, process: Process) -> Hold | None:
        """Allow a call, hold it while somebody is asked, or raise `AccessDenied`."""
        agent = process.agent
        try:
            want = wanted(call, agent.name, self.policy, self._marks, self._exists)
            verdict, target = self._decide(agent, want)
        except Exception as error:
            said = {**self._who(agent, process.pid), "action": call.label, "decision": "deny", "why": str(error)}
            self._record({**said, "rule": "error"})
            raise
        if isinstance(call, AccessCall) and not call.action.startswith("access."):
            return None  # it asks what would be decided
        told = {
            **self._who(agent, process.pid),
            "action": want.action,
            "target": " + ".join(want.targets),
            "rule": verdict.rule,
            "why": verdict.why,
        }
        if verdict.effect == "deny":
            self._record({**told, "decision": "deny", "arguments": want.arguments})
            raise AccessDenied(f"agent {agent.name!r} may not {want.action} {target!a}: {verdict.rule} ({verdict.why})")
        if verdict.effect == "allow":
            self._record({**told, "decision": "allow"})
            return None
        return self._asked(agent, process.pid, want, verdict, told)

    def _asked(self, agent: Agent, pid: int, want: Wanted, verdict: Verdict, told: dict[str, Any]) -> Hold | None:
        now = self._now()
        request = Request(
            agent=agent.name,
            action=want.action,
            targets=want.targets,
            arguments=want.arguments,
            why=verdict.why,
            rule=verdict.rule,
            group=agent.group,
            pid=pid,
            asked=now,
            expires=now + self._timeout,
        )
        known = self._decisions.find(request.key)
        if known is None:
            self._record({**told, "decision": "ask", "request": request.id, "arguments": want.arguments})
            return Question(self._desk, request)
        self._record(
            {
                **told,
                "decision": "allow" if known.allowed else "deny",
                "by": known.by,
                "note": known.note,
                "arguments": want.arguments,
            }
        )
        if not known.allowed:
            raise AccessDenied(
                f"agent {agent.name!r} may not {want.action} {request.target!a}: {known.by or 'somebody'} said no, which is remembered"
            )
        return None

    def _decide(self, agent: Agent, want: Wanted) -> tuple[Verdict, str]:
        """The most severe verdict of all targets."""
        groups = self.groups(agent)
        found = [
            (self.policy.decide(agent.name, want.action, target, groups=groups, irreversible=want.irreversible), target)
            for target in want.targets
        ]
        return max(found, key=lambda one: SEVERITY[one[0].effect])

    # For people and for other managers -----------------------------------------------------------------------------

    @property
    def policy(self) -> Policy:
        """The policy in force; raises `AccessDenied` while there is none that can be read."""
        if self._policy is None:
            raise AccessDenied(f"everything is refused until the policy can be read again: {self._problem}")
        return self._policy

    @property
    def waiting(self) -> list[Request]:
        """The questions that nobody has answered yet, oldest first."""
        return self._desk.requests

    def reload(self) -> None:
        """Read the policy file again; one that cannot be used refuses everything, and raises `ConfigError`."""
        if self._path is None:
            return
        try:
            self._policy = load(self._path)
        except ConfigError as error:
            self._policy, self._problem = None, str(error)
            self._record({"action": "access.reload", "decision": "error", "why": str(error)})
            raise
        self._record({"action": "access.reload", "decision": "allow", "rule": "operator"})

    def groups(self, agent: Agent) -> tuple[str, ...]:
        """The privilege groups of an agent: by the policy, and those it was added to since."""
        now = self._now()
        added = [
            group for (group, name), until in list(self._members.items()) if name == agent.name and _lasts(until, now)
        ]
        return tuple(dict.fromkeys((*self.policy.groups_of(agent.name, agent.group), *added)))

    def explain(self, agent: Agent, action: str, target: str) -> Verdict:
        """Say which rule decides about an action, and why; nothing is asked or recorded."""
        return self.policy.decide(agent.name, action, target, groups=self.groups(agent))

    def allow(self, agent: Agent, right: str, root: str, path: str) -> bool | None:
        """Tell the storage manager (its `allow`) what a rule says of a right to a file; None where none speaks of it."""
        kind, _, name = root.partition(":")
        target = f"file:{kind}:{named(name)}"
        action = {"read": "storage.read", "write": "storage.write", "delete": "storage.delete"}.get(
            right, f"storage.{right}"
        )
        verdict = self.policy.decide(
            agent.name, action, f"{target}/{path}" if path else target, groups=self.groups(agent), irreversible=""
        )
        if verdict.effect == "deny":
            # Silence of the rules leaves shares that an owner gave as they are.
            return False if verdict.matched else None
        return True if verdict.matched else None

    def allowed(self, process: Process, action: str, target: str) -> bool:
        """Tell another manager whether a call that passed the check may also do this; what had to be asked was."""
        groups = self.groups(process.agent)
        return self.policy.decide(process.name, action, target, groups=groups, irreversible="").effect != "deny"

    def answer(self, number: str, answer: Answer) -> bool:
        """Answer an open question of this manager by its id, whoever is asked it; False where it is not open."""
        request = next((one for one in self._desk.requests if one.id == number), None)
        if request is None or not self._desk.answer(request, answer):
            return False
        self._approver.withdraw(request)
        return True

    def forget(self) -> None:
        """Forget every remembered decision."""
        self._decisions.forget()

    # The manager ---------------------------------------------------------------------------------------------------

    def handle(self, call: Call, process: Process) -> Any:
        """Answer an access call: change a privilege, report an approval that was given, or say what would be decided."""
        if not isinstance(call, AccessCall):
            raise CoreError(f"a {call.kind} call is no access call")
        if call.action == "access.ask":
            return {"allowed": True}
        if call.action in MEMBERS:
            return self._change(call)
        about = call.arguments.get("agent") or process.name
        if about != process.name:
            raise AccessDenied(f"agent {process.name!r} may ask about itself only, not about {about!r}")
        verdict = self.explain(process.agent, call.action, call.target)
        return {"effect": verdict.effect, "rule": verdict.rule, "why": verdict.why, "matched": list(verdict.matched)}

    def _change(self, call: AccessCall) -> dict[str, Any]:
        group, name, seconds = (
            call.target.removeprefix("group:"),
            call.arguments.get("agent"),
            call.arguments.get("seconds"),
        )
        if group not in self.policy.groups or not isinstance(name, str) or not name:
            known = ", ".join(self.policy.groups) or "none"
            raise CoreError(f"{call.label} takes a target 'group:NAME' (known: {known}) and the argument 'agent'")
        if seconds is not None and (isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or seconds <= 0):
            raise CoreError(f"'seconds' is a number above 0, not {seconds!r}")
        if call.action == MEMBERS[0]:
            self._members[group, name] = None if seconds is None else self._now() + float(seconds)
        elif self._members.pop((group, name), ...) is ...:
            raise CoreError(f"agent {name!r} was not added to {group!r} while running; members by the policy stay")
        return {"group": group, "agent": name, "member": call.action == MEMBERS[0]}

    def after_fork(self) -> None:
        """Begin afresh in a forked child: no questions are open."""
        super().after_fork()
        if self._own_clock:
            self._clock = SystemClock()
        if self._audit is not None:
            self._audit.after_fork()
        self._decisions = Decisions(self._remember, now=self._now)
        renew: Any = getattr(self._approver, "after_fork", None)
        if renew is not None:
            renew()
        self._desk = self._new_desk()

    def close(self) -> None:
        """Answer no to every open question, and take no more calls."""
        super().close()
        self._desk.close()
        if self._own_clock:
            self._clock.close()

    # The record ----------------------------------------------------------------------------------------------------

    def _answered(self, request: Request, answer: Answer) -> None:
        told = {"agent": request.agent, "pid": request.pid, "action": request.action, "target": request.target}
        decision = {"decision": "allow" if answer.allowed else "deny", "by": answer.by, "note": answer.note}
        self._record({**told, **decision, "remember": answer.remember, "request": request.id})

    def _record(self, entry: dict[str, Any]) -> None:
        if self._audit is not None:
            self._audit.append(entry)

    def _who(self, agent: Agent, pid: int) -> dict[str, Any]:
        return {"agent": agent.name, "group": agent.group, "framework": agent.framework, "pid": pid}


def _lasts(until: float | None, now: float) -> bool:
    return until is None or now < until
