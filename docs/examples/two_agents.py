"""Two agents of one program share one model fairly; only `enable` and `agent` are about the kernel."""

from concurrent.futures import ThreadPoolExecutor

from openai import OpenAI

import aios_adapters

aios_adapters.enable(llm="embedded", policy="wfq")
client = OpenAI(base_url="http://localhost:1/v1", api_key="none")  # served by the kernel: nothing is sent there


def ask(agent: str, question: str) -> str | None:
    """Ask as an ordinary program does."""
    with aios_adapters.agent(agent):
        messages = [{"role": "user", "content": question}]
        reply = client.chat.completions.create(model="any", messages=messages, temperature=0, max_tokens=24)
    return reply.choices[0].message.content


questions = {"geographer": "What is the capital of France?", "chemist": "What is water made of?"}
with ThreadPoolExecutor() as pool:
    for agent, answer in zip(questions, pool.map(ask, questions, questions.values()), strict=True):
        print(f"{agent}: {answer}")

print(aios_adapters.status())
