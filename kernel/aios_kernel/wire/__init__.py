"""OpenAI's wire format from a server's side: bodies to calls, replies to bodies and events, errors to error objects."""

from .errors import Problem, failure, problem_of
from .exchange import EVENTS, Events, answer_body, done, encode
from .requests import PATHS, build_call, unsupported

__all__ = [
    "EVENTS",
    "PATHS",
    "Events",
    "Problem",
    "answer_body",
    "build_call",
    "done",
    "encode",
    "failure",
    "problem_of",
    "unsupported",
]
