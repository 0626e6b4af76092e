"""An AutoGen 0.2 (or AG2 0.x) team: a planner asks for prices, a proxy runs the functions, a reviewer has the last word."""

import os
from typing import Annotated

import autogen

import aios_adapters

aios_adapters.enable()

PRICES = {"apple": 3, "pear": 4}
LLM = {
    "config_list": [
        {
            "model": os.environ["OPENAI_MODEL"],
            "base_url": os.environ["OPENAI_BASE_URL"],
            "api_key": os.environ["OPENAI_API_KEY"],
            "max_tokens": 200,
        }
    ],
    "cache_seed": None,
}

planner = autogen.AssistantAgent("planner", llm_config=LLM, system_message="Look up prices. End with TERMINATE.")
reviewer = autogen.AssistantAgent("reviewer", llm_config=LLM, system_message="Say in one sentence if it adds up.")
runner = autogen.UserProxyAgent(
    "runner",
    human_input_mode="NEVER",
    code_execution_config=False,
    max_consecutive_auto_reply=5,
    is_termination_msg=lambda message: "TERMINATE" in str(message.get("content")),
)


@runner.register_for_execution()
@planner.register_for_llm(description="Look up the price of one item.")
def price(item: Annotated[str, "the item, in the singular"]) -> str:
    return str(next((price for name, price in PRICES.items() if name in item), "not in the list"))


@runner.register_for_execution()
@planner.register_for_llm(description="Multiply a price by a count.")
def total(price: Annotated[int, "of one"], count: Annotated[int, "how many"]) -> str:
    return str(price * count)


results = runner.initiate_chats(
    [
        {"recipient": planner, "message": "What do 5 pears cost?", "summary_method": "last_msg", "silent": True},
        {"recipient": reviewer, "message": "Review the answer.", "max_turns": 1, "silent": True},
    ]
)
for message in results[0].chat_history:
    if message.get("role") == "tool":
        print(f"a function returned {message['content']}")
print(results[0].summary.strip())
print(results[1].summary)
