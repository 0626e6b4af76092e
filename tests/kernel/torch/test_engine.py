"""The engine: many at once give what each would get alone, and nobody's failure is another's."""

from __future__ import annotations

import itertools
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from aios_kernel import Agent, CompletionCall, ContextTooLong, CoreError, Kernel, KernelClosed, Reply, Sampling, Usage
from aios_kernel.cores.torch import TorchCore
from tests.kernel.torch.support import ask, chat, completion, core, model, reference, together, tokenizer

PROMPTS = ["the quick brown fox " * n for n in (1, 7, 3, 12, 2, 5)] + ["Grüße, 你好", "x"]


@pytest.fixture
def served() -> Iterator[tuple[Kernel, TorchCore]]:
    """A kernel over a tiny core with small prompt pieces, so that prompts take several iterations."""
    made = core(chunk_tokens=24)
    kernel = Kernel(llm=made)
    yield kernel, made
    kernel.close()


def parts(made: TorchCore) -> Any:
    """The core's insides, with the pool's books checked."""
    found: Any = made._parts
    found.pool.check_integrity()
    return found


def idle(made: TorchCore, seconds: float = 5.0) -> None:
    """Wait until the engine holds no request."""
    end = time.monotonic() + seconds
    while made.status()["resident"]:
        assert time.monotonic() < end, "the engine still holds requests"
        time.sleep(0.002)


# What comes out -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sharing", [True, False])
def test_served_together_equals_generate_alone(sharing: bool) -> None:
    """Prompts of different lengths in one batch, in pieces, beginnings shared or not: greedy text as generate's own."""
    made = core(chunk_tokens=24, prefix_sharing=sharing)
    kernel = Kernel(llm=made)
    replies = together(kernel, [completion(prompt, 12) for prompt in PROMPTS])
    kernel.close()
    assert [reply.text for reply in replies] == [reference(prompt, 12) for prompt in PROMPTS]
    assert any(reply.usage.cached_tokens for reply in replies) is sharing


def test_joining_and_leaving_mid_flight(served: tuple[Kernel, TorchCore]) -> None:
    """Requests that join while others run, and outlive them, get the same tokens."""
    kernel, _ = served
    grants: list[Any] = []
    for index, prompt in enumerate(PROMPTS):
        with kernel.syscall(completion(prompt, 4 + 3 * index)) as grant:
            grants.append(grant.keep())
        if index % 2:
            grants[-2].reply()
    replies = [grant.reply() if i not in (0, 2, 4, 6) else None for i, grant in enumerate(grants)]
    for index, reply in enumerate(replies):
        assert reply is None or reply.text == reference(PROMPTS[index], 4 + 3 * index)


def test_a_longer_turn_takes_over_the_earlier_one(served: tuple[Kernel, TorchCore]) -> None:
    """A prompt that begins with an earlier one and its reply computes only what is new, with the same result."""
    kernel, made = served
    first = ask(kernel, completion(PROMPTS[1], 8))
    longer = PROMPTS[1] + " and then the dog sleeps"
    again = ask(kernel, completion(longer, 8))
    assert again.usage.cached_tokens >= first.usage.input_tokens - 2
    assert again.text == reference(longer, 8)
    assert made.status()["shared_tokens"] == again.usage.cached_tokens


@pytest.mark.parametrize("window", [8, 40])
def test_sliding_windows(window: int) -> None:
    """A model whose attention looks back a limited way gets the same tokens as generate."""
    import torch
    from transformers import MistralConfig, MistralForCausalLM

    def made() -> Any:
        torch.manual_seed(1)
        return MistralForCausalLM(
            MistralConfig(
                vocab_size=430, hidden_size=48, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
                num_key_value_heads=2, sliding_window=window, max_position_embeddings=256, initializer_range=0.3,
                eos_token_id=None, bos_token_id=None, pad_token_id=None,
            )
        ).eval()  # fmt: skip

    kernel = Kernel(llm=core(model=made(), chunk_tokens=24))
    replies = together(kernel, [completion(prompt, 10) for prompt in PROMPTS[:4]])
    kernel.close()
    words, plain = tokenizer(), made()
    for prompt, reply in zip(PROMPTS, replies, strict=False):
        ids = torch.tensor([words.encode(prompt)])
        out = plain.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=10, do_sample=False, pad_token_id=0
        )
        assert reply.text == words.decode(out[0, ids.shape[1] :], skip_special_tokens=True)


