"""Calls that the kernel's core answers: MetaGPT's own types, its log, its costs and its errors, and no network."""

from __future__ import annotations

import asyncio
import json
from contextlib import closing

import anthropic
import openai
import pytest
from metagpt.configs.llm_config import LLMConfig
from metagpt.provider.base_llm import BaseLLM
from metagpt.provider.human_provider import HumanProvider
from metagpt.provider.llm_provider_registry import create_llm_instance
from metagpt.utils.cost_manager import CostManager
from openai.types.chat import ChatCompletion

from aios_kernel.abi import ChatCall, Reply, ToolRequest, Usage
from aios_kernel.cores.scripted import ScriptedCore
from aios_kernel.errors import AccessDenied, ContextTooLong, CoreError, DeadlineExceeded, KernelClosed, QueueFull
from aios_kernel.kernel import Kernel
from tests.adapters.metagpt.programs import USER, Coder, context, model, role, team
from tests.support.columns import DENIAL, ONCE, SERVE, STREAM

pytestmark = pytest.mark.shows(SERVE)
USED = Usage(input_tokens=7, output_tokens=3)


def answer(call):
    """Call a tool where there is one, else answer in words."""
    if call.tools:
        arguments = json.dumps({"language": "python", "code": "1"})
        return Reply(tool_calls=(ToolRequest(id="c", name="execute", arguments=arguments),), usage=USED)
    return Reply(text="hello big world", usage=USED)


class Other(BaseLLM):
    """A provider without the openai SDK, whose replies have the documented shape."""

    def __init__(self, config):
        self.config, self.cost_manager, self.model = config, CostManager(), config.model
        self.sent = []

    async def _achat_completion(self, messages, timeout=0):
        self.sent.append(messages)
        self._update_costs({"prompt_tokens": 7, "completion_tokens": 3})
        return {"choices": [{"message": {"role": "assistant", "content": "from other"}}]}

    async def acompletion(self, messages, timeout=0):
        return await self._achat_completion(messages)

    async def _achat_completion_stream(self, messages, timeout=0):
        return "streamed from other"


def other():
    return Other(LLMConfig(api_key="k", model="gpt-4o", max_token=99, temperature=0.5))


@pytest.mark.shows(ONCE)
async def test_text(endpoint, enabled):
    """Every way to ask gets the core's text; each call is one syscall, and its costs are counted."""
    kernel = enabled(llm=ScriptedCore(answer))
    llm = model(endpoint.base_url)
    assert await llm.aask("hi") == await llm.acompletion_text(USER) == "hello big world"
    assert await llm.aask_batch(["one", "two"]) == "hello big world\nhello big world"
    assert endpoint.requests == []
    assert kernel.status().syscalls == {"llm": 4}
    costs = llm.get_costs()
    assert (costs.total_prompt_tokens, costs.total_completion_tokens) == (28, 12)
    assert costs.total_cost > 0


@pytest.mark.shows(STREAM)
async def test_stream(endpoint, enabled, shown):
    """A stream is shown piece by piece as it comes, with the line's end that providers add, and its costs are counted."""
    enabled(llm=ScriptedCore(answer))
    llm = model(endpoint.base_url)
    assert await llm.aask("hi", stream=True) == "hello big world"
    assert shown == ["hello ", "big ", "world", "\n"]
    assert llm.get_costs().total_completion_tokens == 3
    assert endpoint.requests == []


@pytest.mark.shows(ONCE)
async def test_what_ends_in_the_sdk(endpoint, enabled):
    """`aask_code` gives a dict and `acompletion` the SDK's own type, each by one syscall."""
    kernel = enabled(llm=ScriptedCore(answer))
    llm = model(endpoint.base_url)
    assert await llm.aask_code(USER) == {"language": "python", "code": "1"}
    whole = await llm.acompletion(USER)
    assert isinstance(whole, ChatCompletion)
    assert whole.choices[0].message.content == "hello big world"
    assert kernel.status().syscalls == {"llm": 2}
    assert llm.get_costs().total_completion_tokens == 6
    assert endpoint.requests == []


async def test_other_providers(enabled):
    """A provider of any kind is served, as text, as a stream and as the documented dict."""
    calls = []
    kernel = enabled(llm=ScriptedCore(lambda call: calls.append(call) or answer(call)))
    llm = other()
    assert await llm.aask("hi", system_msgs=["Be brief."], stream=True) == "hello big world"
    assert await llm.acompletion_text(USER) == "hello big world"
    assert llm.get_choice_text(await llm.acompletion(USER)) == "hello big world"
    assert llm.sent == []
    assert llm.get_costs().total_completion_tokens == 9
    assert kernel.status().syscalls == {"llm": 3}
    assert calls[0].messages == ({"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"})
    assert (calls[0].model, calls[0].stream, calls[1].stream) == ("gpt-4o", True, False)
    assert (calls[0].sampling.temperature, calls[0].sampling.max_tokens) == (0.5, 99)


async def test_other_providers_leased(enabled):
    """Without a core they answer themselves: one syscall each, their usage told."""
    native = [await other().aask("hi", stream=False), await other().acompletion(USER), await other().aask("hi")]
    kernel = enabled()
    assert [await other().aask("hi", stream=False), await other().acompletion(USER), await other().aask("hi")] == native
    assert native[0] == "from other"
    assert kernel.status().syscalls == {"llm": 3}
    assert kernel.status().agents[0]["output_tokens"] >= 6


PROVIDERS = ["anthropic", "gemini", "ollama", "zhipuai", "azure", "moonshot", "open_llm", "ark", "spark", "dashscope"]


