"""With `memory=True` what agents remember is in the kernel's memory too, and programs give what they gave."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.conditions import MaxMessageTermination
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_core import FunctionCall, Image
from autogen_core.memory import ListMemory, MemoryContent, MemoryMimeType
from autogen_core.model_context import (
    BufferedChatCompletionContext,
    HeadAndTailChatCompletionContext,
    TokenLimitedChatCompletionContext,
    UnboundedChatCompletionContext,
)
from autogen_core.models import (
    AssistantMessage,
    FunctionExecutionResult,
    FunctionExecutionResultMessage,
    SystemMessage,
    UserMessage,
)
from autogen_ext.models.replay import ReplayChatCompletionClient
from PIL import Image as Picture
from pydantic import BaseModel

import aios_adapters
from aios_evals.endpoint import Endpoint, Prompt, ToolCall
from tests.adapters.autogen.programs import client, measure, script, seen, weigh
from tests.adapters.autogen.remembering import ASYNC
from tests.support.columns import IDENTITY, LEASE, MEMORY, ONCE
from tests.support.halfway import killed_at, unnumbered
from tests.support.kept import ask, kept_kernel, notes
from tests.support.runs import comparer, requests

__all__ = ["kept_kernel"]
pytestmark = pytest.mark.shows(MEMORY)

IMAGE = Image.from_pil(Picture.new("RGB", (2, 2), (255, 0, 0)))
CALL = FunctionCall(id="c1", name="weigh", arguments='{"what": "apple"}')
MESSAGES: list[Any] = [
    SystemMessage(content="Help."),
    UserMessage(content="hello \udcff", source="user"),
    UserMessage(content=["what is", IMAGE, "this?"], source="user"),
    UserMessage(content=[IMAGE, "and this"], source="user"),
    AssistantMessage(content="a square", thought="hm", source="alice"),
    AssistantMessage(content=[CALL], source="alice"),
    FunctionExecutionResultMessage(content=[FunctionExecutionResult(content="450 g", name="weigh", call_id="c1")]),
    FunctionExecutionResultMessage(
        content=[
            FunctionExecutionResult(content=f"{n} cm", name="measure", call_id=f"c{n}", is_error=n > 1)
            for n in range(3)
        ]
    ),
]
TEXTS = ["Help.", "hello ?", "what is\n\nthis?", "and this", "a square", "", "450 g", "0 cm\n\n1 cm\n\n2 cm"]
CONTENTS = [
    MemoryContent(content="Ada likes pears", mime_type=MemoryMimeType.TEXT),
    MemoryContent(content="# Pears", mime_type=MemoryMimeType.MARKDOWN, metadata={"page": 7}),
    MemoryContent(content={"data": "pears", "n": [1, None]}, mime_type=MemoryMimeType.JSON),
    MemoryContent(content=b"\x00\xff", mime_type=MemoryMimeType.BINARY),
    MemoryContent(content=b"plain bytes", mime_type=MemoryMimeType.BINARY),
    MemoryContent(content=IMAGE, mime_type=MemoryMimeType.IMAGE),
    MemoryContent(content="of a type of its own", mime_type="text/plain"),
]


shown = comparer((r"\d{4}-\d\d-\d\dT[\d:.]+Z?", "TIME"))


async def _filled() -> UnboundedChatCompletionContext:
    context = UnboundedChatCompletionContext()
    for message in MESSAGES:
        await context.add_message(message)
    return context


async def test_messages_of_every_kind(kept_kernel):
    """Each message is a note with its words; the context goes on having the very objects that it was given."""
    context = await _filled()
    found = await context.get_messages()
    assert all(kept is given for kept, given in zip(found, MESSAGES, strict=True))
    assert [note["text"] for note in notes(kept_kernel)] == TEXTS
    assert ask(kept_kernel, "retrieve", query="450")["notes"][0]["text"] == "450 g"
    await context.clear()
    assert await context.get_messages() == notes(kept_kernel) == []


async def test_messages_are_read_back(kept_kernel):
    """Every message whose words were changed there is changed here, and in nothing but its words."""
    context = await _filled()
    for note in notes(kept_kernel):
        if note["text"] and "\n" not in note["text"]:
            ask(kept_kernel, "update", id=note["id"], text=f"{note['text']}!")
    found = await context.get_messages()
    for kept, given, text in zip(found, MESSAGES, TEXTS, strict=True):
        changed = bool(text) and "\n" not in text
        assert (kept is given) is not changed
        wanted = given.model_dump()
        if changed and isinstance(wanted["content"], str):
            wanted["content"] = f"{text}!"
        elif changed:
            part = 1 if given is MESSAGES[3] else 0
            one = wanted["content"][part]
            wanted["content"][part] = f"{one}!" if isinstance(one, str) else {**one, "content": f"{one['content']}!"}
        assert type(kept) is type(given)
        assert kept.model_dump() == wanted


async def test_words_that_belong_nowhere(kept_kernel, caplog):
    """A text that stands for several parts of a message cannot be changed as one: it is logged, and nothing else happens."""
    context = await _filled()
    with caplog.at_level(logging.WARNING):
        ask(kept_kernel, "update", id=notes(kept_kernel)[2]["id"], text="something else")
        assert await context.get_messages() == MESSAGES
    assert "which of 2 texts it changes cannot be told" in caplog.text


async def test_a_note_that_names_a_class(kept_kernel, caplog):
    """A note makes nothing but AutoGen's own messages, whatever it says."""
    context = await _filled()
    note = notes(kept_kernel)[0]
    bad = json.dumps({"type": "Component", "content": ""})
    with caplog.at_level(logging.WARNING):
        ask(kept_kernel, "update", id=note["id"], metadata={**note["metadata"], "data": bad})
        assert await context.get_messages() == MESSAGES
    assert "ValueError: Component" in caplog.text


