"""A software team in MetaGPT: a coder writes a function, a tester runs it, a reviewer reads both and decides.

MetaGPT reads ~/.metagpt/config2.yaml (or $METAGPT_PROJECT_ROOT/config/config2.yaml) when it is imported, as ever.
"""

import asyncio
import os

import aios_adapters

aios_adapters.enable()

from metagpt.actions import Action, UserRequirement
from metagpt.actions.run_code import RunCode
from metagpt.config2 import Config
from metagpt.context import Context
from metagpt.roles import Role
from metagpt.team import Team
from metagpt.utils.common import CodeParser

LLM: dict = {"max_token": 400} | {key: os.environ[f"OPENAI_{key.upper()}"] for key in ("base_url", "api_key", "model")}


class WriteCode(Action):
    async def run(self, history):
        return await self._aask(f"Write Python code that puts its outcome into `result`: {history[0].content}")


class TestCode(Action):
    async def run(self, history):
        code = CodeParser.parse_code(None, history[-1].content)
        result, error = await RunCode.run_text(code)
        return f"Code:\n{code}\nresult: {result}\nerror: {error or 'none'}"


class Review(Action):
    async def run(self, history):
        return await self._aask(f"Does this code do its task? Begin with YES or NO.\n{history[-1].content}")


def member(name, profile, action, watched, context):
    role = Role(name=name, profile=profile, actions=[action(context=context)], context=context)
    role._watch([watched])
    return role


async def main():
    context = Context(config=Config.from_llm_config({"api_type": "openai", **LLM}))
    team = Team(context=context)
    reviewer = member("Carol", "Reviewer", Review, TestCode, context)
    coder = member("Alice", "Coder", WriteCode, UserRequirement, context)
    team.hire([coder, member("Bob", "Tester", TestCode, WriteCode, context), reviewer])
    await team.run(n_round=4, idea="add up the numbers from 1 to 10")
    print("the review:", reviewer.get_memories()[-1].content)


asyncio.run(main())
