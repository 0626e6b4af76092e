"""A server on the loopback that speaks Anthropic's Messages API, whole and streamed; for providers no openai SDK is in."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["MessagesServer"]

_HEAD = {"id": "msg_1", "type": "message", "role": "assistant", "model": "sim", "stop_sequence": None}


class MessagesServer:
    """Answer each message with the same words; `failing` requests from now on are refused as overloaded."""

    def __init__(self, text: str = "said by the provider") -> None:
        self.text, self.failing = text, 0
        self.requests: list[dict[str, Any]] = []
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"to": self}))
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True)

    @property
    def base_url(self) -> str:
        """Where it listens; the path of the API is the client's."""
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def body(self) -> dict[str, Any]:
        """A whole answer."""
        usage = {"input_tokens": 5, "output_tokens": len(self.text.split())}
        return {**_HEAD, "content": [{"type": "text", "text": self.text}], "stop_reason": "end_turn", "usage": usage}

    def events(self) -> list[dict[str, Any]]:
        """The events of a streamed one, a word each."""
        start = {**_HEAD, "content": [], "stop_reason": None, "usage": {"input_tokens": 5, "output_tokens": 0}}
        words = [{"type": "text_delta", "text": f"{word} "} for word in self.text.split()]
        return [
            {"type": "message_start", "message": start},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
            *({"type": "content_block_delta", "index": 0, "delta": delta} for delta in words),
            {"type": "content_block_stop", "index": 0},
            {
                "type": "message_delta",
                "delta": {"stop_reason": "end_turn", "stop_sequence": None},
                "usage": {"output_tokens": len(words)},
            },
            {"type": "message_stop"},
        ]


class _Handler(BaseHTTPRequestHandler):
    to: MessagesServer

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.to.requests.append({"path": self.path, **asked})
        if self.to.failing:
            self.to.failing -= 1
            error = {"type": "error", "error": {"type": "overloaded_error", "message": "too much to do"}}
            self._answer(529, "application/json", json.dumps(error))
        elif asked.get("stream"):
            lines = (f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in self.to.events())
            self._answer(200, "text/event-stream", "".join(lines))
        else:
            self._answer(200, "application/json", json.dumps(self.to.body()))

    def _answer(self, status: int, kind: str, body: str) -> None:
        data = body.encode()
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name it has
        """Say nothing."""