async def test_contents_of_every_kind(kept_kernel):
    """Contents are notes of those who remembered them; they are read back where one was changed, and are gone when cleared."""
    memory = ListMemory()
    for content in CONTENTS:
        await memory.add(content)
    found = notes(kept_kernel)
    texts = ["Ada likes pears", "# Pears", '{"data": "pears", "n": [1, null]}', "", "", "", "of a type of its own"]
    assert [note["text"] for note in found] == texts
    assert all(kept is given for kept, given in zip(memory.content, CONTENTS, strict=True))
    for note in found[:2]:
        ask(kept_kernel, "update", id=note["id"], text=f"{note['text']}!")
    ask(kept_kernel, "update", id=found[2]["id"], text='{"pears": 2}')
    ask(kept_kernel, "remove", id=found[6]["id"])
    kept = (await memory.query()).results
    assert [one.content for one in kept] == [
        "Ada likes pears!",
        "# Pears!",
        {"pears": 2},
        b"\x00\xff",
        b"plain bytes",
        IMAGE,
    ]
    assert [(one.mime_type, one.metadata) for one in kept] == [(one.mime_type, one.metadata) for one in CONTENTS[:6]]
    await memory.clear()
    assert memory.content == notes(kept_kernel) == []


@pytest.mark.parametrize("content", CONTENTS, ids=lambda content: f"{type(content.content).__name__}")
async def test_a_content_comes_back_as_it_was(kept_kernel, content):
    """What a note is made into again is of the same type and value, byte by byte."""
    from aios_adapters.autogen._kept import memory

    keeper: Any = memory(ListMemory())
    again = keeper.decode(*json.loads(json.dumps(keeper.encode(content))))
    assert type(again.content) is type(content.content)
    assert again.mime_type == content.mime_type
    assert type(again.mime_type) is type(content.mime_type)
    assert again.metadata == content.metadata
    same = (lambda image: image.image.tobytes()) if content.content is IMAGE else lambda value: value
    assert same(again.content) == same(content.content)


async def test_what_no_note_can_hold(kept_kernel, caplog):
    """A content with objects of the program's own is logged, and stays in the program."""

    class Mine(BaseModel):
        x: int = 1

    memory = ListMemory()
    odd = MemoryContent(content="odd", mime_type=MemoryMimeType.TEXT, metadata={"mine": Mine()})
    with caplog.at_level(logging.WARNING):
        await memory.add(odd)
        await memory.add(CONTENTS[0])
    assert "cannot be kept in the kernel's memory" in caplog.text
    assert memory.content == [odd, CONTENTS[0]]
    assert [note["text"] for note in notes(kept_kernel)] == ["Ada likes pears"]


