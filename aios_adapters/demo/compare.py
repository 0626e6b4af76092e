"""The other side of `--compare`: the model as people run it today, transformers' `generate` behind one lock.

It is a core only so that the programs can stay as they are: it batches nothing, shares no prefixes and lets nobody
ahead; the kernel in front of it grants every call at once.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, ClassVar

from aios_kernel.abi import ChatCall, Reply, Sampling, Usage
from aios_kernel.cores.base import Core
from aios_kernel.errors import CoreError, KernelClosed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aios_kernel.abi import LLMCall
    from aios_kernel.serving import Job

__all__ = ["LockedGenerate"]

MAX_TOKENS = 512


class LockedGenerate(Core):
    """Serve one call after the other with `model.generate`; `waits` are the seconds each call stood at the lock."""

    kind: ClassVar[str] = "generate"
    operations: ClassVar[frozenset[str]] = frozenset({"chat"})

    def __init__(self, model: Any, tokenizer: Any, *, eos: Sequence[int] = (), name: str = "generate") -> None:
        super().__init__(name)
        self.waits: list[float] = []
        self._model, self._tokenizer, self._eos = model, tokenizer, list(eos)
        self._lock = threading.Lock()
        self._closed = threading.Event()

    def warm_up(self) -> None:
        """Generate one token, so that the first call does not pay for what transformers does once."""
        self._generate(self._tokenizer.encode("Hello"), ChatCall(sampling=Sampling(max_tokens=1)), lambda: False)

    def start(self, job: Job) -> None:
        """Have a thread of its own stand in line for the model."""
        threading.Thread(target=self._serve, args=(job, time.monotonic()), name="generate", daemon=True).start()

    def close(self) -> None:
        """Stop after the next token; whoever waits fails."""
        self._closed.set()

    def _serve(self, job: Job, arrived: float) -> None:
        try:
            with self._lock:
                self.waits.append(time.monotonic() - arrived)
                if self._closed.is_set():
                    raise KernelClosed(f"core {self.name!r} is closed")
                job.finish(self._reply(job.call, job))
        except Exception as error:  # noqa: BLE001 - it is the caller's failure
            job.fail(error if isinstance(error, CoreError | KernelClosed) else CoreError(f"generate raised {error!r}"))

    def _reply(self, call: LLMCall, job: Job) -> Reply:
        if not isinstance(call, ChatCall):
            raise CoreError("only chats are compared")
        from aios_kernel.cores.torch.tools import FORMATS, ToolParser, detect

        prompt = self._prompt(call)
        output = self._generate(prompt, call, lambda: job.cancelled or self._closed.is_set())
        usage = Usage(input_tokens=len(prompt), output_tokens=len(output))
        text = _cut(self._text(output), call.sampling.stop)
        if not call.tools:
            return Reply(text=text, usage=usage, model=call.model)
        parser = ToolParser(detect(self._tokenizer.chat_template) or FORMATS[-1])
        (said, calls), (rest, more) = parser.push(text), parser.flush()
        found = (*calls, *more)
        finish = "tool_calls" if found else "stop"
        return Reply(text=said + rest, tool_calls=found, finish_reason=finish, usage=usage, model=call.model)

    def _prompt(self, call: ChatCall) -> list[int]:
        from aios_kernel.cores.torch import chat

        template = self._tokenizer.chat_template
        text = chat.render(self._tokenizer, chat.messages_for(call.messages, template), chat.functions(call.tools), {})
        return list(self._tokenizer.encode(text, add_special_tokens=False))

    def _generate(self, prompt: Sequence[int], call: ChatCall, abandoned: Callable[[], bool]) -> list[int]:
        import torch
        from transformers import StoppingCriteria, StoppingCriteriaList

        class Abandoned(StoppingCriteria):
            def __call__(self, ids: Any, scores: Any, **options: Any) -> Any:
                return torch.full((ids.shape[0],), abandoned(), dtype=torch.bool, device=ids.device)

        ids = torch.tensor([list(prompt)], device=self._model.device)
        stop = {"stop_strings": list(call.sampling.stop), "tokenizer": self._tokenizer} if call.sampling.stop else {}
        with torch.inference_mode():
            output = self._model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                do_sample=False,
                max_new_tokens=call.sampling.max_tokens or MAX_TOKENS,
                eos_token_id=self._eos or None,
                pad_token_id=self._eos[0] if self._eos else None,
                stopping_criteria=StoppingCriteriaList([Abandoned()]),
                **stop,
            )
        return output[0, ids.shape[1] :].tolist()

    def _text(self, output: Sequence[int]) -> str:
        kept = [token for token in output if token not in self._eos]
        return str(self._tokenizer.decode(kept, skip_special_tokens=False)).strip()


def _cut(text: str, stops: Sequence[str]) -> str:
    """The text up to the first stop string."""
    ends = [found for stop in stops if (found := text.find(stop)) >= 0]
    return text[: min(ends)] if ends else text
