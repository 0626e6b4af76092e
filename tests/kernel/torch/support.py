"""A tiny random Llama with a tokenizer trained on the spot; what the tests of the torch core share."""

from __future__ import annotations

import copy
import functools
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from aios_kernel import Agent, ChatCall, CompletionCall, Kernel, LLMCall, Reply, Sampling
from aios_kernel.cores.torch import TorchCore

CORPUS = [
    "the quick brown fox jumps over the lazy dog, and the dog sleeps",
    '<tool_call>{"name": "add", "arguments": {"a": 1, "b": 2}}</tool_call>',
    "What is the weather in Paris? It is sunny: 21 degrees. Grüße, 你好, 🙂",
]
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}"
    "{% for c in m.tool_calls or [] %}<tool_call>{{ c.function | tojson }}</tool_call>{% endfor %}<|im_end|>\n"
    "{% endfor %}{% if tools %}Tools: {{ tools | tojson }} write <tool_call>{% endif %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@functools.cache
def _tokenizer() -> PreTrainedTokenizerFast:
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=420,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    inner.train_from_iterator(CORPUS * 4, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="<|im_end|>", chat_template=TEMPLATE)


def tokenizer(*added: str) -> Any:
    """The tiny tokenizer, with more tokens that are one token each."""
    made: Any = copy.deepcopy(_tokenizer())
    made.add_tokens([AddedToken(token, special=False, normalized=False) for token in added])
    return made


def model(vocabulary: int = 430, context: int = 512, **config: Any) -> Any:
    """A random Llama in float32; the same weights each time."""
    torch.manual_seed(0)
    shape = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=48,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=6,
        num_key_value_heads=2,
        max_position_embeddings=context,
        initializer_range=0.3,
        eos_token_id=None,
        bos_token_id=None,
        pad_token_id=None,
        **config,
    )
    return LlamaForCausalLM(shape).eval()


def core(**options: Any) -> TorchCore:
    """A core over the tiny model; nothing ends a reply but its length."""
    words = tokenizer()
    words.eos_token = None
    return TorchCore(options.pop("model", None) or model(), options.pop("tokenizer", words), **options)


def completion(prompt: str, max_tokens: int = 8, *, agent: str = "a", stream: bool = False, **sampling: Any) -> LLMCall:
    """A completion call; greedy unless said otherwise."""
    return CompletionCall(
        prompt=prompt, stream=stream, agent=Agent(name=agent), sampling=Sampling(max_tokens=max_tokens, **sampling)
    )


def chat(text: str, max_tokens: int = 48, *, stream: bool = False, sampling: Any = None, **fields: Any) -> ChatCall:
    """A chat call with one user message."""
    return ChatCall(
        messages=[{"role": "user", "content": text}],
        stream=stream,
        sampling=Sampling(max_tokens=max_tokens, **(sampling or {})),
        **fields,
    )


def ask(kernel: Kernel, call: LLMCall) -> Reply:
    """The reply to one call."""
    with kernel.syscall(call) as grant:
        return grant.reply()


def together(kernel: Kernel, calls: list[LLMCall]) -> list[Reply]:
    """The replies to calls that are in flight at the same time."""
    grants: list[Any] = []
    for call in calls:
        with kernel.syscall(call) as grant:
            grants.append(grant.keep())
    return [grant.reply() for grant in grants]


@functools.cache
def _plain() -> Any:
    return model()


@functools.cache
def reference(prompt: str, max_tokens: int) -> str:
    """What transformers' own greedy generate says."""
    words = tokenizer()
    ids = torch.tensor([words.encode(prompt)])
    out = _plain().generate(
        input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=max_tokens, do_sample=False, pad_token_id=0
    )
    return words.decode(out[0, ids.shape[1] :], skip_special_tokens=True)
