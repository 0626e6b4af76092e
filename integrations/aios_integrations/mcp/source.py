"""An MCP server as a source of tools: one connection, kept by an event loop in a thread of its own."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import CancelledError, Future
from concurrent.futures import TimeoutError as TooLate  # its own class on Python 3.10
from contextlib import AsyncExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aios_integrations.mcp.translate import result_of, tools_of
from aios_kernel.errors import ConfigError, ToolUnavailable
from aios_kernel.toolkit import running

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator

    from mcp import Client

    from aios_kernel.toolkit import Tool, ToolManager

__all__ = ["MCPSource", "add_mcp_server"]

CONNECT = 30.0


def add_mcp_server(manager: ToolManager, org: str, **settings: Any) -> list[Tool]:
    """Connect to an MCP server and add its tools to a manager, as `org/name`; it is left when the manager closes.

    The settings are those of `MCPSource`.
    """
    source = MCPSource(org, **settings)
    try:
        added = [manager.add(tool) for tool in source.tools()]
    except BaseException:
        source.close()
        raise
    manager.on_close(source.close)
    return added


class MCPSource:
    """Connect to one MCP server: a `command` to start (stdio), or the `url` of one that runs (streamable HTTP).

    `env` and `cwd` are the command's; of this process's environment it gets only what the SDK deems safe. `headers` go
    with every request to the URL. A connection that broke is made anew by the next call; the call that it broke under
    fails, since nobody knows how far it came. `destructive` overrides what the server says of its tools; `limit` and
    `timeout` are those of each tool. What a server says of itself, descriptions included, is as trustworthy as it is.
    Raises `ToolUnavailable` where there is no connection within `connect` seconds.
    """

    def __init__(
        self,
        org: str,
        *,
        command: Sequence[str] = (),
        url: str = "",
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        headers: Mapping[str, str] | None = None,
        destructive: bool | None = None,
        limit: int | None = None,
        timeout: float | None = 60.0,
        connect: float = CONNECT,
    ) -> None:
        if bool(command) is bool(url):
            raise ConfigError(f"MCP server {org!r}: give either a command to start, or the url of one that runs")
        self.org = org
        self._command, self._url = list(command), url
        self._env, self._cwd, self._headers = dict(env or {}), cwd, dict(headers or {})
        self._settings: dict[str, Any] = {"destructive": destructive, "limit": limit, "timeout": timeout}
        self._connect_within = connect
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False
        self._opening = asyncio.Lock()
        self._client: Client | None = None
        self._holder: asyncio.Task[None] | None = None
        self._end = asyncio.Event()

    def tools(self) -> list[Tool]:
        """The server's tools, as it lists them now; each call of one goes through the connection."""
        listed = self._wait(self._list())
        return tools_of(self.org, listed, self._call, self._settings)

    def close(self) -> None:
        """Leave the server; a command that was started ends. Idempotent."""
        with self._lock:
            loop, self._closed = self._loop, True
        if loop is None or loop.is_closed():
            return
        with suppress(RuntimeError, CancelledError, TooLate):
            asyncio.run_coroutine_threadsafe(self._leave(), loop).result(10)
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(loop.stop)

    # In the callers' threads

    def _call(self, name: str, arguments: dict[str, Any]) -> Any:
        return result_of(name, self._wait(self._ask(name, arguments)))

    def _wait(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Have the loop do the work, and wait; a stopped call cancels it."""
        future: Future[Any] = asyncio.run_coroutine_threadsafe(work, self._running_loop())
        try:
            with _stopping(future.cancel):
                return future.result()
        except CancelledError as error:
            raise ToolUnavailable(f"the call to MCP server {self.org!r} was stopped") from error

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._closed:
                raise ToolUnavailable(f"MCP server {self.org!r} was left")
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._run, args=(self._loop,), daemon=True, name=f"aios-mcp-{self.org}").start()
            return self._loop

    @staticmethod
    def _run(loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        loop.run_forever()
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()

    # In the loop

    async def _list(self) -> list[Any]:
        client = await self._connected()
        found: list[Any] = []
        cursor: str | None = None
        while True:
            page = await client.list_tools(cursor=cursor)
            found += page.tools
            cursor = page.next_cursor
            if not cursor:
                return found

    async def _ask(self, name: str, arguments: dict[str, Any]) -> Any:
        from mcp import MCPError

        client = await self._connected()
        try:
            return await client.call_tool(name, arguments)
        except MCPError:
            if await self._broken(client):
                await self._drop(client)
            raise
        except (OSError, RuntimeError):
            await self._drop(client)
            raise

    async def _broken(self, client: Client) -> bool:
        """Whether the error came of the connection: then nothing else gets through it either."""
        try:
            await asyncio.wait_for(client.list_tools(cache_mode="bypass"), 5)
        except Exception:  # noqa: BLE001 - whatever it is, this connection is of no more use
            return True
        return False

    async def _connected(self) -> Client:
        async with self._opening:
            if self._client is not None:
                return self._client
            opened: asyncio.Future[Client] = asyncio.get_running_loop().create_future()
            self._end = asyncio.Event()
            # One task enters and leaves the connection: its scopes belong to the task they are opened in.
            self._holder = asyncio.ensure_future(self._hold(opened, self._end))
            try:
                client = await asyncio.wait_for(asyncio.shield(opened), self._connect_within)
            except Exception as error:
                self._holder.cancel()
                reason = "in time" if isinstance(error, asyncio.TimeoutError) else f": {_innermost(error)}"
                raise ToolUnavailable(
                    f"MCP server {self.org!r} cannot be reached {reason}".replace(" :", ":")
                ) from error
            self._client = client
            return client

    async def _hold(self, opened: asyncio.Future[Client], end: asyncio.Event) -> None:
        try:
            async with AsyncExitStack() as stack:
                client = await stack.enter_async_context(self._made(stack))
                opened.set_result(client)
                await end.wait()
        except Exception as error:  # noqa: BLE001 - it is the callers' to hear of
            if not opened.done():
                opened.set_exception(error)

    def _made(self, stack: AsyncExitStack) -> Client:
        from mcp import Client, StdioServerParameters, stdio_client
        from mcp.client.streamable_http import streamable_http_client

        if not self._url:
            command, *args = self._command
            parameters = StdioServerParameters(command=command, args=args, env=self._env or None, cwd=self._cwd)
            # What the server writes beside the protocol is its own, not this program's output.
            log = stack.enter_context(Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - the stack closes it
            return Client(stdio_client(parameters, errlog=log))
        if not self._headers:
            return Client(self._url)
        import httpx2

        http = httpx2.AsyncClient(headers=self._headers, timeout=httpx2.Timeout(30, read=300))
        stack.push_async_callback(http.aclose)
        return Client(streamable_http_client(self._url, http_client=http))

    async def _drop(self, client: Client) -> None:
        if self._client is client:
            self._client = None
            self._end.set()

    async def _leave(self) -> None:
        holder, self._client = self._holder, None
        self._end.set()
        if holder is not None:
            await asyncio.wait([holder], timeout=8)


def _innermost(error: BaseException) -> BaseException:
    """The error that several layers of groups were made of."""
    inside: Any = error
    while getattr(inside, "exceptions", None):  # an exception group, which Python 3.10 does not know
        inside = inside.exceptions[0]
    return inside


@contextmanager
def _stopping(stop: Callable[[], object]) -> Generator[None, None, None]:
    from aios_kernel.errors import ToolError

    try:
        stopping = running().stopping
    except ToolError:  # outside of a call, as when the tools are listed
        yield
        return
    with stopping(stop):
        yield
