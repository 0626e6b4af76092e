"""The tool manager: tool calls served from a registry, each in a thread of its own that nobody waits for longer than agreed."""

from __future__ import annotations

import contextvars
import json
import threading
from collections import Counter
from typing import TYPE_CHECKING, Any, ClassVar

from aios_kernel.abi import ToolCall
from aios_kernel.clock import Clock, SystemClock
from aios_kernel.errors import (
    CoreError,
    KernelClosed,
    SyscallError,
    ToolArguments,
    ToolTimeout,
    ToolUnavailable,
    ToolUnknown,
)
from aios_kernel.managers.base import Manager
from aios_kernel.toolkit.calling import Prepared, attempted, plain
from aios_kernel.toolkit.own import UNBOUNDED, own_tools
from aios_kernel.toolkit.registry import Registry
from aios_kernel.toolkit.results import DirectoryResults, ResultStore, stored_reply
from aios_kernel.toolkit.running import Running, running
from aios_kernel.toolkit.seen import SeenTools
from aios_kernel.toolkit.tool import Tool
from aios_kernel.toolkit.validation import parse_arguments, problems

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from aios_kernel.abi import Call
    from aios_kernel.kernel import Kernel
    from aios_kernel.process import Process
    from aios_kernel.serving import Job

__all__ = ["ToolManager"]

MAX_RESULT = 16_000  # characters of JSON that a caller gets at once; what is longer is stored
MAX_ABANDONED = 16  # threads of one tool that hang before it takes no more calls
RESOURCE = "tool:"


