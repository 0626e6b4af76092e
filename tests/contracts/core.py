"""The conformance suite of serving cores: every core's tests subclass it, third parties' too."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest

from aios_kernel import ChatCall, CoreError, Delta, Kernel, Reply, SyscallError
from aios_kernel.cores.base import Core
from tests.support.waiting import PATIENCE, wait_until

ASK = ({"role": "user", "content": "say something"},)
TOOLS = (
    {
        "type": "function",
        "function": {"name": "look_up", "parameters": {"type": "object", "properties": {"word": {"type": "string"}}}},
    },
)


class CoreContract:
    """What every serving core must do. A subclass says how to make one.

    `serving()` gives a core that answers chats with a non-empty text of at least three tokens. `calling()` gives one
    that answers with a call of `look_up`; `failing()` one that fails every call; `slow()` one whose calls do not end by
    themselves within the patience of a test. Those a core cannot provide raise `pytest.skip`.
    """

    model = "m"

    def serving(self) -> AbstractContextManager[Core]:
        raise NotImplementedError

    def calling(self) -> AbstractContextManager[Core]:
        pytest.skip("this core calls no tools on demand")

    def failing(self) -> AbstractContextManager[Core]:
        pytest.skip("this core cannot be made to fail")

    def slow(self) -> AbstractContextManager[Core]:
        pytest.skip("this core cannot be made slow")

    # Helpers

    @contextmanager
    def kernel(self, make: Callable[[], AbstractContextManager[Core]]) -> Iterator[Kernel]:
        with make() as core:
            kernel = Kernel(llm=core)
            try:
                yield kernel
            finally:
                kernel.close()

    def chat(self, **options: Any) -> ChatCall:
        return ChatCall(**{"model": self.model, "messages": ASK, **options})

    def ask(self, kernel: Kernel, **options: Any) -> Reply:
        with kernel.syscall(self.chat(**options)) as grant:
            assert not grant.lease
            return grant.reply()

    def idle(self, kernel: Kernel) -> bool:
        return all(row["running"] == 0 and row["waiting"] == 0 for row in kernel.status().resources)

    # Replies and streams

    def test_a_reply_has_text_a_finish_reason_and_usage(self) -> None:
        """One chat, answered whole; the tokens are counted and charged to the agent."""
        with self.kernel(self.serving) as kernel:
            reply = self.ask(kernel)
            assert reply.text
            assert reply.finish_reason in {"stop", "length"}
            assert reply.usage.input_tokens > 0
            assert reply.usage.output_tokens > 0
            assert kernel.processes.root.usage == reply.usage
            assert self.idle(kernel)

    async def test_a_reply_can_be_awaited(self) -> None:
        """The same from an event loop."""
        with self.kernel(self.serving) as kernel:
            async with kernel.syscall(self.chat()) as grant:
                assert (await grant.areply()).text

    def test_a_stream_comes_in_pieces_with_one_end(self) -> None:
        """The pieces put together are a text; exactly one delta, the last, has finish reason and usage."""
        with self.kernel(self.serving) as kernel:
            with kernel.syscall(self.chat(stream=True)) as grant:
                deltas = list(grant.deltas())
            self.check_stream(deltas)
            assert self.idle(kernel)

    async def test_a_stream_can_be_awaited(self) -> None:
        """The same from an event loop."""
        with self.kernel(self.serving) as kernel:
            async with kernel.syscall(self.chat(stream=True)) as grant:
                deltas = [delta async for delta in grant.adeltas()]
            self.check_stream(deltas)

    def check_stream(self, deltas: list[Delta]) -> None:
        assert "".join(delta.text for delta in deltas)
        assert [delta for delta in deltas if delta.finish_reason is not None] == deltas[-1:]
        assert deltas[-1].usage is not None
        assert deltas[-1].usage.output_tokens > 0

    def test_calls_at_once_get_an_answer_each(self) -> None:
        """Eight threads, whole and streamed: every one is answered, nothing is left running."""
        answers: list[object] = []
        with self.kernel(self.serving) as kernel:

            def call(number: int) -> None:
                if number % 2:
                    answers.append(self.ask(kernel).text)
                else:
                    with kernel.syscall(self.chat(stream=True)) as grant:
                        answers.append("".join(delta.text for delta in grant.deltas()))

            threads = [threading.Thread(target=call, args=(n,), daemon=True) for n in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(PATIENCE)
            assert len(answers) == 8
            assert all(answers)
            wait_until(lambda: self.idle(kernel))

    # Tools

    def test_a_tool_call_has_name_and_arguments(self) -> None:
        """Whole: the request, and the finish reason that says so."""
        with self.kernel(self.calling) as kernel:
            reply = self.ask(kernel, tools=TOOLS, tool_choice="required")
            assert [request.name for request in reply.tool_calls] == ["look_up"]
            assert reply.tool_calls[0].id
            assert reply.tool_calls[0].arguments.startswith("{")
            assert reply.finish_reason == "tool_calls"

    def test_a_streamed_tool_call_begins_with_its_name(self) -> None:
        """Streamed: id and name with the first piece, the arguments in order."""
        with self.kernel(self.calling) as kernel:
            with kernel.syscall(self.chat(tools=TOOLS, tool_choice="required", stream=True)) as grant:
                deltas = list(grant.deltas())
            pieces = [piece for delta in deltas for piece in delta.tool_calls]
            assert (pieces[0].name, bool(pieces[0].id)) == ("look_up", True)
            assert "".join(piece.arguments for piece in pieces).startswith("{")
            assert deltas[-1].finish_reason == "tool_calls"

    # Ends

    @pytest.mark.parametrize("stream", [False, True])
    def test_a_failure_is_raised_in_the_caller_only(self, stream: bool) -> None:
        """A call that fails raises `CoreError`; the place is free again."""
        with self.kernel(self.failing) as kernel:
            with pytest.raises(CoreError), kernel.syscall(self.chat(stream=stream)) as grant:
                list(grant.deltas()) if stream else grant.reply()
            wait_until(lambda: self.idle(kernel))

    def test_a_half_read_stream_gives_its_place_back(self) -> None:
        """Leaving a stream after its first piece ends the call."""
        with self.kernel(self.serving) as kernel:
            with kernel.syscall(self.chat(stream=True)) as grant:
                next(iter(grant.deltas()))
            wait_until(lambda: self.idle(kernel))
            assert self.ask(kernel).text

    def test_leaving_without_reading_ends_the_call(self) -> None:
        """A caller that never asks for the reply does not hold the core."""
        with self.kernel(self.slow) as kernel:
            with kernel.syscall(self.chat()):
                pass
            wait_until(lambda: self.idle(kernel))

    async def test_cancelling_the_task_ends_the_call(self) -> None:
        """Cancellation goes through, and the place is free again."""
        with self.kernel(self.slow) as kernel:

            async def call() -> Reply:
                async with kernel.syscall(self.chat()) as grant:
                    return await grant.areply()

            task = asyncio.create_task(call())
            await asyncio.to_thread(wait_until, lambda: any(row["running"] for row in kernel.status().resources))
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            wait_until(lambda: self.idle(kernel))

    def test_close_wakes_everyone(self) -> None:
        """Callers that wait for replies and pieces are all told when the kernel closes."""
        told: list[BaseException] = []
        with self.kernel(self.slow) as kernel:

            def call(number: int) -> None:
                try:
                    with kernel.syscall(self.chat(stream=number % 2 == 0)) as grant:
                        list(grant.deltas()) if number % 2 == 0 else grant.reply()
                except SyscallError as error:
                    told.append(error)

            threads = [threading.Thread(target=call, args=(n,), daemon=True) for n in range(4)]
            for thread in threads:
                thread.start()
            wait_until(lambda: sum(row["running"] + row["waiting"] for row in kernel.status().resources) == 4)
            kernel.close()
            for thread in threads:
                thread.join(PATIENCE)
            assert len(told) == 4