def test_capped_scores_and_sinks() -> None:
    """Models whose attention the fused kernel cannot compute (Gemma 2, gpt-oss) pass the check against their own."""
    import torch
    from transformers import Gemma2Config, Gemma2ForCausalLM, GptOssConfig, GptOssForCausalLM

    shape: dict[str, Any] = {
        "vocab_size": 430, "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 128,
        "initializer_range": 0.3, "eos_token_id": None, "bos_token_id": None, "pad_token_id": None,
    }  # fmt: skip
    torch.manual_seed(0)
    gemma = Gemma2ForCausalLM(Gemma2Config(**shape, attn_logit_softcapping=2.0))
    oss = GptOssForCausalLM(GptOssConfig(**shape, num_local_experts=2, num_experts_per_tok=1))
    for one in (gemma, oss):
        kernel = Kernel(llm=core(model=one.eval()))
        assert ask(kernel, completion("the quick brown", 5)).usage.output_tokens == 5
        kernel.close()


def test_seeds_reproduce_in_any_company(served: tuple[Kernel, TorchCore]) -> None:
    """A seeded draw is the same alone and among others, and another seed gives another text."""
    kernel, _ = served
    drawn: dict[str, Any] = {"temperature": 1.0, "top_p": 0.95}
    alone = ask(kernel, completion(PROMPTS[0], 16, seed=7, **drawn)).text
    calls = [completion(prompt, 16, seed=i, **drawn) for i, prompt in enumerate(PROMPTS)]
    company = together(kernel, [*calls, completion(PROMPTS[0], 16, seed=7, **drawn)])
    assert company[-1].text == alone
    assert ask(kernel, completion(PROMPTS[0], 16, seed=8, **drawn)).text != alone


def test_max_tokens_and_usage(served: tuple[Kernel, TorchCore]) -> None:
    """Exactly the tokens asked for, counted, with the reason."""
    reply = ask(served[0], completion("the dog", 5))
    assert (reply.finish_reason, reply.usage.output_tokens) == ("length", 5)
    assert reply.usage.input_tokens == len(tokenizer().encode("the dog"))


@pytest.mark.parametrize("stream", [False, True])
def test_stop_strings(served: tuple[Kernel, TorchCore], stream: bool) -> None:
    """The text ends before the stop string, also when it lies across tokens, streamed or not."""
    whole = reference(PROMPTS[1], 24)
    stop = whole[6:9]
    assert len(tokenizer().encode(stop)) > 1
    with served[0].syscall(completion(PROMPTS[1], 24, stream=stream, stop=(stop, "never said"))) as grant:
        text = "".join(d.text for d in grant.deltas()) if stream else grant.reply().text
    assert text == whole[: whole.index(stop)]


def test_streaming_equals_not_streaming(served: tuple[Kernel, TorchCore]) -> None:
    """The pieces add up to the reply, unfinished characters included, and the last one carries reason and usage."""
    kernel, _ = served
    for prompt in PROMPTS:
        with kernel.syscall(completion(prompt, 20, stream=True)) as grant:
            deltas = list(grant.deltas())
        reply = ask(kernel, completion(prompt, 20))
        assert "".join(d.text for d in deltas) == reply.text
        assert (deltas[-1].finish_reason, (deltas[-1].usage or Usage()).output_tokens) == ("length", 20)
        assert all("\ufffd" not in d.text for d in deltas[:-2]) or "\ufffd" in reply.text


def test_end_of_text_ends_the_reply() -> None:
    """A token that ends replies does so, is no text, and counts as output."""
    words = tokenizer()
    first = reference("the dog", 1)
    token = words.encode(first)[0]
    config = model()
    config.generation_config.eos_token_id = [token]
    kernel = Kernel(llm=core(model=config))
    reply = ask(kernel, completion("the dog", 9))
    kernel.close()
    assert (reply.text, reply.finish_reason, reply.usage.output_tokens) == ("", "stop", 1)


def test_echo(served: tuple[Kernel, TorchCore]) -> None:
    """A completion with echo begins with its prompt."""
    call = CompletionCall(prompt="the dog", echo=True, agent=Agent(name="a"), sampling=Sampling(max_tokens=3))
    assert ask(served[0], call).text == "the dog" + reference("the dog", 3)


# What goes wrong ----------------------------------------------------------------------------------------------------


