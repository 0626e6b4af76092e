"""A Llama forward pass for training on the CPU: one shared prefix, many suffixes, no padding outside attention, LoRA on top layers.

The adapted weight W + s B A is formed once a step in the model's own precision, so training sees exactly the weights that are
merged for use. Layers below the adapted ones run without gradients.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

MODULES = (
    "self_attn.q_proj",
    "self_attn.k_proj",
    "self_attn.v_proj",
    "self_attn.o_proj",
    "mlp.gate_proj",
    "mlp.up_proj",
    "mlp.down_proj",
)
COMMON_RIVALS, RANDOM_RIVALS = 4096, 4096


class _Adapted(torch.autograd.Function):
    """x W'^T with W' = W + s B A; gives gradients to x, A and B only."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, base: Tensor, a: Tensor, b: Tensor, scale: float) -> Tensor:
        weight = torch.addmm(base, b, a, alpha=scale).to(x.dtype)
        ctx.save_for_backward(x, weight, a, b)
        ctx.scale = scale
        return functional.linear(x, weight)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        x, weight, a, b = ctx.saved_tensors
        down, back = x @ a.to(x.dtype).t(), grad @ b.to(x.dtype)
        grad_x = grad @ weight if ctx.needs_input_grad[0] else None
        return grad_x, None, (back.t() @ x).float() * ctx.scale, (grad.t() @ down).float() * ctx.scale, None


@dataclass
class Packed:
    """One step's tokens, flat: the prefix first, then every suffix; `train` marks positions whose NEXT token is learned."""

    tokens: Tensor
    prefix: int
    lengths: list[int]
    targets: Tensor
    where: Tensor
    soft: bool = False


class _Loss(torch.autograd.Function):
    """Mean cross entropy of a tied head, with the gradient formed in place on the way forward."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, embedding: Tensor, targets: Tensor) -> Tensor:
        share = torch.softmax(functional.linear(hidden, embedding), -1)
        rows = torch.arange(len(targets))
        # The probability of everything else is exact where that of the target would round to one.
        share[rows, targets] = 0
        missed = share.sum(-1, dtype=torch.float32).clamp(max=1 - 1e-6)
        share[rows, targets] = -missed.to(share.dtype)
        ctx.save_for_backward((share @ embedding) / len(targets))
        return torch.stack([-torch.log1p(-missed).mean(), (missed < 0.5).float().mean()])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        return ctx.saved_tensors[0] * grad[0].to(ctx.saved_tensors[0].dtype), None, None


class Layout:
    """Where each flat position sits, and the masks; shared by all layers of a step."""

    def __init__(self, packed: Packed, inverse_frequency: Tensor, dtype: torch.dtype) -> None:
        prefix, lengths = packed.prefix, packed.lengths
        self.prefix, self.longest = prefix, max(lengths)
        starts = [prefix]
        for length in lengths:
            starts.append(starts[-1] + length)
        ramp = torch.arange(self.longest)
        sizes = torch.tensor(lengths)
        inside = ramp[None] < sizes[:, None]
        self.pad = torch.where(inside, torch.tensor(starts[:-1])[:, None] + ramp[None], prefix)
        self.unpad = inside.flatten().nonzero().squeeze(1)
        positions = torch.cat([torch.arange(prefix)] + [torch.arange(prefix, prefix + n) for n in lengths])
        angle = positions[:, None].float() * inverse_frequency[None]
        angle = torch.cat([angle, angle], -1)
        self.cos, self.sin = angle.cos().to(dtype)[:, None], angle.sin().to(dtype)[:, None]
        before = torch.ones(self.longest, prefix, dtype=torch.bool)
        self.mask = _additive(torch.cat([before, ramp[:, None] >= ramp[None]], 1), dtype)
        self.prefix_mask = _additive(torch.ones(prefix, prefix, dtype=torch.bool).tril(), dtype)


class PackedLlama(nn.Module):
    """The trainable view of a transformers Llama model: LoRA of rank `rank` on its last `layers` layers."""

    def __init__(self, model: Any, layers: int, rank: int, scale: float = 2.0) -> None:
        super().__init__()
        self.config, self.scale, self.rank = model.config, scale, rank
        self.off = False  # True: forget the adapter
        self.first = model.config.num_hidden_layers - layers
        self.names = [f"layers.{i}.{m}" for i in range(self.first, model.config.num_hidden_layers) for m in MODULES]
        self.frozen = {name.removeprefix("model."): value.detach() for name, value in model.state_dict().items()}
        self.base = {name: self.frozen[f"{name}.weight"].float() for name in self.names}
        self.a, self.b = nn.ParameterDict(), nn.ParameterDict()
        for name in self.names:
            out, into = self.base[name].shape
            self.a[name.replace(".", "/")] = nn.Parameter(torch.randn(rank, into) / into**0.5)
            self.b[name.replace(".", "/")] = nn.Parameter(torch.zeros(out, rank))
        width = model.config.head_dim
        theta = model.config.rope_parameters["rope_theta"]
        self.inverse_frequency = 1.0 / theta ** (torch.arange(0, width, 2).float() / width)

    def _linear(self, x: Tensor, name: str) -> Tensor:
        key = name.replace(".", "/")
        if key in self.a and not self.off:
            return _Adapted.apply(x, self.base[name], self.a[key], self.b[key], self.scale)  # type: ignore[no-any-return]
        return functional.linear(x, self.frozen[f"{name}.weight"])

    def _norm(self, x: Tensor, name: str) -> Tensor:
        return functional.rms_norm(x, (x.shape[-1],), self.frozen[f"{name}.weight"], self.config.rms_norm_eps)

    def _attend(self, x: Tensor, name: str, layout: Layout) -> Tensor:
        heads, groups, width = self.config.num_attention_heads, self.config.num_key_value_heads, self.config.head_dim
        q = _rotate(self._linear(x, f"{name}.q_proj").view(-1, heads, width), layout)
        k = _rotate(self._linear(x, f"{name}.k_proj").view(-1, groups, width), layout)
        v = self._linear(x, f"{name}.v_proj").view(-1, groups, width)
        p, rows = layout.prefix, layout.pad.shape[0]
        shared = _attention(q[None, :p], k[None, :p], v[None, :p], layout.prefix_mask)[0]
        q, ks, vs = (t.index_select(0, layout.pad.flatten()).view(rows, -1, *t.shape[1:]) for t in (q, k, v))
        ks, vs = (torch.cat([t[None, :p].expand(rows, -1, -1, -1), own], 1) for t, own in ((k, ks), (v, vs)))
        own = _attention(q, ks, vs, layout.mask).flatten(0, 1).index_select(0, layout.unpad)
        return self._linear(torch.cat([shared, own]), f"{name}.o_proj")

    def _layer(self, x: Tensor, index: int, layout: Layout) -> Tensor:
        name = f"layers.{index}"
        x = x + self._attend(self._norm(x, f"{name}.input_layernorm"), f"{name}.self_attn", layout)
        y = self._norm(x, f"{name}.post_attention_layernorm")
        y = functional.silu(self._linear(y, f"{name}.mlp.gate_proj")) * self._linear(y, f"{name}.mlp.up_proj")
        return x + self._linear(y, f"{name}.mlp.down_proj")

    def forward(self, packed: Packed) -> Tensor:
        """Return the mean loss and the share of right guesses at the learned positions."""
        hidden = self.hidden(packed)
        embedding = self.frozen["embed_tokens.weight"]
        rivals = _rivals(packed, embedding.shape[0])
        if packed.soft:
            return self._follow(packed, hidden, embedding.index_select(0, rivals))
        targets = torch.searchsorted(rivals, packed.targets)
        return _Loss.apply(hidden, embedding.index_select(0, rivals), targets)  # type: ignore[no-any-return]

    def _follow(self, packed: Packed, hidden: Tensor, embedding: Tensor) -> Tensor:
        """Return the cross entropy to the unchanged model's distribution, and how often the two agree."""
        self.off = True
        with torch.no_grad():
            wanted = functional.linear(self.hidden(packed), embedding).float().softmax(-1)
        self.off = False
        logits = functional.linear(hidden, embedding).float()
        loss = -(wanted * logits.log_softmax(-1)).sum(-1).mean()
        return torch.stack([loss, (wanted.argmax(-1) == logits.argmax(-1)).float().mean()])

    def hidden(self, packed: Packed) -> Tensor:
        """Return the last hidden states at the learned positions."""
        embedding = self.frozen["embed_tokens.weight"]
        layout = Layout(packed, self.inverse_frequency, embedding.dtype)
        with torch.no_grad():
            x = functional.embedding(packed.tokens, embedding)
            for index in range(self.first):
                x = self._layer(x, index, layout)
        for index in range(self.first, self.config.num_hidden_layers):
            x = self._layer(x, index, layout)
        return self._norm(x.index_select(0, packed.where), "norm")

    def merged(self, name: str) -> Tensor:
        """Return one adapted weight in the model's precision."""
        key = name.replace(".", "/")
        return torch.addmm(self.base[name], self.b[key], self.a[key], alpha=self.scale).to(
            self.frozen[f"{name}.weight"].dtype
        )