def provider(kind):
    """A language model of MetaGPT's own for each kind of API, with an address where nobody listens."""
    keys = {"access_key": "a", "secret_key": "s", "app_id": "i", "api_secret": "s", "api_version": "2024-02-01"}
    base = "http://127.0.0.1:9/api"
    return create_llm_instance(LLMConfig(api_type=kind, base_url=base, api_key="a.b", model="gpt-4o", **keys))


@pytest.mark.shows(STREAM)
@pytest.mark.parametrize("kind", PROVIDERS)
async def test_real_providers(kind, enabled, shown):
    """MetaGPT's own providers are served as text and as a stream, each in the messages that it makes."""
    calls = []
    kernel = enabled(llm=ScriptedCore(lambda call: calls.append(call) or answer(call)))
    llm = provider(kind)
    assert await llm.aask("hi", stream=False) == "hello big world"
    assert await llm.aask("hi", stream=True) == "hello big world"
    assert shown == ["hello ", "big ", "world", "\n"]
    assert [call.messages[-1] for call in calls] == [{"role": "user", "content": "hi"}] * 2
    assert kernel.status().syscalls == {"llm": 2}


async def test_results_of_a_providers_own(enabled):
    """A result of a provider's own kind cannot be made for it, which the error says."""
    enabled(llm=ScriptedCore(answer))
    with pytest.raises(CoreError, match="use acompletion_text"):
        await provider("ollama").acompletion(USER)


@pytest.mark.shows(DENIAL)
async def test_refusals_of_another_sdk(enabled):
    """A model on anthropic's SDK raises that SDK's errors."""

    class Refusing(ScriptedCore):
        def prepare(self, call):
            raise AccessDenied("no")

    enabled(llm=Refusing([]))
    with pytest.raises(anthropic.PermissionDeniedError, match="no"):
        await provider("anthropic").aask("hi")


async def test_a_human_is_no_model(enabled, monkeypatch):
    """What a human types in is no call to a model."""
    kernel = enabled(llm=ScriptedCore(answer))
    monkeypatch.setattr("builtins.input", lambda prompt: "typed")
    human = HumanProvider(None)
    assert await human.aask("who are you?") == "typed"
    assert await human.acompletion_text(USER) == ""
    assert kernel.status().syscalls == {}


async def test_roles_and_teams(endpoint, enabled):
    """A role and a whole team run on the core, and the network hears nothing."""
    kernel = enabled(llm=ScriptedCore(lambda call: "result = 1"))
    assert (await role(endpoint.base_url))[0] == "result = 1"
    kept, _ = await team(endpoint.base_url)
    assert kept["Carol"][-1] == "result = 1"
    assert endpoint.requests == []
    assert kernel.status().syscalls["llm"] == 4


@pytest.mark.shows(DENIAL)
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("error", "native", "status"),
    [
        (AccessDenied("no"), openai.PermissionDeniedError, 403),
        (QueueFull("full"), openai.RateLimitError, 429),
        (ContextTooLong("long"), openai.BadRequestError, 400),
        (CoreError("broken"), openai.InternalServerError, 500),
        (DeadlineExceeded("late"), openai.APITimeoutError, None),
        (KernelClosed("closed"), openai.APIConnectionError, None),
    ],
    ids=["denied", "full", "long", "broken", "late", "closed"],
)
async def test_refusals(error, native, status, stream, endpoint, enabled):
    """What the kernel refuses is the error of the model's own client, and MetaGPT does not try it six times over."""
    asked = []

    class Refusing(ScriptedCore):
        def prepare(self, call):
            asked.append(call)
            raise error

    enabled(llm=Refusing([]))
    with pytest.raises(native) as raised:
        await asyncio.wait_for(model(endpoint.base_url).acompletion_text(USER, stream=stream), 5)
    assert type(raised.value) is native
    assert getattr(raised.value, "status_code", None) == status
    assert raised.value.__cause__ is error
    assert len(asked) == 1
    assert endpoint.requests == []


@pytest.mark.shows(DENIAL)
async def test_refusals_without_the_sdk(enabled):
    """A provider whose client has no such errors raises the kernel's, which is Python's own PermissionError too."""

    def check(call, process):
        raise AccessDenied("no")

    with closing(Kernel(checks=(check,))) as kernel:
        enabled(kernel=kernel)
        with pytest.raises(PermissionError, match="no"):
            await other().aask("hi")


@pytest.mark.shows(DENIAL)
async def test_a_role_that_may_not_ask(endpoint, enabled):
    """MetaGPT makes one plain exception of all that a role raises, and a team logs it and ends: the kernel still knows why."""
    denied = []

    def check(call, process):
        if isinstance(call, ChatCall) and process.name == "Bob":
            raise AccessDenied("Bob may not ask")

    with closing(Kernel(checks=(check,))) as kernel:
        enabled(kernel=kernel)
        kernel.bus.subscribe(lambda event: denied.append((event.agent, event.kind)) if event.name == "deny" else None)
        bob = Coder(name="Bob", context=context(endpoint.base_url))
        with pytest.raises(Exception, match="Bob may not ask") as raised:
            await bob.run("go")
        assert type(raised.value) is Exception
        assert "openai.PermissionDeniedError" in str(raised.value)
        kept, _ = await team(endpoint.base_url)
        assert kept["Carol"] == ["add two numbers", "```python\nresult = 6 * 7\n```"]
        assert denied == [("Bob", "llm"), ("Bob", "llm")]
        assert not any(queue["running"] for queue in kernel.status().resources)
