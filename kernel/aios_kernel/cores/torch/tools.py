"""Tool calls: how each family of models writes them, as a grammar to write by and a parser to read them back."""

from __future__ import annotations

import json
import re
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

from aios_kernel.abi import ToolRequest
from aios_kernel.cores.torch.grammar import json_rule
from aios_kernel.cores.torch.text import held_back

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["FORMATS", "ToolFormat", "ToolParser", "detect"]

Found = tuple[str, list[ToolRequest]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolFormat:
    """One way to write tool calls.

    `sign` is text of a chat template that gives the format away; a call is `opening` + JSON + `closing`, where the JSON
    object's arguments are under `key` and `listed` means one JSON list of all calls. Without an opening, a reply that
    begins with a brace is a call.
    """

    name: str
    sign: str
    opening: str = ""
    closing: str = ""
    key: Literal["arguments", "parameters"] = "arguments"
    listed: bool = False

    def markers(self) -> tuple[str, ...]:
        """Texts that must reach the parser even where the tokenizer calls them special."""
        return tuple(m for m in (self.opening, self.closing) if m)

    def grammar(
        self,
        tools: Sequence[Mapping[str, Any]],
        token_id: Callable[[str], int | None],
        *,
        required: bool = False,
        parallel: bool = True,
        answer: str | None = None,
    ) -> str:
        """Return a Lark grammar: calls of these tools (functions with name and parameters), or a text.

        `required` leaves the text out, `answer` is the rule that a text has to follow; `token_id` tells the token that
        a marker is, if it is one.
        """
        opening, closing = (_marker(m, token_id) for m in (self.opening, self.closing))
        rules = [f"call: {' | '.join(f'call_{i}' for i in range(len(tools)))}"]
        rules += [f"call_{i}: {_call_rule(tool, self.key)}" for i, tool in enumerate(tools)]
        if self.listed:
            more = '(", " call)*' if parallel else ""
            calls = f'" "? "[" call {more} "]"'
        else:
            calls = f"call {closing}"
            if parallel and self.opening:
                calls += f' ("\\n"? {opening} call {closing})*'
        if required or answer is not None or not self.opening or token_id(self.opening) is not None:
            start, more_rules = self._after_token(f"{opening} {calls}".strip(), required=required, answer=answer)
        else:
            # The marker is ordinary text, so a text that goes on to a call is one lazy lexeme that ends in the marker.
            start = f"TEXT | before {calls}"
            more_rules = [f"before[suffix={_quoted(self.opening)}]: /(?s:.*)/", f"TEXT: {self._text()}"]
        return "\n".join([f"start: {start}", *more_rules, *rules])

    def _after_token(self, calls: str, *, required: bool, answer: str | None) -> tuple[str, list[str]]:
        if required:
            return calls, []
        if answer is not None:
            return f"answer | {calls}", [f"answer: {answer}"]
        if not self.opening:
            return f"TEXT | {calls}", ["TEXT: /(?s:[^{].*)/"]
        return f"TEXT? | TEXT? {calls}", [f"TEXT: {self._text()}"]

    def _text(self) -> str:
        """Any text without the marker."""
        return f"/(?s:.+)/ & ~/(?s:.*){re.escape(self.opening).replace('/', '[/]')}(?s:.*)/"


#: The known formats. Hermes comes last: its sign is the most common text.
FORMATS = (
    ToolFormat(name="mistral", sign="[TOOL_CALLS]", opening="[TOOL_CALLS]", listed=True),
    ToolFormat(name="llama", sign='"parameters": dictionary of argument name and its value', key="parameters"),
    ToolFormat(name="hermes", sign="<tool_call>", opening="<tool_call>", closing="</tool_call>"),
)


def detect(template: str) -> ToolFormat | None:
    """Return the format that a chat template asks its model for, None if it is none that we know."""
    return next((f for f in FORMATS if f.sign in template), None)


def _call_rule(tool: Mapping[str, Any], key: str) -> str:
    """One tool's call; its schema stays a document of its own, so that references inside it hold."""
    schema = dict(tool.get("parameters") or {})
    schema.setdefault("type", "object")
    # What a tool does not declare it does not take, whatever JSON Schema's default says.
    schema.setdefault("additionalProperties", False)
    head = f'{{"name": {json.dumps(tool["name"])}, "{key}": '
    return f'{_quoted(head)} {json_rule(schema, lenient=not tool.get("strict"))} "}}"'


def _marker(marker: str, token_id: Callable[[str], int | None]) -> str:
    token = token_id(marker) if marker else None
    return f"<[{token}]>" if token is not None else _quoted(marker) if marker else ""


def _quoted(text: str) -> str:
    return json.dumps(text)


class ToolParser:
    """Read a reply as it is written: text apart, and each tool call once it is complete.

    What may still turn out to be a tool call is held back; what looked like one and is not is given out as text.
    """

    def __init__(self, form: ToolFormat) -> None:
        self._form = form
        self._tail = ""
        self._inside = False
        self._between = False  # a call has just ended: line breaks before the next one, or at the end, are no content
        self._said = False  # some text was given out

    def push(self, text: str) -> Found:
        """Return the text that can be given out and the calls that became complete."""
        self._tail += text
        out: list[str] = []
        calls: list[ToolRequest] = []
        while self._advance(out, calls):
            pass
        return self._said_so("".join(out)), calls

    def flush(self, *, cut: bool = False) -> Found:
        """Return what is left at the end of the reply; half a call is dropped where the reply was `cut` short."""
        tail, self._tail = self._tail, ""
        if not self._inside:
            return self._said_so("" if self._between and not tail.strip() else tail), []
        calls = _read_calls(tail.removesuffix(self._form.closing) if self._form.closing else tail)
        return ("", calls) if calls or cut else (self._said_so(self._form.opening + tail), [])

    def _advance(self, out: list[str], calls: list[ToolRequest]) -> bool:
        """Move over one border between text and call; False when more text is needed."""
        return self._leave(out, calls) if self._inside else self._enter(out)

    def _enter(self, out: list[str]) -> bool:
        opening = self._form.opening
        if not opening:
            return self._enter_at_brace(out)
        if self._between and not self._tail.strip():
            return False
        before, found, after = self._tail.partition(opening)
        if found:
            out.append("" if self._between and not before.strip() else before)
            self._tail, self._inside, self._between = after, True, False
            return True
        keep = held_back(self._tail, (opening,))
        if self._between and not self._tail[: len(self._tail) - keep].strip():
            return False
        self._between = False
        out.append(self._tail[: len(self._tail) - keep])
        self._tail = self._tail[len(self._tail) - keep :]
        return False

    def _enter_at_brace(self, out: list[str]) -> bool:
        stripped = self._tail.lstrip()
        if not self._said and stripped.startswith("{"):
            self._inside = True
            return False
        if stripped or self._said:
            out.append(self._tail)
            self._tail = ""
        return False

    def _leave(self, out: list[str], calls: list[ToolRequest]) -> bool:
        closing = self._form.closing
        if not closing or closing not in self._tail:
            return False
        body, _, after = self._tail.partition(closing)
        found = _read_calls(body)
        if found:
            calls.extend(found)
        else:
            out.append(self._form.opening + body + closing)
        self._tail, self._inside, self._between = after, False, bool(found)
        return True

    def _said_so(self, text: str) -> str:
        self._said = self._said or bool(text.strip())
        return text


def _read_calls(text: str) -> list[ToolRequest]:
    """Read one call or a list of calls from JSON; none when it is not that."""
    try:
        value: Any = json.loads(text)
    except ValueError:
        return []
    listed = cast("list[Any]", value) if isinstance(value, list) else [value]
    calls = [_read_call(one, text) for one in listed]
    return [] if not all(calls) else [call for call in calls if call is not None]


def _read_call(value: Any, text: str) -> ToolRequest | None:
    if not isinstance(value, dict) or not isinstance(value.get("name"), str):
        return None
    call = cast("dict[str, Any]", value)
    arguments: Any = call.get("arguments", call.get("parameters", {}))
    written = arguments if isinstance(arguments, str) else _as_written(arguments, text)
    return ToolRequest(id=f"call_{uuid.uuid4().hex[:24]}", name=call["name"], arguments=written)


def _as_written(arguments: Any, text: str) -> str:
    """The arguments' own characters in the text, so that nothing the model wrote is rewritten."""
    decoder = json.JSONDecoder()
    for match in re.finditer(r'"(?:arguments|parameters)"\s*:\s*', text):
        try:
            value, end = decoder.raw_decode(text, match.end())
        except ValueError:
            continue
        if value == arguments:
            return text[match.end() : end]
    return json.dumps(arguments)
