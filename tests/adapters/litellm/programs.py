"""Calls as users make them with litellm, in every mode, and what can be compared of two runs of one."""

from __future__ import annotations

import json
import re

import litellm

SAY = [{"role": "user", "content": "hello big world"}]
WEIGH = [{"role": "user", "content": "please weigh an apple"}]
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "weigh",
            "description": "Weigh a thing.",
            "parameters": {"type": "object", "properties": {"what": {"type": "string"}}, "required": ["what"]},
        },
    }
]
#: One provider goes through the openai SDK, the other through litellm's own HTTP handler.
SDK, HTTP = "openai/sim", "hosted_vllm/sim"


def at(url, **options):
    return {"api_base": url, "api_key": "test", "max_retries": 0, **options}


def agent(url, model=SDK):
    """A loop of one tool, as the providers' guides have it."""
    messages = list(WEIGH)
    for _ in range(3):
        reply = litellm.completion(model, messages, tools=TOOLS, **at(url)).choices[0].message
        messages.append(reply)
        for call in reply.tool_calls or ():
            what = json.loads(call.function.arguments)["what"]
            messages.append({"role": "tool", "tool_call_id": call.id, "content": f"{what} weighs 450 g"})
        if not reply.tool_calls:
            return reply.content
    raise AssertionError("the agent does not end")


async def collect(stream):
    return [item async for item in await stream]


def router(url, model=SDK, **options):
    deployment = {"model_name": "sim", "litellm_params": {"model": model, **at(url)}}
    return litellm.Router(model_list=[deployment], num_retries=0, **options)


#: name: (program, its calls)
SYNC = {
    "chat": (lambda url: litellm.completion(SDK, SAY, **at(url)), 1),
    "chat by keyword": (lambda url: litellm.completion(model=SDK, messages=SAY, temperature=0.5, **at(url)), 1),
    "chat of another provider": (lambda url: litellm.completion(HTTP, SAY, **at(url)), 1),
    "stream": (lambda url: list(litellm.completion(SDK, SAY, stream=True, **at(url))), 1),
    "stream with usage": (
        lambda url: list(litellm.completion(SDK, SAY, stream=True, stream_options={"include_usage": True}, **at(url))),
        1,
    ),
    "stream of another provider": (lambda url: list(litellm.completion(HTTP, SAY, stream=True, **at(url))), 1),
    "tools": (lambda url: litellm.completion(SDK, WEIGH, tools=TOOLS, **at(url)), 1),
    "streamed tools": (lambda url: list(litellm.completion(SDK, WEIGH, tools=TOOLS, stream=True, **at(url))), 1),
    "agent": (agent, 2),
    "text": (lambda url: litellm.text_completion(model=SDK, prompt="hello", **at(url)), 1),
    "streamed text": (lambda url: list(litellm.text_completion(model=SDK, prompt="hello", stream=True, **at(url))), 1),
    "batch": (
        lambda url: litellm.batch_completion(model=SDK, messages=[SAY, SAY, SAY], **at(url)),
        3,
    ),
    "responses": (lambda url: litellm.responses(model=SDK, input="hello", **at(url)), 1),
    "streamed responses": (lambda url: list(litellm.responses(model=SDK, input="hello", stream=True, **at(url))), 1),
    "responses of a provider without": (lambda url: litellm.responses(model=HTTP, input="hello", **at(url)), 1),
    "router": (lambda url: router(url).completion("sim", SAY), 1),
    "streaming router": (lambda url: list(router(url).completion("sim", SAY, stream=True)), 1),
}
ASYNC = {
    "chat": (lambda url: litellm.acompletion(SDK, SAY, **at(url)), 1),
    "chat of another provider": (lambda url: litellm.acompletion(HTTP, SAY, **at(url)), 1),
    "stream": (lambda url: collect(litellm.acompletion(SDK, SAY, stream=True, **at(url))), 1),
    "stream of another provider": (lambda url: collect(litellm.acompletion(HTTP, SAY, stream=True, **at(url))), 1),
    "streamed tools": (
        lambda url: collect(litellm.acompletion(SDK, WEIGH, tools=TOOLS, stream=True, **at(url))),
        1,
    ),
    "text": (lambda url: litellm.atext_completion(model=SDK, prompt="hello", **at(url)), 1),
    "streamed text": (
        lambda url: collect(litellm.atext_completion(model=SDK, prompt="hello", stream=True, **at(url))),
        1,
    ),
    "responses": (lambda url: litellm.aresponses(model=SDK, input="hello", **at(url)), 1),
    "streamed responses": (
        lambda url: collect(litellm.aresponses(model=SDK, input="hello", stream=True, **at(url))),
        1,
    ),
    "router": (lambda url: router(url).acompletion("sim", SAY), 1),
    "streaming router": (lambda url: collect(router(url).acompletion("sim", SAY, stream=True)), 1),
}

_VARYING = re.compile(
    r"(resp_|chatcmpl-|cmpl-|msg_|call_)[\w+/=-]+|'?created(_at)?'?[=:] ?[\d.]+|0x[0-9a-f]+"
    r"|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
)


def seen(result) -> str:
    """The whole of a result but for ids and times."""
    return _VARYING.sub("VARIES", repr(result))


def requests(endpoint) -> list[str]:
    """Every request in full; calls that overlap may arrive in any order."""
    return sorted(
        json.dumps([r.method, r.path, sorted((k, v) for k, v in r.headers.items() if k != "host"), r.body])
        for r in endpoint.requests
    )
