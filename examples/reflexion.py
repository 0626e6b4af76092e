"""Reflexion with the kernel's own agent: write a function, run its tests, learn from what failed, try again.

It needs a kernel that serves: AIOS_LLM=embedded, AIOS_LLM=openai:URL or AIOS_KERNEL=unix:PATH.
"""

import os
import re
import subprocess
import sys

import aios_adapters
from aios_kernel import Sampling
from aios_kernel.agents import Feedback, ReflexionAgent

aios_adapters.enable()

TASKS = {
    "Write a Python function double(x) that returns x times two.": "assert double(4) == 8",
    "Write a Python function last(items) that returns the last item of a list, or None when it is empty.": (
        "assert last([1, 2]) == 2\nassert last([]) is None"
    ),
}


def code_of(solution: str) -> str:
    """The code of a reply, with its fences or without."""
    fenced = re.search(r"```(?:python)?\n(.*?)(?:```|$)", solution, re.DOTALL)
    return fenced[1] if fenced else solution


def test(tests: str, solution: str) -> Feedback:
    """Run the tests in a process of their own."""
    program = f"{code_of(solution)}\n{tests}"
    done = subprocess.run(
        [sys.executable, "-I", "-c", program], capture_output=True, text=True, timeout=10, check=False
    )
    return Feedback(passed=done.returncode == 0, report=done.stderr[-400:])


for number, (task, tests) in enumerate(TASKS.items(), start=1):
    agent = ReflexionAgent(
        aios_adapters.kernel(),
        lambda solution, tests=tests: test(tests, solution),
        agent=f"programmer-{number}",
        model=os.environ.get("OPENAI_MODEL", "embedded"),
        sampling=Sampling(temperature=0.0, max_tokens=120),
    )
    outcome = agent.run(task)
    for trial in outcome.trials:
        print("passed" if trial.feedback.passed else f"failed: {trial.feedback.report.strip().splitlines()[-1:]}")
        if trial.reflection:
            print(f"  learnt: {trial.reflection}")
    print(f"{task} {'solved' if outcome.passed else 'not solved'} in {len(outcome.trials)} trials")
