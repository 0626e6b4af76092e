"""What crosses the gate: agents, calls, replies. Frozen, plain data, the same for a kernel in another process."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

__all__ = [
    "AccessCall",
    "Agent",
    "Call",
    "ChatCall",
    "CompletionCall",
    "Delta",
    "EmbeddingCall",
    "LLMCall",
    "MemoryCall",
    "Reply",
    "Sampling",
    "StorageCall",
    "ToolCall",
    "ToolRequest",
    "ToolRequestDelta",
    "Usage",
]

FinishReason = Literal["stop", "length", "tool_calls", "content_filter"]
JSON = Mapping[str, Any]
CHARS_PER_TOKEN = 4  # the customary estimate for English text, used only to reserve before the usage is known
DEFAULT_OUTPUT_TOKENS = 256  # reserved for a call that names no maximum


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """Name who makes a call and how it is to be scheduled.

    Two agents of one name are told apart by `instance` (a thread id, an object's id). A smaller `priority` is more
    urgent (1 is the most urgent); `weight` is the share under weighted policies; `group` may be nested with slashes;
    `policy` is the agent's scheduling class, None for the resource's own.
    """

    name: str
    framework: str = ""
    group: str = ""
    priority: int = 10
    weight: float = 1.0
    policy: str | None = None
    instance: str = ""

    def __post_init__(self) -> None:
        if self.priority < 1:
            message = f"priority of agent {self.name!r} is {self.priority}: use 1 (most urgent) or more"
            raise ValueError(message)
        if self.weight <= 0:
            message = f"weight of agent {self.name!r} is {self.weight}: use a number above 0"
            raise ValueError(message)


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Count what a call used, in tokens."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0

    @property
    def total_tokens(self) -> int:
        """Input and output tokens together."""
        return self.input_tokens + self.output_tokens

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            cached_tokens=self.cached_tokens + other.cached_tokens,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """Say how tokens are drawn; None means the core's default."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    n: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request to the kernel.

    `agent` None means the agent of the caller's context. `timeout` is in seconds from submission to grant. With
    `lease` the caller does the work itself, also where the kernel has a manager for it.
    """

    kind: ClassVar[str] = "call"
    operation: ClassVar[str] = ""

    agent: Agent | None = None
    timeout: float | None = None
    lease: bool = False

    @property
    def estimate(self) -> float:
        """What the call is expected to cost, in the unit of its resource, before it has run."""
        return 1.0

    @property
    def label(self) -> str:
        """A short name for tables, traces and errors."""
        return self.operation or self.kind


@dataclass(frozen=True, slots=True, kw_only=True)
class LLMCall(Call):
    """Base of the calls to a language model.

    `endpoint` is the base URL the program would call by itself ("" when it has none); `extra` holds
    parameters the kernel has no field for, in the caller's own words.
    """

    kind: ClassVar[str] = "llm"

    model: str = ""
    endpoint: str = ""
    stream: bool = False
    sampling: Sampling = field(default_factory=Sampling)
    extra: JSON = field(default_factory=dict[str, Any])

    @property
    def estimated_usage(self) -> Usage:
        """Tokens to reserve: the prompt's characters / 4, and the maximum output asked for."""
        output = self.sampling.max_tokens
        return Usage(
            input_tokens=max(1, self._characters() // CHARS_PER_TOKEN),
            output_tokens=DEFAULT_OUTPUT_TOKENS if output is None else output,
        )

    @property
    def estimate(self) -> float:
        return float(self.estimated_usage.total_tokens)

    @property
    def label(self) -> str:
        return f"{self.operation} {self.model}".strip()

    def _characters(self) -> int:
        return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatCall(LLMCall):
    """Ask for the next message of a chat; messages and tools in OpenAI's chat-completions shape."""

    operation: ClassVar[str] = "chat"

    messages: Sequence[JSON] = ()
    tools: Sequence[JSON] = ()
    tool_choice: str | JSON | None = None
    response_format: JSON | None = None
    parallel_tool_calls: bool | None = None

    def _characters(self) -> int:
        return sum(_characters_of(message) for message in self.messages) + sum(_characters_of(t) for t in self.tools)


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletionCall(LLMCall):
    """Ask for the continuation of a text."""

    operation: ClassVar[str] = "completion"

    prompt: str = ""
    echo: bool = False

    def _characters(self) -> int:
        return len(self.prompt)


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingCall(LLMCall):
    """Ask for one vector per text."""

    kind: ClassVar[str] = "embedding"
    operation: ClassVar[str] = "embedding"

    inputs: Sequence[Any] = ()
    dimensions: int | None = None

    @property
    def estimated_usage(self) -> Usage:
        """Tokens to reserve: input only."""
        return Usage(input_tokens=max(1, self._characters() // CHARS_PER_TOKEN))

    def _characters(self) -> int:
        return sum(len(text) if isinstance(text, str) else CHARS_PER_TOKEN * len(text) for text in self.inputs)


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall(Call):
    """Run a tool; `arguments` is what the tool receives, `code` marks execution of model-written code."""

    kind: ClassVar[str] = "tool"
    operation: ClassVar[str] = "execute_tool"

    name: str
    arguments: Any = None
    call_id: str | None = None
    code: bool = False

    @property
    def label(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryCall(Call):
    """Read or write an agent's memory."""

    kind: ClassVar[str] = "memory"

    verb: Literal["add", "get", "update", "remove", "retrieve", "list", "sync"]
    arguments: JSON = field(default_factory=dict[str, Any])

    @property
    def label(self) -> str:
        return f"memory {self.verb}"


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageCall(Call):
    """Read or write files and collections."""

    kind: ClassVar[str] = "storage"

    verb: str
    arguments: JSON = field(default_factory=dict[str, Any])

    @property
    def label(self) -> str:
        return f"storage {self.verb}"


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessCall(Call):
    """Ask whether an agent may do something to a target."""

    kind: ClassVar[str] = "access"

    action: str
    target: str
    arguments: JSON = field(default_factory=dict[str, Any])

    @property
    def label(self) -> str:
        return f"access {self.action}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolRequest:
    """A tool call the model asks for; `arguments` is the JSON text as the model wrote it."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolRequestDelta:
    """A piece of a tool call in a stream; `id` and `name` come with the first piece of each index."""

    index: int = 0
    id: str | None = None
    name: str | None = None
    arguments: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delta:
    """A piece of a streamed reply; the last one carries `finish_reason` and `usage`."""

    text: str = ""
    tool_calls: tuple[ToolRequestDelta, ...] = ()
    finish_reason: FinishReason | None = None
    usage: Usage | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What a core answers: text and tool calls of a chat or completion, the vectors of an embedding, a manager's data."""

    text: str = ""
    tool_calls: tuple[ToolRequest, ...] = ()
    finish_reason: FinishReason = "stop"
    usage: Usage = field(default_factory=Usage)
    model: str = ""
    vectors: tuple[tuple[float, ...], ...] = ()
    data: Any = None


def _characters_of(value: Any) -> int:
    """Characters of a message or tool, nested content included, without building its JSON when it is plain text."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, Mapping):
        content: Any = value.get("content")  # pyright: ignore[reportUnknownMemberType,reportUnknownVariableType]
        if isinstance(content, str) and not value.get("tool_calls"):  # pyright: ignore[reportUnknownMemberType]
            return len(content)
    return len(json.dumps(value, default=str))
