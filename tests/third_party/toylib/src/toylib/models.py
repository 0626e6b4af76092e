"""Models: one HTTP request per call, whole or in pieces."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from collections.abc import Iterator


class ToyError(Exception):
    """What the framework raises when a model does not answer."""


class Model:
    """A chat model behind a URL."""

    def __init__(self, base_url: str, name: str) -> None:
        self.base_url, self.name = base_url, name

    def ask(self, text: str) -> str:
        """Return the whole reply."""
        return self._complete(text.strip())

    async def aask(self, text: str) -> str:
        """Return the whole reply without blocking the event loop."""
        return await self._acomplete(text.strip())

    def stream(self, text: str) -> Iterator[str]:
        """Yield the reply in pieces."""
        return self._pieces(text.strip())

    # What a provider's own class overrides

    def _complete(self, text: str) -> str:
        with self._post(text, stream=False) as response:
            return json.load(response)["choices"][0]["message"]["content"]

    async def _acomplete(self, text: str) -> str:
        return await asyncio.to_thread(self._complete, text)

    def _pieces(self, text: str) -> Iterator[str]:
        with self._post(text, stream=True) as response:
            for line in response:
                data = line.removeprefix(b"data:").strip()
                if data and data != b"[DONE]":
                    yield json.loads(data)["choices"][0]["delta"].get("content") or ""

    def _post(self, text: str, *, stream: bool):
        body = {"model": self.name, "messages": [{"role": "user", "content": text}], "stream": stream}
        headers = {"content-type": "application/json"}
        request = urllib.request.Request(f"{self.base_url}/chat/completions", json.dumps(body).encode(), headers)
        try:
            return urllib.request.urlopen(request, timeout=30)
        except OSError as error:
            raise ToyError(str(error)) from error
