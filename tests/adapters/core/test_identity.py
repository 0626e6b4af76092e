"""Whose call it is: explicit agents, framework agents, and the way into threads."""

from __future__ import annotations

import asyncio
import inspect
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

import aios_adapters
from aios_adapters import identity
from aios_kernel.abi import Agent
from aios_kernel.identity import current_agent


def name() -> str:
    agent = identity.current()
    return agent.name if agent else "root"


def test_explicit_comes_before_resolvers_and_root():
    """An explicit agent wins over what a framework says, which wins over the root; a broken resolver is passed over."""

    def broken():
        raise LookupError

    resolvers = (broken, lambda: None, lambda: Agent(name="framework"))
    assert identity.current() is None
    assert identity.current(resolvers).name == "framework"
    with aios_adapters.agent("mine"):
        assert identity.current(resolvers).name == "mine"
    assert identity.current() is None


def test_inner_agents_inherit_what_they_do_not_say():
    """Group, priority, weight and policy come from the agent around; the name does not."""
    with (
        aios_adapters.agent("outer", priority=2, group="g", weight=3.0, policy="fifo"),
        aios_adapters.agent("inner", priority=5) as agent,
    ):
        assert agent == Agent(name="inner", priority=5, group="g", weight=3.0, policy="fifo")
    with (
        aios_adapters.agent("alice", group="g", priority=2),
        identity.framework_agent("writer", framework="f") as agent,
    ):
        assert (agent.name, agent.group, agent.priority, agent.framework) == ("writer", "g", 2, "f")


def test_framework_agents_of_one_name_below_different_agents_differ():
    """Two teams with a writer each have two writers; entering the writer again is the same one."""

    def writer():
        with identity.framework_agent("writer", framework="f") as agent:
            return agent

    with aios_adapters.agent("alice"):
        first = writer()
    with aios_adapters.agent("bob"):
        second = writer()
    assert first != second
    with aios_adapters.agent("alice"), identity.framework_agent("writer", framework="f"):
        assert writer() == first


def test_scopes_overlap_and_decorate():
    """A decorated function or coroutine runs as the agent, each call with a scope of its own."""
    scope = aios_adapters.agent("decorated")

    @scope
    def plain():
        return name()

    @scope
    async def coroutine():
        await asyncio.sleep(0)
        return name()

    async def both():
        return await asyncio.gather(coroutine(), coroutine())

    assert plain() == "decorated"
    assert inspect.iscoroutinefunction(coroutine)
    assert asyncio.run(both()) == ["decorated", "decorated"]
    with scope, scope:
        assert name() == "decorated"
    assert name() == "root"


@pytest.mark.parametrize("settings", [{"priority": 0}, {"weight": 0.0}])
def test_wrong_settings_fail_at_once(settings):
    """A priority or weight that cannot be is refused where it is written."""
    with pytest.raises(ValueError, match="agent 'x'"):
        aios_adapters.agent("x", **settings)


# Threads


class Named(threading.Thread):
    """A program's own thread class."""

    def run(self):
        self.seen = name()


async def in_executor():
    return await asyncio.get_running_loop().run_in_executor(None, name)


def in_thread():
    thread = Named()
    thread.start()
    thread.join()
    assert "run" not in vars(thread)
    return thread.seen


def in_pool():
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(name).result()


WAYS = [in_thread, in_pool, lambda: asyncio.run(in_executor()), lambda: asyncio.run(asyncio.to_thread(name))]


@pytest.mark.parametrize("way", WAYS)
def test_identity_crosses_into_threads(way):
    """Threads, pools and executors run as the agent that started them; without us they forget."""
    aios_adapters.enable(only="context")
    with aios_adapters.agent("mine"):
        assert way() == "mine"
    assert way() == "root"


def test_a_pools_threads_keep_nothing():
    """Each task brings its own agent; the thread has none of its own."""
    aios_adapters.enable(only="context")
    with ThreadPoolExecutor(1) as pool:
        with aios_adapters.agent("first"):
            assert pool.submit(name).result() == "first"
        assert pool.submit(name).result() == "root"
        with aios_adapters.agent("second"):
            assert list(pool.map(lambda _: name(), range(2))) == ["second", "second"]
            with pytest.raises(ZeroDivisionError):
                pool.submit(lambda: 1 / 0).result()


def test_threads_behave_as_ever():
    """A second start raises, a run put on the object is kept, and keyword arguments arrive."""
    aios_adapters.enable(only="context")
    with aios_adapters.agent("mine"):
        thread = threading.Thread(target=lambda **kw: kw, kwargs={"fn": 1, "self": 2})
        own = thread.run
        thread.run = own
        thread.start()
        thread.join()
        assert vars(thread)["run"] is own
        with pytest.raises(RuntimeError):
            thread.start()
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(lambda **kw: kw, fn=1, self=2).result() == {"fn": 1, "self": 2}
    assert current_agent.get() is None
