"""A litellm agent: a loop that lets a model check stock and place an order by tools, until it has an answer."""

import json
import os

import litellm

import aios_adapters

aios_adapters.enable()

STOCK = {"apple": 12, "pear": 3}


def tool(name: str, description: str, **properties: str) -> dict:
    """Describe a function to the model."""
    schema = {"type": "object", "properties": {key: {"type": kind} for key, kind in properties.items()}}
    schema["required"] = list(properties)
    return {"type": "function", "function": {"name": name, "description": description, "parameters": schema}}


def stock(item: str) -> str:
    return f"{STOCK.get(item, 'none')} left"


def order(item: str, count: int) -> str:
    STOCK[item] = STOCK.get(item, 0) + count
    return f"ordered {count}, now {STOCK[item]}"


FUNCTIONS = {"stock": stock, "order": order}
TOOLS = [
    tool("stock", "How many of an item are left.", item="string"),
    tool("order", "Order more of an item.", item="string", count="integer"),
]

messages = [{"role": "user", "content": "Make sure that we have at least 10 pears."}]
for _ in range(6):
    reply = litellm.completion(
        model=f"openai/{os.environ['OPENAI_MODEL']}",
        api_base=os.environ["OPENAI_BASE_URL"],
        api_key=os.environ["OPENAI_API_KEY"],
        messages=messages,
        tools=TOOLS,
        num_retries=2,
        max_tokens=200,
    )
    message = reply.choices[0].message
    messages.append(message)
    if not message.tool_calls:
        break
    for call in message.tool_calls:
        result = FUNCTIONS[call.function.name](**json.loads(call.function.arguments))
        print(f"{call.function.name}: {result}")
        messages.append({"role": "tool", "tool_call_id": call.id, "content": result})
print(message.content)