def test_cancelled_mid_flight(served: tuple[Kernel, TorchCore]) -> None:
    """A caller who leaves frees the memory and the place at once; the others' tokens stay the same."""
    kernel, made = served
    with kernel.syscall(completion(PROMPTS[1], 8)) as grant:
        other = grant.keep()
    with kernel.syscall(completion(PROMPTS[0], 400, stream=True)) as grant:
        next(grant.deltas())
    assert other.reply().text == reference(PROMPTS[1], 8)
    idle(made)
    assert parts(made).pool.taken == parts(made).cache.retained
    assert made.status()["output_tokens"] < 300


def test_forward_pass_that_fails(served: tuple[Kernel, TorchCore], monkeypatch: pytest.MonkeyPatch) -> None:
    """Everybody in the batch hears of it, the memory comes back, and the next call is served."""
    kernel, made = served
    made.load()
    executor = parts(made).fixed.executor
    run, failures = executor.run, [RuntimeError("out of something")]
    monkeypatch.setattr(executor, "run", lambda rows: _raise(failures.pop()) if failures else run(rows))
    calls = [completion(prompt, 8) for prompt in PROMPTS[:3]]
    said: list[str] = []
    for grant in [_kept(kernel, call) for call in calls]:
        try:
            grant.reply()
        except CoreError as error:
            said.append(str(error))
    assert said
    assert all("out of something" in message for message in said)
    assert ask(kernel, completion(PROMPTS[1], 8)).text == reference(PROMPTS[1], 8)
    assert parts(made).pool.taken == parts(made).cache.retained


def _raise(error: Exception) -> None:
    raise error


def _kept(kernel: Kernel, call: Any) -> Any:
    with kernel.syscall(call) as grant:
        return grant.keep()


class Broken:
    """A grammar that fails after a few tokens."""

    def __init__(self, good: int, where: str) -> None:
        self.good, self.where = good, where

    def blocked(self, vocabulary: int) -> Any:
        import numpy as np

        self.good -= 1
        if self.where == "blocked" and self.good < 0:
            raise ValueError("no grammar")
        return np.zeros(vocabulary, dtype=bool)

    def accept(self, token: int) -> bool:
        if self.where == "accept" and self.good < 1:
            raise ValueError("no grammar")
        return False


