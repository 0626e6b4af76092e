"""Who is calling: each role object, at the same time, of the same name or profile, nested, and in teams."""

from __future__ import annotations

import asyncio
import gc

import pytest
from metagpt.actions import Action
from metagpt.roles import Role

import aios_adapters
from tests.adapters.metagpt.programs import Coder, context, message, team
from tests.support.columns import IDENTITY, MEMORY, TOOLS

pytestmark = pytest.mark.shows(IDENTITY)


def callers(kernel, kind="llm"):
    """How many calls each agent made, by name."""
    return sorted((row["name"], row["syscalls"][kind]) for row in kernel.status().agents if kind in row["syscalls"])


@pytest.mark.shows(TOOLS, MEMORY)
async def test_team(endpoint, enabled):
    """In a team, each role's calls, code and memory are its own."""
    kernel = enabled()
    await team(endpoint.base_url)
    assert callers(kernel) == [("Alice", 1), ("Bob", 1), ("Carol", 1)]
    assert callers(kernel, "tool") == [("Bob", 1)]
    assert {name for name, _ in callers(kernel, "memory")} >= {"Alice", "Bob", "Carol"}


async def test_roles_of_one_name_and_profile(endpoint, enabled):
    """Roles alike in everything are as many agents, also when they run at the same time."""
    kernel = enabled()
    roles = [Coder(context=context(endpoint.base_url)) for _ in range(4)]
    await asyncio.gather(*[one.run("go") for one in roles])
    await roles[0].run("again")
    assert callers(kernel) == [("Alice", 1), ("Alice", 1), ("Alice", 1), ("Alice", 2)]


async def test_concurrent_teams(endpoint, enabled):
    """Two teams at a time have roles of the same names: six agents, one call each."""
    kernel = enabled()
    await asyncio.gather(team(endpoint.base_url), team(endpoint.base_url))
    assert callers(kernel) == [("Alice", 1), ("Alice", 1), ("Bob", 1), ("Bob", 1), ("Carol", 1), ("Carol", 1)]


async def test_a_role_that_is_gone_is_nobody_elses(endpoint, enabled):
    """A role made where another was collected is another agent."""
    kernel = enabled()
    for _ in range(3):
        await Coder(context=context(endpoint.base_url)).run("go")
        gc.collect()
    assert callers(kernel) == [("Alice", 1)] * 3


async def test_nested(endpoint, enabled):
    """A role that runs another one inside its action: each call is whose it is, and the inner role stays itself."""

    class Ask(Action):
        name: str = "Ask"
        helper: Role

        async def run(self, history):
            await self._aask("first")
            reply = await self.helper.run(message("inner"))
            await self._aask("second")
            return reply.content

    kernel = enabled()
    shared = context(endpoint.base_url)
    helper = Coder(context=shared)
    boss = Role(name="Boss", profile="Boss", context=shared, actions=[Ask(helper=helper, context=shared)])
    await boss.run("go")
    await helper.run("again")
    assert callers(kernel) == [("Alice", 2), ("Boss", 2)]


async def test_single_steps(endpoint, enabled):
    """`think` and `act` called by themselves are the role's too, and a role without a name has its profile's."""
    kernel = enabled()
    one = Coder(name="", context=context(endpoint.base_url))
    one.put_message(message("go"))
    await one.think()
    await one.act()
    assert callers(kernel) == [("Coder", 1)]


async def test_explicit_settings_are_inherited(endpoint, enabled):
    """Inside agent(), a role keeps its name and takes group and priority from around it."""
    kernel = enabled()
    with aios_adapters.agent("job", group="night", priority=3):
        await Coder(context=context(endpoint.base_url)).run("go")
    rows = [row for row in kernel.status().agents if row["syscalls"].get("llm")]
    assert [(row["name"], row["group"], row["priority"]) for row in rows] == [("Alice", "night", 3)]
