"""Programs as users write them with MetaGPT, and what can be compared of two runs of one."""

from __future__ import annotations

import re

from metagpt.actions import Action, UserRequirement
from metagpt.actions.run_code import RunCode
from metagpt.config2 import Config
from metagpt.configs.llm_config import LLMConfig
from metagpt.context import Context
from metagpt.provider.openai_api import OpenAILLM
from metagpt.roles import Role
from metagpt.schema import Message
from metagpt.team import Team
from metagpt.utils.cost_manager import CostManager

from aios_evals.endpoint import Prompt, ToolCall
from tests.support.runs import comparer

CODE = "result = 6 * 7"


def settings(url: str, **more) -> dict:
    """A config; counting the tokens of a stream is left out, for which MetaGPT fetches a table from the network."""
    return {"api_type": "openai", "base_url": url, "api_key": "test", "model": "gpt-4o", "stream": False, **more}


def context(url: str, **more) -> Context:
    """What a team shares: a config whose endpoint is `url`."""
    return Context(config=Config(llm=LLMConfig(**settings(url, **more))))


def model(url: str, **more) -> OpenAILLM:
    """A language model with a purse of its own."""
    made = OpenAILLM(LLMConfig(**settings(url, **more)))
    made.cost_manager = CostManager()
    return made


def script(prompt: Prompt):
    """Write code, judge what running it gave; the rest is the endpoint's default."""
    if prompt.tools:
        return ToolCall("execute", {"language": "python", "code": CODE})
    if "write code" in prompt.user_text:
        return f"```python\n{CODE}\n```"
    return None


class Write(Action):
    """Ask for code."""

    name: str = "Write"

    async def run(self, history):
        return await self._aask(f"write code for: {history[-1].content}")


class Test(Action):
    """Run the code that was written, and let the model judge the outcome."""

    name: str = "Test"

    async def run(self, history):
        code = re.sub(r"```\w*\n?", "", history[-1].content)
        outcome, error = await RunCode.run_text(code)
        return await self._aask(f"judge the outcome: {outcome} {error}")


class Review(Action):
    """Ask for a review."""

    name: str = "Review"

    async def run(self, history):
        return await self._aask(f"review: {history[-1].content}")


class Coder(Role):
    """Writes code when the user asks for some."""

    name: str = "Alice"
    profile: str = "Coder"

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self._watch([UserRequirement])
        self.set_actions([Write])


class Tester(Role):
    """Runs what the coder wrote."""

    name: str = "Bob"
    profile: str = "Tester"

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self._watch([Write])
        self.set_actions([Test])


class Reviewer(Role):
    """Reviews what the tester found."""

    name: str = "Carol"
    profile: str = "Reviewer"

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self._watch([Test])
        self.set_actions([Review])


USER = [{"role": "user", "content": "hello big world"}]


async def aask(url):
    llm = model(url)
    return await llm.aask("hello"), llm.get_costs()


async def aask_stream(url):
    llm = model(url, calc_usage=False)
    return await llm.aask("hello", system_msgs=["Be brief."], stream=True), llm.get_costs()


async def whole(url):
    llm = model(url)
    return await llm.acompletion_text(USER), llm.get_costs()


async def streamed(url):
    llm = model(url, calc_usage=False)
    return await llm.acompletion_text(USER, stream=True), llm.get_costs()


async def batch(url):
    llm = model(url)
    return await llm.aask_batch(["one", "two", "three"]), llm.get_costs()


async def code(url):
    llm = model(url)
    return await llm.aask_code(USER), llm.get_costs()


async def completion(url):
    llm = model(url)
    return await llm.acompletion(USER), llm.get_costs()


async def role(url):
    reply = await Coder(context=context(url)).run("add two numbers")
    return reply.content, reply.role, reply.cause_by, reply.sent_from


async def team(url, rounds=4, roles=(Coder, Tester, Reviewer)):
    shared = context(url)
    company = Team(context=shared, use_mgx=False)
    company.hire([one(context=shared) for one in roles])
    company.invest(3.0)
    await company.run(n_round=rounds, idea="add two numbers")
    kept = {one.name: [message.content for message in one.get_memories()] for one in company.env.roles.values()}
    return kept, company.cost_manager.get_costs()


#: name: (program, its LLM calls, its tool calls)
PROGRAMS = {
    "aask": (aask, 1, 0),
    "aask stream": (aask_stream, 1, 0),
    "acompletion_text": (whole, 1, 0),
    "acompletion_text stream": (streamed, 1, 0),
    "aask_batch": (batch, 3, 0),
    "aask_code": (code, 1, 0),
    "acompletion": (completion, 1, 0),
    "role": (role, 1, 0),
    "team": (team, 3, 1),
}

seen = comparer((r"created=\d+", "created=TIME"), (r"'[0-9a-f]{32}'", "ID"))


def message(text: str) -> Message:
    return Message(content=text, role="user", cause_by=UserRequirement)