@pytest.mark.parametrize("where", ["blocked", "accept"])
def test_a_grammar_that_fails_fails_alone(
    served: tuple[Kernel, TorchCore], monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """One request's broken grammar is its own error; the rest of its batch goes on."""
    kernel, made = served
    prepare = made.prepare

    def broken(call: Any) -> Any:
        request: Any = prepare(call)
        if call.agent.name == "broken":
            request.constraint = Broken(3, where)
        return request

    monkeypatch.setattr(made, "prepare", broken)
    good = _kept(kernel, completion(PROMPTS[1], 20))
    bad = _kept(kernel, completion(PROMPTS[2], 20, agent="broken"))
    with pytest.raises(CoreError, match="no grammar"):
        bad.reply()
    assert good.reply().text == reference(PROMPTS[1], 20)
    idle(made)
    assert parts(made).pool.taken == parts(made).cache.retained


def test_close_wakes_everyone() -> None:
    """Whoever waits for a reply when the core closes hears so, and so does who comes later."""
    made = core()
    kernel = Kernel(llm=made)
    grants = [_kept(kernel, completion(prompt, 400)) for prompt in PROMPTS[:3]]
    heard: list[str] = []

    def wait(grant: Any) -> None:
        try:
            grant.reply()
        except KernelClosed:
            heard.append("closed")

    threads = [threading.Thread(target=wait, args=(grant,)) for grant in grants]
    for thread in threads:
        thread.start()
    made.close()
    for thread in threads:
        thread.join(5)
    assert heard == ["closed"] * 3
    with pytest.raises(KernelClosed):
        ask(kernel, completion("x"))
    kernel.close()
    made.close()


def test_idle_engine_costs_nothing(served: tuple[Kernel, TorchCore]) -> None:
    """No iteration happens while there is nothing to do, and no thread exists before the first call."""
    kernel, made = served
    made.load()
    assert not [t for t in threading.enumerate() if t.name.startswith("aios-engine")]
    ask(kernel, completion("x"))
    before = made.status()["iterations"]
    time.sleep(0.05)
    assert made.status()["iterations"] == before


# Limits -------------------------------------------------------------------------------------------------------------


def test_context_too_long(served: tuple[Kernel, TorchCore]) -> None:
    """A prompt beyond the context is refused before it is queued, with the numbers; so is one with its output."""
    kernel, _ = served
    with pytest.raises(ContextTooLong, match=r"has 8\d\d tokens .* holds 512"):
        ask(kernel, completion("the quick brown fox " * 200))
    with pytest.raises(ContextTooLong, match="lower max_tokens"):
        ask(kernel, completion("x", 512))
    assert ask(kernel, completion("x", 3)).usage.output_tokens == 3


def test_memory_too_small_for_ever() -> None:
    """A request that could never fit the memory is refused at once and says what to raise."""
    kernel = Kernel(llm=core(kv_memory=64 * 1024))
    with pytest.raises(ContextTooLong, match="raise kv_memory"):
        ask(kernel, completion("x", 500))
    assert ask(kernel, completion("x", 3)).usage.output_tokens == 3
    kernel.close()


def test_requests_wait_for_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """With room for a few, many are served all the same, and never more memory is held than allowed."""
    made = core(kv_memory=160 * 1024, chunk_tokens=24)
    kernel = Kernel(llm=made)
    made.load()
    pool = parts(made).pool
    allocate, most = pool.allocate, [0]

    def watched(capacity: int) -> Any:
        slot = allocate(capacity)
        pool.check_integrity()
        most[0] = max(most[0], pool.used)
        return slot

    monkeypatch.setattr(pool, "allocate", watched)
    threads: list[threading.Thread] = []
    replies: dict[int, Reply] = {}
    for index in range(20):
        prompt, size = PROMPTS[index % 8], 5 + 11 * (index % 7)

        def serve(index: int = index, prompt: str = prompt, size: int = size) -> None:
            replies[index] = ask(kernel, completion(prompt, size))

        threads.append(threading.Thread(target=serve))
        threads[-1].start()
    for thread in threads:
        thread.join(30)
    kernel.close()
    assert len(replies) == 20
    assert 0 < most[0] <= 160 * 1024
    assert all(replies[i].text == reference(PROMPTS[i % 8], 5 + 11 * (i % 7)) for i in range(0, 20, 5))


def test_default_output_leaves_room(served: tuple[Kernel, TorchCore]) -> None:
    """A call without a maximum gets what is left of a small context, not an error."""
    _, made = served
    call = CompletionCall(prompt="the dog")
    request = made.prepare(call)
    assert request.prompt_tokens + request.max_tokens == 512


# Who runs -----------------------------------------------------------------------------------------------------------


def _order_of_ends(policy: str, agents: list[tuple[str, int]], **options: Any) -> list[str]:
    """Let agents (name, priority) ask at the same time, one place in the batch; who was answered when."""
    made = core(max_batch=1, prefix_sharing=False, **options)
    kernel = Kernel(llm=made, policy=policy)
    made.load()
    ends: list[str] = []
    kernel.bus.subscribe(lambda event: ends.append(event.agent) if event.name == "finish" else None)
    grants: list[Any] = []
    run = parts(made).fixed.executor.run
    entered, begun = threading.Event(), threading.Event()

    def held(rows: Any) -> Any:
        entered.set()
        begun.wait(5)  # nobody gets a token before everybody is there
        return run(rows)

    parts(made).fixed.executor.run = held
    for name, priority in agents:
        call = CompletionCall(
            prompt=PROMPTS[0], agent=Agent(name=name, priority=priority), sampling=Sampling(max_tokens=40)
        )
        grants.append(_kept(kernel, call))
        entered.wait(5)  # the first is at work before the others come
    begun.set()
    for grant in grants:
        grant.reply()
    kernel.close()
    return ends


def test_one_place_follows_the_policy() -> None:
    """With one place in the batch the next to run is the policy's choice; the first had begun when the others came."""
    agents = [("first", 5), ("low", 9), ("high", 1), ("middle", 5)]
    assert _order_of_ends("priority", agents) == ["first", "high", "middle", "low"]
    assert _order_of_ends("fifo", agents) == ["first", "low", "high", "middle"]


def test_a_quantum_interleaves() -> None:
    """Round Robin takes turns within requests: both are half-way before either ends, and the tokens stay the same."""
    made = core(max_batch=1, prefix_sharing=False)
    kernel = Kernel(llm=made, policy="rr:quantum=8")
    made.load()
    turns: list[int] = []
    executor = parts(made).fixed.executor
    run, begun = executor.run, threading.Event()

    def watched(rows: Any) -> Any:
        begun.wait(5)
        turns.append(rows[0].sequence.job.task.process.pid)
        return run(rows)

    executor.run = watched
    grants = [_kept(kernel, completion(PROMPTS[0], 32, agent=name)) for name in ("a", "b")]
    begun.set()
    texts = [grant.reply().text for grant in grants]
    kernel.close()
    switches = sum(one != other for one, other in itertools.pairwise(turns))
    assert texts == [reference(PROMPTS[0], 32)] * 2
    assert 5 <= switches <= 10


def test_the_policy_is_charged_for_every_token(served: tuple[Kernel, TorchCore]) -> None:
    """When a call has ended its task was charged with the tokens of its usage, no more and no less."""
    kernel, _ = served
    charged: dict[str, float] = {}
    kernel.bus.subscribe(lambda event: charged.update({event.agent: event.details["usage"].total_tokens})
                         if event.name == "finish" else None)  # fmt: skip
    grant = _kept(kernel, completion(PROMPTS[3], 40, agent="payer"))
    usage = grant.reply().usage
    assert charged["payer"] == usage.total_tokens == grant.task.charged


# Chats --------------------------------------------------------------------------------------------------------------

TOOLS = [
    {"type": "function", "function": {"name": "add", "parameters": {
        "type": "object", "properties": {"a": {"type": "integer", "maximum": 99}}, "required": ["a"]}}}
]  # fmt: skip


@pytest.mark.parametrize("words", [tokenizer(), tokenizer("<tool_call>", "</tool_call>")], ids=["spelled", "tokens"])
def test_tool_calls_come_out_as_such(words: Any) -> None:
    """Even random weights make valid calls under the grammar; in a stream no piece of them is content."""
    kernel = Kernel(llm=core(tokenizer=words))
    call = chat(
        "add",
        60,
        tools=TOOLS,
        tool_choice="required",
        parallel_tool_calls=False,
        sampling={"temperature": 1, "seed": 1},
    )
    reply = ask(kernel, call)
    with kernel.syscall(chat("add", 60, tools=TOOLS, tool_choice="required", parallel_tool_calls=False,
                             stream=True, sampling={"temperature": 1, "seed": 1})) as grant:  # fmt: skip
        deltas = list(grant.deltas())
    kernel.close()
    assert (reply.text, reply.finish_reason, len(reply.tool_calls)) == ("", "tool_calls", 1)
    (streamed,) = [piece for delta in deltas for piece in delta.tool_calls]
    assert (streamed.name, streamed.arguments) == ("add", reply.tool_calls[0].arguments)
    assert "".join(delta.text for delta in deltas) == ""
    assert deltas[-1].finish_reason == "tool_calls"


def test_memory_held_by_paused_requests_comes_free(served: tuple[Kernel, TorchCore]) -> None:
    """When those whose turn it is wait for memory that paused ones hold, the paused ones go on instead of anybody failing."""
    made = core(max_batch=1, prefix_sharing=False, kv_memory=128 * 256 * 2)
    kernel = Kernel(llm=made, policy="rr:quantum=4")
    made.load()
    # The limiter lets three in, the pool has room for two: as after a cancellation whose slot is not yet put away.
    made.limiter.budget *= 2  # type: ignore[attr-defined]
    grants = [_kept(kernel, completion(PROMPTS[0], 20, agent=name)) for name in "abc"]
    assert [grant.reply().text for grant in grants] == [reference(PROMPTS[0], 20)] * 3
    kernel.close()


FORK = """
import os, sys
from tests.kernel.torch.support import *
kernel = Kernel(llm=core())
expected = ask(kernel, completion("the dog", 5)).text
child = os.fork()
if child == 0:
    os._exit(0 if ask(kernel, completion("the dog", 5)).text == expected else 1)
_, status = os.waitpid(child, 0)
assert ask(kernel, completion("the dog", 5)).text == expected
kernel.close()
sys.exit(os.waitstatus_to_exitcode(status))
"""


def test_a_forked_child_has_its_own_engine() -> None:
    """After a fork both parent and child are served, each by an engine of its own."""
    subprocess.run([sys.executable, "-W", "ignore", "-c", FORK], check=True, timeout=60)
