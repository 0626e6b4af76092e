"""A simulated OpenAI-compatible endpoint on loopback: deterministic replies, real limits, scripted faults.

Standard library only, so that it runs in every framework's environment.
"""

from ._prompt import Prompt
from ._replies import Reply, ToolCall, default_reply
from ._server import Endpoint
from ._service import Record
from ._tokens import count_tokens

__all__ = ["Endpoint", "Prompt", "Record", "Reply", "ToolCall", "count_tokens", "default_reply"]
