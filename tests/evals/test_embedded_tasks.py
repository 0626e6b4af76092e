"""The generator: disjoint sides, plans that replay, and a checker that accepts only what was asked."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest

from aios_evals.embedded import chat, wordings, words
from aios_evals.embedded.client import Reply, Request
from aios_evals.embedded.evaluate import Episode, harder_episodes, judge, run, shipped_episodes, succeeded
from aios_evals.embedded.tasks import KINDS, NEEDS, Task, World, solve
from aios_evals.embedded.toolsets import CORE, OTHER, other_task, shipped, varied
from aios_evals.embedded.words import Source, held_out
from aios_kernel.tools import Toolbox

PAIRS = [
    *wordings.CALC.values(),
    *wordings.NEXT.values(),
    *wordings.RECALL_CALC.values(),
    *wordings.READ_CALC.values(),
    wordings.RAW,
]
PAIRS += [
    wordings.REMEMBER,
    wordings.RECALL,
    wordings.WRITE,
    wordings.READ,
    wordings.READ_BACK,
    wordings.THEN_REMEMBER,
    wordings.THEN_WRITE,
]
PAIRS += [
    wordings.RECALL_WRITE,
    wordings.READ_REMEMBER,
    (wordings.JOIN, wordings.JOIN_TEST),
    chat.TALK,
    chat.THANKS,
    chat.BEYOND,
]


def test_wordings_and_names_of_the_test_are_not_trained_on() -> None:
    """The two lists of every pair have nothing in common, case and dots aside."""
    names = [
        pair for kind in (*CORE.values(), *OTHER.values()) for pair in (kind.names, kind.descriptions, kind.requests)
    ]
    for train, test in [
        *PAIRS,
        *names,
        (words.NOUNS, words.NOUNS_TEST),
        (words.ADJECTIVES, words.ADJECTIVES_TEST),
        (words.STEMS, words.STEMS_TEST),
    ]:
        assert not {text.lower().strip(" .!?") for text in train} & {text.lower().strip(" .!?") for text in test} - {""}


@pytest.mark.parametrize("draw", [Source.key, Source.value, Source.content, Source.path, Source.lines])
def test_what_is_copied_is_held_out(draw: Callable[[Source], str]) -> None:
    """Keys, values, contents and paths of the two sides never meet."""
    train, test = ({draw(Source(seed, test=side)) for seed in range(300)} for side in (False, True))
    assert all(held_out(text) for text in test)
    assert not any(held_out(text) for text in train)


def test_a_seed_gives_the_same_tasks() -> None:
    """Data is a function of the seed."""
    assert [make(Source(3)) for make, _ in KINDS.values()] == [make(Source(3)) for make, _ in KINDS.values()]


@pytest.mark.parametrize("kind", KINDS)
def test_plans_replay_with_the_real_tools(kind: str) -> None:
    """The toolbox gives the results that the plan states, and the plan needs only the tools it names."""
    for test in (False, True):
        s = Source(11, test=test)
        for _ in range(40):
            task = KINDS[kind][0](s)
            assert {step for step, _ in task.plan} == NEEDS[kind]
            box = Toolbox()
            box.notes = dict(task.world.notes)
            for path, content in task.world.files.items():
                box.write_file(path, content)
            done = solve(task)
            for (name, values, result), tool in (
                (step, next(t for t in shipped() if t.kind == step[0])) for step in done.steps
            ):
                assert box.call(name, dict(zip(tool.parameters, values, strict=True))) == result
            assert box.notes == done.world.notes
            assert not any(result.startswith("error") for _, _, result in done.steps) or kind.startswith(
                ("calc", "recall_calc", "read_calc")
            )


@pytest.mark.parametrize("kind", KINDS)
def test_requests_say_everything_that_must_be_copied(kind: str) -> None:
    """Every literal argument stands in the request, word for word."""
    s = Source(12)
    for _ in range(60):
        task = KINDS[kind][0](s)
        for step, values in task.plan:
            for value in values:
                if step != "calculate" and "$" not in value:
                    assert value.lower() in task.request.lower()


def test_other_tools_have_tasks_and_sets_have_unique_names() -> None:
    """Every askable kind solves; a set never shows a name twice."""
    s = Source(13)
    for name, kind in OTHER.items():
        if kind.requests[0]:
            done = solve(other_task(s, name))
            assert done.steps[0][2] != "nothing found"
    for _ in range(50):
        names = [tool.name for tool in varied(s)]
        assert len(names) == len(set(names))


class Perfect:
    """A client that knows the solutions."""

    def __init__(self, episodes: list[Episode]) -> None:
        self.by_request = {episode.task.request: episode for episode in episodes}

    def complete(self, requests: list[Request]) -> list[Reply]:
        """Say the next step of the plan."""
        return [self._one(request) for request in requests]

    def _one(self, request: Request) -> Reply:
        episode = self.by_request[next(m["content"] for m in request.messages if m["role"] == "user")]
        done = solve(episode.task)
        step = len(episode.calls)
        if step == len(done.steps):
            return Reply(f"Final Answer: {done.answer}" if episode.react else done.answer)
        kind, values, _ = done.steps[step]
        tool = next(tool for tool in episode.tools if tool.kind == kind)
        arguments = dict(zip(tool.parameters, values, strict=True))
        if episode.react:
            import json

            return Reply(f"Thought: x\nAction: {tool.name}\nAction Input: {json.dumps(arguments)}")
        return Reply("", ((tool.name, arguments),))


@pytest.mark.parametrize("as_react", [False, True])
@pytest.mark.parametrize("make", [shipped_episodes, harder_episodes])
def test_the_solution_succeeds(make: Callable[..., list[Episode]], *, as_react: bool) -> None:
    """A client that follows the plans gets every task right, in both loops and both sets."""
    episodes = make(3, 5, as_react=as_react)
    run(Perfect(episodes), episodes)  # type: ignore[arg-type]
    assert [e.task.request for e in episodes if not judge(e)] == []


def test_the_checker_refuses_what_was_not_done() -> None:
    """No tool used, another state, another answer: not a success."""
    task = Task("remember", "remember x", (("remember", ("code", "12")),), "I saved it.")
    right = World({"code": "12"})
    assert succeeded(task, "ok", {"remember"}, right)
    assert not succeeded(task, "ok", set(), right)
    assert not succeeded(task, "ok", {"remember"}, World({"code": "13"}))
    assert not succeeded(task, "ok", {"remember", "write_file"}, World({"code": "12"}, {"a": "b"}))
    assert not succeeded(task, "", {"remember"}, right)
    sum_task = Task("calc", "1+1", (("calculate", ("1 + 1",)),), "It is $1.", ("$1",))
    assert succeeded(sum_task, "It is 2.", {"calculate"}, World())
    assert not succeeded(sum_task, "It is 3.", {"calculate"}, World())
    none = dataclasses.replace(chat.beyond(Source(1)))
    assert succeeded(none, "I have no tool for that.", set(), World())
    assert not succeeded(none, "It is sunny.", set(), World())
    assert not succeeded(none, "I have no tool for that.", {"recall"}, World())
