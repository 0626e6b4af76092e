"""Measure how well a model drives agents: `python -m aios_evals.embedded.evaluate --base DIR --adapter PATH --json`."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aios_evals.embedded import chat
from aios_evals.embedded.client import Client, Reply, Request
from aios_evals.embedded.render import SYSTEMS
from aios_evals.embedded.tasks import KINDS, NEEDS, Solved, Task, World, solve
from aios_evals.embedded.toolsets import OTHER, Tool, draw_tool, other_task, shipped
from aios_evals.embedded.words import Source
from aios_kernel import react
from aios_kernel.tools import normal_key

MAX_TURNS = 6
REFUSAL = re.compile(
    r"no tool|not have a tool|cannot|can't|don't have|do not have|unable|no note|no file|not find", re.IGNORECASE
)


@dataclass
class Episode:
    """One task being worked on by the model."""

    task: Task
    tools: Sequence[Tool]
    messages: list[dict[str, Any]]
    react: bool
    world: World = field(init=False)
    calls: list[tuple[str | None, tuple[str, ...], str]] = field(default_factory=list[Any])
    final: str | None = None
    error: str = ""

    def __post_init__(self) -> None:
        self.world = self.task.world.copy()

    @property
    def open(self) -> bool:
        """Whether the model has more to say."""
        return self.final is None and not self.error

    def request(self) -> Request:
        """Return what to ask the model next."""
        if self.react:
            return Request(self.messages, stop=react.STOP.strip())
        return Request(self.messages, [tool.spec() for tool in self.tools])

    def take(self, reply: Reply) -> None:
        """Act on a reply."""
        if self.react:
            self._take_react(reply.text)
        elif not reply.calls:
            self.final = reply.text
        else:
            name, arguments = reply.calls[0]
            result = self._run(name, arguments)
            function = {"name": name, "arguments": json.dumps(arguments, ensure_ascii=False)}
            ident = f"call_{len(self.calls)}"
            self.messages.append(
                {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [{"id": ident, "type": "function", "function": function}],
                }
            )
            self.messages.append({"role": "tool", "tool_call_id": ident, "content": result})

    def _take_react(self, text: str) -> None:
        match react.parse(text):
            case react.Answer(answer):
                self.final = answer
            case react.Action(name, arguments):
                self.messages += react.observation(text, self._run(name, arguments))
            case react.Unreadable(reason):
                self.error = f"{reason} {text!r}"

    def _run(self, name: str, arguments: Mapping[str, Any]) -> str:
        tool = next((tool for tool in self.tools if tool.name == name), None)
        if tool is None or set(arguments) != set(tool.parameters):
            self.calls.append((None, (), ""))
            return f"error: there is no tool {name} with these arguments"
        values = tuple(str(arguments[p]) for p in tool.parameters)
        result = self.world.run(tool.kind or "", values)
        self.calls.append((tool.kind, values, result))
        return result


def succeeded(task: Task, final: str | None, kinds: set[str | None], world: World) -> bool:
    """Tell whether an episode did what was asked: the right tools, the right state, the right answer."""
    want: Solved = solve(task)
    if final is None or not final.strip():
        return False
    if not task.plan:
        return not kinds and (task.kind != "no_tool" or bool(REFUSAL.search(final)))
    said = final.lower().replace(",", "")
    told = all(must.lower().replace(",", "") in said for must in want.must)
    missing = any(result.startswith("no ") for _, _, result in want.steps)
    used = {kind for kind, _, _ in want.steps} <= kinds
    return told and used and (not missing or bool(REFUSAL.search(final))) and _state(world) == _state(want.world)


def _state(world: World) -> tuple[dict[str, str], dict[str, str]]:
    return {normal_key(key): value.strip() for key, value in world.notes.items()}, {
        k.strip(): v.strip() for k, v in world.files.items()
    }


def judge(episode: Episode) -> bool:
    """Tell whether an episode succeeded."""
    return not episode.error and succeeded(
        episode.task, episode.final, {kind for kind, _, _ in episode.calls}, episode.world
    )


# ---------------------------------------------------------------- sets
def shipped_tasks(count: int, seed: int) -> list[Task]:
    """Return held-out tasks for the shipped tools, `count` of every kind, with small talk and requests no tool fits."""
    s = Source(seed, test=True)
    makers: list[Callable[[Source], Task]] = [make for make, _ in KINDS.values()]
    return [make(s) for make in [*makers, chat.small_talk, chat.beyond] for _ in range(count)]


def open_episode(s: Source, task: Task, tools: Sequence[Tool], *, as_react: bool) -> Episode:
    """Start an episode under one of the held-out system prompts, or under the ReAct prompt."""
    if as_react:
        messages: list[dict[str, Any]] = [*react.format_prompt([tool.spec() for tool in tools], task.request)]
    else:
        system = s.side(*SYSTEMS)
        messages = ([{"role": "system", "content": system}] if system else []) + [
            {"role": "user", "content": task.request}
        ]
    return Episode(task, tools, messages, as_react)


def shipped_episodes(count: int, seed: int, *, as_react: bool) -> list[Episode]:
    """Return episodes with the five shipped tools."""
    s = Source(seed + 1, test=True)
    return [
        open_episode(s, task, s.random.sample(shipped(), 5), as_react=as_react) for task in shipped_tasks(count, seed)
    ]


def harder_episodes(count: int, seed: int, *, as_react: bool) -> list[Episode]:
    """Return episodes with tool names and descriptions never seen, and two or three tools that fit nothing."""
    s = Source(seed + 2, test=True)
    episodes: list[Episode] = []
    others = [name for name, kind in OTHER.items() if kind.fields and kind.requests[0]]
    for name in [*KINDS, *others]:
        for _ in range(count if name in KINDS else max(1, count // 3)):
            task = KINDS[name][0](s) if name in KINDS else other_task(s, name)
            kinds = sorted(NEEDS[name]) if name in KINDS else [name]
            spare = s.random.sample([k for k in OTHER if k not in kinds], s.random.randint(2, 3))
            tools = list({tool.name: tool for tool in (draw_tool(s, kind) for kind in [*spare, *kinds])}.values())
            s.random.shuffle(tools)
            episodes.append(open_episode(s, task, tools, as_react=as_react))
    return episodes


# ---------------------------------------------------------------- running
def run(client: Client, episodes: Sequence[Episode]) -> None:
    """Let the model work on all episodes, turn by turn."""
    for _ in range(MAX_TURNS):
        waiting = [episode for episode in episodes if episode.open]
        if not waiting:
            return
        for episode, reply in zip(waiting, client.complete([episode.request() for episode in waiting]), strict=True):
            episode.take(reply)


def table(results: Sequence[tuple[str, bool]]) -> dict[str, float]:
    """Return the share of successes by kind of task, and over all."""
    by: dict[str, list[bool]] = defaultdict(list)
    for kind, good in results:
        by[kind].append(good)
    shares = {kind: round(sum(good) / len(good), 3) for kind, good in by.items()}
    right = sum(good for _, good in results)
    return {**shares, "all": round(right / len(results), 4), "right": right, "tasks": len(results)}


def failures(episodes: Sequence[Episode]) -> list[dict[str, Any]]:
    """Return what went wrong, for reading."""
    return [
        {
            "request": e.task.request,
            "calls": e.calls,
            "final": e.final,
            "error": e.error,
            "want": solve(e.task).steps,
            "tools": [t.name for t in e.tools],
        }
        for e in episodes
        if not judge(e)
    ]


MODES: Mapping[str, tuple[Callable[..., list[Episode]], bool, bool]] = {
    "chat": (shipped_episodes, False, True),
    "chat-free": (shipped_episodes, False, False),
    "react": (shipped_episodes, True, False),
    "harder-chat": (harder_episodes, False, True),
    "harder-react": (harder_episodes, True, False),
}


def measure(client: Any, options: argparse.Namespace) -> dict[str, Any]:
    """Run every mode that was asked for: our own loops in batches, the frameworks through the kernel, plain chat."""
    report: dict[str, Any] = {}
    for mode in options.modes.split(","):
        wrong: list[Any] = []
        if mode in MODES:
            make, as_react, client.constrained = MODES[mode]
            episodes = make(options.count, options.seed, as_react=as_react)
            run(client, episodes)
            report[mode], wrong = table([(e.task.kind, judge(e)) for e in episodes]), failures(episodes)
        else:
            from aios_evals.embedded import frameworks

            attempts = frameworks.evaluate(mode, options.count, options.seed, workers=options.workers)
            report[mode] = table([(a.task.kind, a.good) for a in attempts])
            wrong = [
                {"request": a.task.request, "used": sorted(map(str, a.used)), "final": a.final, "error": a.error}
                for a in attempts
                if not a.good
            ]
        if options.failures:
            report[f"{mode} failures"] = wrong
    return report


def main() -> None:
    """Evaluate and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", type=Path, help="folder of the base model; default: that of the cache")
    parser.add_argument(
        "--adapter", type=Path, help="a training checkpoint or an adapter folder; default: the shipped one"
    )
    parser.add_argument(
        "--modes", default="chat,react", help=f"of {', '.join(MODES)}, langgraph, autogen, openai, plain"
    )
    parser.add_argument("--count", type=int, default=4, help="tasks of every kind")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--workers", type=int, default=12, help="agents at a time, through a framework")
    parser.add_argument("--failures", action="store_true", help="list what went wrong")
    parser.add_argument("--json", action="store_true", help="print one line")
    options = parser.parse_args()
    import torch

    from aios_evals.embedded.local import load
    from aios_kernel import models

    torch.set_num_threads(options.threads)
    base, adapter = options.base or models.pull(), options.adapter or models.adapter_folder()
    own = {mode for mode in options.modes.split(",") if mode in MODES or mode == "plain"}
    client = load(base, adapter) if own else None
    report: dict[str, Any] = {}
    if "plain" in own and client is not None:
        from aios_evals.embedded.plain_chat import compare, prompts

        model, tokenizer = models.load_embedded(download=False)
        model.aios_gate.set([any(model.aios_gate.wants(prompt) for prompt in prompts())])
        report["plain"] = compare(load(base, None).model, model, tokenizer)
        options.modes = ",".join(mode for mode in options.modes.split(",") if mode != "plain")
    if options.modes:
        report |= measure(client, options)
    sys.stdout.write(json.dumps(report, ensure_ascii=False, indent=None if options.json else 1, default=str) + "\n")


if __name__ == "__main__":
    main()
