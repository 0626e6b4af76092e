"""An agent written for the kernel: it remembers, keeps files, and has the model use tools until it answers.

python examples/native_agent.py              the embedded model, in this process
python examples/native_agent.py scripted     a model that says what it is told, for trying without one
AIOS_KERNEL=auto python examples/native_agent.py     the user's shared kernel

With AIOS_DATA=FOLDER, what it keeps is there the next time, too.
"""

import os
import sys
import tempfile

import aios_adapters
from aios_kernel import Reply, Sampling, ToolRequest
from aios_kernel.cores.scripted import ScriptedCore
from aios_kernel.errors import CoreError
from aios_kernel.sdk import Client

SCRIPT = [
    Reply(tool_calls=(ToolRequest(id="1", name="calculator", arguments='{"expression": "3 * 14"}'),)),
    "It is 42.",
]


def main(llm: object) -> None:
    """Answer a question with a tool, and keep the answer as a note and as a file."""
    with tempfile.TemporaryDirectory() as folder:
        shared = "AIOS_KERNEL" in os.environ  # it has a model and a folder of its own
        settings = {} if shared else {"llm": llm, "data": os.environ.get("AIOS_DATA", folder)}
        aios_adapters.enable(**settings)
        agent = Client(aios_adapters.kernel(), "clerk")

        question = "What is 3 * 14? Use the calculator."
        brief, model = Sampling(temperature=0.0, max_tokens=80), os.environ.get("OPENAI_MODEL", "embedded")
        try:
            answer = agent.llm_call_tool(question, ["aios/calculator"], max_turns=3, model=model, sampling=brief)
        except CoreError as error:  # a small model may lose its way
            sys.exit(f"the model failed: {error}")
        for use in answer.uses:
            print(f"{use.name} {use.arguments} -> {use.result if use.error is None else use.error}")

        said = answer.text or "no answer"
        agent.create_memory(f"{question} {said}", {"topic": "sums"})
        agent.write_file("answers/sum.txt", said)
        print("found in memory:", agent.search_memories("3 * 14", k=1)[0]["text"])
        print("kept as a file:", agent.read_file("answers/sum.txt")["content"])
        aios_adapters.disable()


if __name__ == "__main__":
    main(ScriptedCore(SCRIPT) if "scripted" in sys.argv[1:] else "embedded")
