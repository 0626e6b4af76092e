"""An agent on the openai SDK that is in no group: what the desk has written is denied to it, and its model is told so."""

import json
import os

from openai import OpenAI

import aios_adapters
from aios_kernel.errors import SyscallError
from aios_kernel.sdk import Client

aios_adapters.enable(kernel=os.environ.get("AIOS_KERNEL", "auto"), memory=True)
desk = Client(aios_adapters.kernel(), "guest")


def find(question: str, owner: str) -> str:
    return "\n".join(note["text"] for note in desk.search_memories(question, 1, owner=owner))


def read(path: str) -> str:
    return desk.read_file(path, root="group:desk")["content"]


def spec(name: str, *arguments: str) -> dict:
    schema = {"type": "object", "properties": {one: {"type": "string"} for one in arguments}, "required": arguments}
    return {"type": "function", "function": {"name": name, "parameters": schema}}


def act(name: str, arguments: str) -> str:
    try:
        return {"find": find, "read": read}[name](**json.loads(arguments))
    except (SyscallError, KeyError, TypeError, ValueError) as error:
        return f"error: {error}"


client = OpenAI(base_url=os.environ["OPENAI_BASE_URL"], api_key=os.environ["OPENAI_API_KEY"])
messages = [{"role": "user", "content": "When does the ferry leave? Look into the desk's notes."}]
with aios_adapters.agent("guest"):
    for _ in range(6):
        reply = client.chat.completions.create(
            model=os.environ["OPENAI_MODEL"],
            messages=messages,
            tools=[spec("find", "question", "owner"), spec("read", "path")],
            max_tokens=200,
        )
        said = reply.choices[0].message
        messages.append(said.to_dict())
        for call in said.tool_calls or []:
            result = act(call.function.name, call.function.arguments)
            print(f"{call.function.name}: {result}")
            messages.append({"role": "tool", "tool_call_id": call.id, "content": result})
        if not said.tool_calls:
            break
