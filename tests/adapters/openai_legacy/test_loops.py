"""The loops of the SDK's time: ReAct on completions that stop at the observation, Reflexion on chats that are tried again."""

from __future__ import annotations

import re
import time

import openai
import pytest

import aios_adapters
from aios_evals.endpoint import Endpoint
from aios_kernel.cores.scripted import ScriptedCore
from tests.support.columns import LEASE, ONCE, SERVE

PAGES = {"Ada": "Ada was born in London. She wrote a program.", "London": "London is in England."}
TASKS = {"double": "assert double(3) == 6", "negate": "assert negate(3) == -3"}


# ReAct ---------------------------------------------------------------------------------------------------------------


def complete(prompt, stop):
    response = openai.Completion.create(
        model="text-davinci-002", prompt=prompt, temperature=0, max_tokens=100, top_p=1, frequency_penalty=0.0,
        presence_penalty=0.0, stop=stop,
    )  # fmt: skip
    return response["choices"][0]["text"]


def react(question):
    """Think, act and observe, with a second call where the first names no action; return the whole trajectory."""
    prompt = f"Question: {question}\n"
    for turn in range(1, 6):
        said = complete(f"{prompt}Thought {turn}:", [f"\nObservation {turn}:"])
        thought, found, action = said.strip().partition(f"\nAction {turn}: ")
        if not found:
            thought = thought.partition("\n")[0]
            action = complete(f"{prompt}Thought {turn}: {thought}\nAction {turn}:", ["\n"]).strip()
        kind, entity = re.fullmatch(r"(\w+)\[(.*)\]", action).groups()
        observation = "done" if kind == "Finish" else PAGES[entity]
        prompt += f"Thought {turn}: {thought}\nAction {turn}: {action}\nObservation {turn}: {observation}\n"
        if kind == "Finish":
            return prompt
    return prompt


def thinker(prompt):
    """What a model would go on with: it runs on into an observation of its own, which `stop` cuts."""
    text = prompt if isinstance(prompt, str) else prompt.text
    line = text.rpartition("\n")[2]
    if line.startswith("Action"):
        return " Search[London]\nand so on"
    if line.endswith("Thought 1:"):
        return " I look Ada up.\nAction 1: Search[Ada]\nObservation 1: Ada was a king."
    if line.endswith("Thought 2:"):
        return " Where is London?"
    return " England.\nAction 3: Finish[England]\nObservation 3: done"


@pytest.fixture
def react_endpoint(monkeypatch):
    with Endpoint(reply=thinker) as endpoint:
        monkeypatch.setattr(openai, "api_base", endpoint.base_url)
        monkeypatch.setattr(openai, "api_key", "test")
        yield endpoint


@pytest.mark.shows(LEASE, ONCE)
def test_react_is_the_same(react_endpoint):
    """Word for word the same trajectory, from the same requests, each of them one syscall."""
    before = react("Where was Ada born?")
    bodies = [request.body for request in react_endpoint.requests]
    assert before.endswith("Finish[England]\nObservation 3: done\n")
    assert len(bodies) == 4
    assert "king" not in before
    react_endpoint.reset()
    aios_adapters.enable(strict=True)
    assert react("Where was Ada born?") == before
    assert [request.body for request in react_endpoint.requests] == bodies
    assert aios_adapters.status().syscalls == {"llm": 4}


@pytest.mark.shows(SERVE, ONCE)
def test_react_is_served(react_endpoint):
    """A core is told where to stop, and the loop cannot tell it from the endpoint."""
    before = react("Where was Ada born?")
    react_endpoint.reset()

    def script(call):
        text = thinker(call.prompt)
        ends = [text.find(stop) for stop in call.sampling.stop if stop in text]
        return text[: min(ends)] if ends else text

    aios_adapters.enable(llm=ScriptedCore(script))
    assert react("Where was Ada born?") == before
    assert react_endpoint.requests == []
    assert aios_adapters.status().syscalls == {"llm": 4}


# Reflexion -----------------------------------------------------------------------------------------------------------


def chat(messages):
    """Ask, and ask again up to six times whatever goes wrong, as retry decorators of that time do."""
    for tried in range(6):
        try:
            response = openai.ChatCompletion.create(
                model="gpt-4", messages=messages, max_tokens=1024, temperature=0.2, top_p=1, n=1
            )
            return response.choices[0].message.content
        except openai.error.OpenAIError:
            if tried == 5:
                raise
            time.sleep(0.01)
    raise AssertionError


def reflexion(name):
    """Attempt, test, reflect, attempt again; return every attempt and reflection."""
    history, hint = [], ""
    for _ in range(3):
        code = chat(
            [{"role": "system", "content": "Write code."}, {"role": "user", "content": f"def {name}(x): {hint}"}]
        )
        history.append(code)
        try:
            exec(f"{code}\n{TASKS[name]}", {})
        except Exception as error:  # noqa: BLE001 - the model's code may do anything
            hint = chat([{"role": "user", "content": f"{code} failed with {error!r}. Reflect."}])
            history.append(hint)
        else:
            break
    return history


def programmer(prompt):
    """A wrong attempt, a reflection, and the right one."""
    name = re.search(r"def (\w+)", prompt.text)[1]
    if "Reflect" in prompt.text:
        return "the sign is wrong" if name == "negate" else "the factor is wrong"
    return f"def {name}(x): return {'-x' if 'sign' in prompt.text else 'x * 2' if 'factor' in prompt.text else 'x'}"


@pytest.fixture
def reflexion_endpoint(monkeypatch):
    with Endpoint(reply=programmer) as endpoint:
        monkeypatch.setattr(openai, "api_base", endpoint.base_url)
        monkeypatch.setattr(openai, "api_key", "test")
        yield endpoint


@pytest.mark.shows(LEASE, ONCE)
def test_reflexion_is_the_same(reflexion_endpoint):
    """Attempts and reflections are word for word the same; every request is one syscall."""
    before = [reflexion(name) for name in TASKS]
    bodies = [request.body for request in reflexion_endpoint.requests]
    assert [len(history) for history in before] == [3, 3]
    reflexion_endpoint.reset()
    aios_adapters.enable(strict=True)
    assert [reflexion(name) for name in TASKS] == before
    assert [request.body for request in reflexion_endpoint.requests] == bodies
    assert aios_adapters.status().syscalls == {"llm": 6}


@pytest.mark.shows(ONCE)
def test_what_the_loop_tries_again_is_a_new_call(reflexion_endpoint, running):
    """The program's own retries are its own calls: as many syscalls as requests, one that failed among them."""
    before = reflexion("double")
    reflexion_endpoint.reset()
    aios_adapters.enable(strict=True)
    reflexion_endpoint.fail_next("fail-500", 2)
    assert reflexion("double") == before
    assert len(reflexion_endpoint.requests) == 5
    assert aios_adapters.status().syscalls == {"llm": 5}
    assert running() == 0
