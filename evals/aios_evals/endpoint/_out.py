"""How a reply goes out, spoiled where the request's fault says so."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ._http import Connection
from ._prompt import Json

JSON = {"content-type": "application/json"}
EVENTS = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"}


@dataclass
class Out:
    """The way a reply goes out, spoiled where the fault says so."""

    to: Connection
    headers: dict[str, str]
    fault: str

    def whole(self, body: bytes) -> None:
        if self.fault == "truncated-stream":
            self.to.send(200, body[: len(body) // 2], {**JSON, **self.headers}, promised=len(body))
            self.to.close()
        else:
            cut = body[: len(body) // 2] if self.fault == "bad-json" else body
            self.to.send(200, cut, {**JSON, **self.headers})

    def open(self) -> None:
        self.to.start_stream({**EVENTS, **self.headers})

    def spoil(self, events: list[Json]) -> Iterator[Json]:
        yield from events if self.fault != "truncated-stream" else events[: len(events) // 2]

    def event(self, text: str) -> None:
        text = text.replace("}", "", 1) if self.fault == "bad-json" else text
        self.to.send_chunk(text.encode())

    def end(self, text: str) -> None:
        if self.fault == "truncated-stream":
            self.to.close()
        else:
            self.to.end_stream(text.encode())