@pytest.mark.parametrize("kind", ["unbounded", "buffered", "head and tail", "tokens"])
async def test_model_contexts(kept_kernel, kind):
    """Each context shows its model what it shows without the kernel's memory, which has everything that was said."""

    async def view() -> tuple[list[Any], Any]:
        context: Any = {
            "unbounded": UnboundedChatCompletionContext,
            "buffered": lambda: BufferedChatCompletionContext(buffer_size=2),
            "head and tail": lambda: HeadAndTailChatCompletionContext(head_size=1, tail_size=1),
            "tokens": lambda: TokenLimitedChatCompletionContext(ReplayChatCompletionClient([]), token_limit=12),
        }[kind]()
        shown = []
        for number in range(6):
            await context.add_message(UserMessage(content=f"message {number} of six", source="user"))
            shown.append(await context.get_messages())
        return [[one.model_dump() for one in messages] for messages in shown], await context.save_state()

    with aios_adapters.paused():
        native = await view()
    assert await view() == native
    assert [note["text"] for note in notes(kept_kernel)] == [f"message {number} of six" for number in range(6)]


async def _team(model, *, state: Any = None):
    """Two agents with a memory each and tools, whose state is kept and given to two others."""
    agents = []
    for name in ("alice", "bob"):
        memory = ListMemory()
        await memory.add(MemoryContent(content=f"{name} likes pears", mime_type=MemoryMimeType.TEXT))
        agents.append(AssistantAgent(name, model, tools=[weigh, measure], memory=[memory], reflect_on_tool_use=True))
    team = RoundRobinGroupChat(agents, termination_condition=MaxMessageTermination(9))
    if state is not None:
        await team.load_state(state)
    result = await team.run(task="weigh and measure")
    return seen(result), await team.save_state()


@pytest.mark.shows(LEASE, IDENTITY)
async def test_a_team(kept_kernel):
    """It says and asks the same, ends in the same state, and goes on from it the same; each agent has its own notes."""

    async def twice(model):
        first, state = await _team(model)
        second, last = await _team(model, state=state)
        return first, shown(state), second, shown(last)

    def both(prompt: Prompt):
        """Use both tools once; the rest is the endpoint's default."""
        done = any(message["role"] == "tool" for message in prompt.messages)
        return None if done else [ToolCall(name, {"what": "an apple"}) for name in ("weigh", "measure")]

    with Endpoint(reply=both, reply_tokens=4) as endpoint:
        async with client(endpoint.base_url, multiple_system_messages=True) as model:
            with aios_adapters.paused():
                native = await twice(model)
            sent = requests(endpoint)
            endpoint.reset()
            assert await twice(model) == native
        assert requests(endpoint) == sent
    for name, other in (("alice", "bob"), ("bob", "alice")):
        texts = [note["text"] for note in notes(kept_kernel, name)]
        assert any(f"{name} likes pears" in text for text in texts)
        assert not any(f"{other} likes pears" in text for text in texts)
        assert "an apple weighs 450 g\n\nan apple is 8 cm wide" in texts


async def test_what_an_agent_is_told_through_the_memory(endpoint, kept_kernel):
    """A change in an agent's notes is in the next request to its model, and in the state that is kept of it."""
    async with client(endpoint.base_url) as model:
        agent = AssistantAgent("alice", model)
        await agent.run(task="I am Ada")
        note = next(note for note in notes(kept_kernel, "alice") if note["text"] == "I am Ada")
        ask(kept_kernel, "update", "alice", id=note["id"], text="I am Grace")
        state: Any = await agent.save_state()
        assert state["llm_context"]["messages"][0]["content"] == "I am Grace"
        await agent.run(task="hello")
        said = [message["content"] for message in endpoint.requests[-1].body["messages"]]
        assert "I am Grace" in said
        assert "I am Ada" not in said
        await agent.load_state({**state, "llm_context": {"messages": []}})
        assert notes(kept_kernel, "alice") == []


@pytest.mark.shows(ONCE)
@pytest.mark.parametrize("number", [1, 2, 4])
@pytest.mark.parametrize("data", [False, True])
async def test_killed_halfway_with_a_journal(number, data, endpoint, tmp_path):
    """The second run finishes with the result of a whole one, and repeats no call but that during which it was killed."""
    program, tools = ASYNC["team"]
    native = await program(endpoint.base_url)
    llm = len(endpoint.requests)
    settings = {"memory": True, **({"data": str(tmp_path / "data")} if data else {})}
    where = "tests.adapters.autogen.remembering"
    result, made, recorded = killed_at(number, where, "team", script, tmp_path, **settings)
    assert unnumbered(json.dumps(result)) == unnumbered(json.dumps(native))
    assert made == llm + 1
    assert recorded == {"llm": llm, "tool": tools}