def _rivals(packed: Packed, vocabulary: int) -> Tensor:
    """Return the tokens that the loss compares: those of this step, the most common, and some drawn anew each step.

    A sixth of the vocabulary is enough, since the base model already keeps the rest away; it saves a fifth of the time.
    """
    drawn = torch.randint(vocabulary, (RANDOM_RIVALS,))
    rivals: Any = torch.cat([packed.tokens, packed.targets, torch.arange(min(COMMON_RIVALS, vocabulary)), drawn])
    return rivals.unique()


def _rotate(x: Tensor, layout: Layout) -> Tensor:
    left, right = x.chunk(2, -1)
    return x * layout.cos + torch.cat([-right, left], -1) * layout.sin


def _additive(allowed: Tensor, dtype: torch.dtype) -> Tensor:
    """Return a mask to add to the scores, repeated for the three query heads that share a key head."""
    return torch.zeros(allowed.shape, dtype=dtype).masked_fill(~allowed, -1e9)


def _attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    """Grouped attention by plain products: q (rows, s, heads, width), k and v (rows, l, groups, width)."""
    rows, s, heads, width = q.shape
    length, groups = k.shape[1], k.shape[2]
    share = heads // groups
    q = q.view(rows, s, groups, share, width).permute(0, 2, 3, 1, 4).reshape(rows * groups, share * s, width)
    k = k.permute(0, 2, 3, 1).reshape(rows * groups, width, length)
    v = v.permute(0, 2, 1, 3).reshape(rows * groups, length, width)
    scores = torch.baddbmm(mask.repeat(share, 1)[None], q, k, alpha=width**-0.5)
    mixed = torch.bmm(torch.softmax(scores, -1), v)
    return mixed.view(rows, groups, share, s, width).permute(0, 3, 1, 2, 4).reshape(rows, s, heads * width)