class ToolManager(Manager):
    """Serve tool calls by name.

    `tools` are added to the `shipped` ones (None: those of `shipped_tools()`) and to the entry points of the group
    `aios.tools`. Arguments are checked before a call is queued. Every call runs in a thread of its own, as the calling
    agent: a tool that raises, hangs or calls `sys.exit` is its caller's failure alone. Results longer than `max_result`
    characters are kept in `results`, and the caller gets a reference. A call that did not end in its tool's time is
    answered with `ToolTimeout` and no longer counts; its thread goes on if it cannot be stopped, and a tool with
    sixteen such threads takes no calls until one ends.
    """

    kind: ClassVar[str] = "tools"
    kinds: ClassVar[frozenset[str]] = frozenset({"tool"})

    def __init__(
        self,
        tools: Iterable[Tool | Callable[..., Any]] = (),
        *,
        shipped: Iterable[Tool] | None = None,
        load_entry_points: bool = True,
        results: ResultStore | None = None,
        max_result: int = MAX_RESULT,
        clock: Clock | None = None,
        name: str = "tools",
    ) -> None:
        super().__init__(name)
        self.registry, self.seen = Registry(), SeenTools()
        self.results: ResultStore = results or DirectoryResults()
        self._max_result = max_result
        self._clock, self._own_clock = clock or SystemClock(), clock is None
        self._kernel: Kernel | None = None
        self._under_way: set[Running] = set()
        self._abandoned: Counter[str] = Counter()
        self._closers: list[Callable[[], object]] = []
        if shipped is None:
            # Imported here: a manager of a program's own tools needs none of them.
            from aios_kernel.toolkit.shipped import shipped_tools

            shipped = shipped_tools()
        for tool in (*own_tools(self.results, self.rows), *shipped, *tools):
            self.registry.add(tool)
        if load_entry_points:
            self.registry.load_entry_points()

    # Tools ---------------------------------------------------------------------------------------------------------

    def add(self, tool: Tool | Callable[..., Any], *, replace: bool = False, **settings: Any) -> Tool:
        """Add a tool, or a callable as one; settings are fields of `Tool`."""
        return self.registry.add(tool, replace=replace, **settings)

    def remove(self, name: str) -> None:
        """Take a tool out."""
        self.registry.remove(name)

    def on_close(self, close: Callable[[], object]) -> None:
        """Have `close` called when the manager closes, for whatever stands behind some of the tools."""
        self._closers.append(close)

    def rows(self) -> list[dict[str, Any]]:
        """Every tool as plain data, with what it lacks; then the tools of frameworks, which only they can run."""
        broken = [
            {"name": name, "origin": "entry point", "missing": [reason]}
            for name, reason in sorted(self.registry.broken.items())
        ]
        return [*(self._row(tool) for tool in self.registry), *broken, *self.seen.rows()]

    def marks(self, call: ToolCall) -> frozenset[str]:
        """What an access manager wants to know of a call's tool: "destructive", "sandboxed"; for `AccessManager(marks=)`."""
        tool = None if call.lease else self.registry.find(call.name)
        if tool is None:
            return frozenset()
        return frozenset({"destructive"} if tool.destructive else {"sandboxed"} if tool.code else ())

    def _row(self, tool: Tool) -> dict[str, Any]:
        return {
            "name": tool.name,
            "description": tool.description,
            "parameters": dict(tool.parameters),
            "origin": tool.origin,
            "missing": tool.missing(),
            "limit": tool.limit,
            "timeout": tool.timeout,
            "idempotent": tool.idempotent,
            "destructive": tool.destructive,
            "code": tool.code,
            "abandoned": self._abandoned[tool.name],
        }

    # The Manager interface -----------------------------------------------------------------------------------------

    def bind(self, kernel: Kernel) -> None:
        """Take the kernel: tools make calls through it, and the calls of frameworks' own tools are seen."""
        self._kernel = kernel
        if self.seen not in kernel.checks:
            kernel.checks.append(self.seen)

    def limit_of(self, resource: str) -> int | None:
        """The parallel limit that the tool of a run queue declares."""
        tool = self.registry.find(resource.removeprefix(RESOURCE)) if resource.startswith(RESOURCE) else None
        return None if tool is None else tool.limit

    def prepare(self, call: Any) -> Prepared:
        """Find the tool and check the arguments before the call is queued; raises what the caller can act on."""
        tool = self._tool(call.name)
        arguments, wrong = parse_arguments(call.arguments)
        # A server checks its own patterns, and one that takes for ever to match would hold up all of this process.
        wrong = wrong or problems(arguments, tool.parameters, patterns=tool.origin != "mcp")
        if wrong:
            raise ToolArguments(f"{tool.name} was not run: {'; '.join(wrong)}")
        if self._abandoned[tool.name] >= MAX_ABANDONED:
            raise ToolUnavailable(
                f"{tool.name} takes no calls: {self._abandoned[tool.name]} earlier ones timed out and still hang"
            )
        return Prepared(tool, arguments)

    def start(self, job: Job) -> None:
        """Hand a granted call to a thread of its own, and set its timer."""
        prepared: Prepared = job.prepared
        state = Running(job, prepared.tool, self._kernel)
        with self._lock:
            if self._closed:
                job.fail(KernelClosed(f"manager {self.name!r} is closed"))
                return
            self._under_way.add(state)
        context = contextvars.Context()
        context.run(state.enter)
        thread = threading.Thread(
            target=lambda: self._work(state, context), daemon=True, name=f"aios-{prepared.tool.name}"
        )
        job.on_cancel(lambda: self._stop(state, CoreError("the call was cancelled")))
        try:
            thread.start()
        except RuntimeError as error:  # no thread can be had
            self._left(state)
            job.fail(CoreError(f"{prepared.tool.name} could not be started: {error}"))

    def _work(self, state: Running, context: contextvars.Context) -> None:
        tool, timer = state.tool, None
        if tool.timeout is not None:
            message = f"{tool.name} did not end within {tool.timeout:g} seconds"
            due = self._clock.now() + tool.timeout
            timer = self._clock.call_at(due, lambda: self._stop(state, ToolTimeout(message)))
        try:
            context.run(self._serve, state.job)
        finally:
            if timer is not None:
                timer.cancel()
            self._left(state)

    def _stop(self, state: Running, error: SyscallError) -> None:
        """Answer the caller; the thread counts as hanging until it is done."""
        with self._lock:
            if state in self._under_way and not state.counted:
                self._abandoned[state.tool.name] += 1
                state.counted = True
        state.stop(error)

    def _left(self, state: Running) -> None:
        state.leave()
        with self._lock:
            self._under_way.discard(state)
            if state.counted:
                self._abandoned[state.tool.name] -= 1
        self._end()

    def handle(self, call: Call, process: Process) -> Any:
        """Run the tool, in this thread."""
        if not isinstance(call, ToolCall):
            raise CoreError(f"a {call.kind} call is not a tool call")
        state = running()
        prepared: Prepared = state.job.prepared
        missing = (
            prepared.tool.missing()
        )  # here and not in `prepare`: looking may take a while, and callers have event loops
        if missing:
            raise ToolUnavailable(f"{prepared.tool.name} cannot run here, it needs {'; '.join(missing)}")
        return self._fitting(process, plain(attempted(state, prepared)), prepared.tool)

    def _fitting(self, process: Process, result: Any, tool: Tool) -> Any:
        """The result, or a reference to it where it is too large for a context."""
        if tool.name in UNBOUNDED:
            return result
        text = result if isinstance(result, str) else json.dumps(result, ensure_ascii=False)
        if len(text) <= self._max_result:
            return result
        return stored_reply(self.results.put(process.agent, text), text)

    def _tool(self, name: str) -> Tool:
        try:
            return self.registry.get(name)
        except ToolUnknown as error:
            frameworks = [one for one in self.seen.frameworks_of(name) if one]
            if not frameworks:
                raise
            raise ToolUnknown(f"{error} It was seen in {', '.join(frameworks)}, and only runs there.") from None

    def status(self) -> dict[str, Any]:
        """Describe the manager, for people."""
        with self._lock:
            hanging = {name: count for name, count in self._abandoned.items() if count}
            return {
                **super().status(),
                "tools": len(self.registry),
                "running": len(self._under_way),
                "hanging": hanging,
            }

    def after_fork(self) -> None:
        """Forget the parent's threads."""
        super().after_fork()
        self._under_way, self._abandoned = set(), Counter()
        self.registry.after_fork()
        self.seen.after_fork()
        if self._own_clock:
            self._clock = SystemClock()

    def close(self) -> None:
        """Take no more calls; those under way end by themselves, or when their time is over."""
        super().close()
        closers, self._closers = self._closers, []
        for close in closers:
            close()
        self._end()

    def _end(self) -> None:
        """Stop the clock once nobody needs it."""
        with self._lock:
            over = self._closed and not self._under_way and self._own_clock
        if over:
            self._clock.close()
