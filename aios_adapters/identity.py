"""Identity: which agent a call belongs to. Explicit first, then what the frameworks know, then the root agent."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from contextvars import Token
from dataclasses import replace
from types import TracebackType
from typing import Any, TypeVar, cast

from aios_kernel.abi import Agent
from aios_kernel.identity import current_agent

__all__ = ["AgentScope", "Resolver", "agent", "current", "framework_agent"]

F = TypeVar("F", bound=Callable[..., Any])
Resolver = Callable[[], "Agent | None"]


class AgentScope:
    """Make an agent the current one inside `with`; also a decorator of functions and coroutine functions."""

    def __init__(
        self, name: str, settings: dict[str, Any], *, framework: str = "", instance: str = "", unique: bool = False
    ) -> None:
        self._name, self._framework, self._instance, self._unique = name, framework, instance, unique
        self._settings = {key: value for key, value in settings.items() if value is not None}
        self._tokens: list[Token[Agent | None]] = []
        self._agent()  # a wrong priority fails here, not at the first call

    def __enter__(self) -> Agent:
        agent = self._agent()
        self._tokens.append(current_agent.set(agent))
        return agent

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        token = self._tokens.pop()
        try:
            current_agent.reset(token)
        except ValueError:  # closed from another context: there is nothing of ours to take back
            return

    def __call__(self, function: F) -> F:
        """Run every call of `function` as this agent."""
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def arun(*args: Any, **kwargs: Any) -> Any:
                with self._again():
                    return await function(*args, **kwargs)

            return cast("F", arun)

        @functools.wraps(function)
        def run(*args: Any, **kwargs: Any) -> Any:
            with self._again():
                return function(*args, **kwargs)

        return cast("F", run)

    def _again(self) -> AgentScope:
        """A scope for one call: calls overlap, and each has a token of its own."""
        return AgentScope(
            self._name, self._settings, framework=self._framework, instance=self._instance, unique=self._unique
        )

    def _agent(self) -> Agent:
        """The agent; what is not said comes from the agent around it."""
        around = current_agent.get()
        if around is None:
            return Agent(name=self._name, framework=self._framework, instance=self._instance, **self._settings)
        instance = self._instance_within(around) if self._framework else self._instance
        return replace(around, name=self._name, framework=self._framework, instance=instance, **self._settings)

    def _instance_within(self, around: Agent) -> str:
        """Two framework agents of one name below different explicit agents are two; entering one again is not."""
        same = around.framework == self._framework and around.name == self._name
        if same and around.instance.endswith(self._instance):
            return around.instance
        if self._unique and around.framework == self._framework:
            return "/".join(part for part in (around.instance.rpartition("/")[0], self._instance) if part)
        outer = (around.instance,) if around.framework else (around.instance, around.name)
        return "/".join(part for part in (*outer, self._instance) if part)


def agent(
    name: str,
    *,
    priority: int | None = None,
    group: str | None = None,
    weight: float | None = None,
    policy: str | None = None,
    instance: str = "",
) -> AgentScope:
    """Give the calls inside `with` to an agent, over whatever the framework calls it.

    A smaller `priority` is more urgent, `weight` is the share under weighted policies, `policy` the agent's scheduling
    class. What is left out comes from the agent around this one. Raises `ValueError` for a priority below 1.
    """
    settings = {"priority": priority, "group": group, "weight": weight, "policy": policy}
    return AgentScope(name, settings, instance=instance)


def framework_agent(name: str, *, framework: str, instance: str = "", unique: bool = False) -> AgentScope:
    """Give the calls inside `with` to an agent that a framework names; it inherits what is around it.

    A `unique` instance, without a slash, is the agent's own wherever it runs: an agent of the same framework around it
    does not make it another one.
    """
    return AgentScope(name, {}, framework=framework, instance=instance, unique=unique)


def current(resolvers: tuple[Resolver, ...] = ()) -> Agent | None:
    """The agent of this context; None for the root agent. A resolver that raises is passed over."""
    found = current_agent.get()
    if found is not None:
        return found
    for resolve in resolvers:
        try:
            found = resolve()
        except Exception:  # noqa: BLE001, S112 - a framework's internals may be anything; identity is not worth a failure
            continue
        if found is not None:
            return found
    return None
