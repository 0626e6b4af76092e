"""A ReAct loop on the openai SDK alone: the model thinks, names an action, and reads what came of it."""

import json
import os
import re

from openai import OpenAI

import aios_adapters

aios_adapters.enable()

PRICES = {"apple": 3, "pear": 4}
QUESTION = "Look up the price of a pear, then the total for 5."
PROMPT = """Answer the question with these tools:
- price(item) - Look up the price of one item.
- total(price, count) - Multiply a price by a count.

Format:
Thought: what to do
Action: a tool name
Action Input: its arguments as JSON
Observation: the result
... (repeat when needed)
Final Answer: the answer"""


def price(item: str) -> str:
    return str(next((price for name, price in PRICES.items() if name in item), "not in the list"))


def total(price: str, count: str) -> int:
    return int(price) * int(count)


TOOLS = {"price": price, "total": total}


def act(text: str) -> str:
    found = re.search(r"Action:\s*(\w+)\s*\n+Action Input:\s*(.*)", text)
    if found is None or found[1] not in TOOLS:
        return "error: name a tool and its input, or give the final answer"
    try:
        return str(TOOLS[found[1]](**json.JSONDecoder().raw_decode(found[2])[0]))
    except (TypeError, ValueError) as error:
        return f"error: {error}"


client = OpenAI(base_url=os.environ["OPENAI_BASE_URL"], api_key=os.environ["OPENAI_API_KEY"])
messages = [{"role": "system", "content": PROMPT}, {"role": "user", "content": QUESTION}]
for _ in range(6):
    reply = client.chat.completions.create(
        model=os.environ["OPENAI_MODEL"], messages=messages, stop=["\nObservation:"], max_tokens=200, temperature=0
    )
    print(text := reply.choices[0].message.content or "")
    if "Final Answer:" in text:
        break
    messages += [{"role": "assistant", "content": text}, {"role": "user", "content": f"Observation: {act(text)}"}]
    print(messages[-1]["content"])
