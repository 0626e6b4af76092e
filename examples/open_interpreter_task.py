"""Open Interpreter: a model solves a task by running code, and says what it found."""

import os

from interpreter import OpenInterpreter

import aios_adapters

aios_adapters.enable()

agent = OpenInterpreter(
    offline=True,  # nothing but the endpoint below is asked
    conversation_history=False,
    auto_run=True,  # this program's choice: without it, Open Interpreter asks before each run
)
agent.llm.model = f"openai/{os.environ['OPENAI_MODEL']}"
agent.llm.api_base = os.environ["OPENAI_BASE_URL"]
agent.llm.api_key = os.environ["OPENAI_API_KEY"]
agent.llm.context_window = 8000
agent.llm.max_tokens = 1000
agent.llm.supports_functions = True

task = "How many numbers below 1000 are divisible by 7? Compute it in the shell, then check it in another way."
for message in agent.chat(task, display=False):
    print(f"{message['type']}: {message['content'].strip()}")
agent.computer.terminate()
