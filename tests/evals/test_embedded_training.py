"""The packed forward pass is the model's own, its gradients are right, and an interrupted training goes on."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

torch: Any = pytest.importorskip("torch")
transformers: Any = pytest.importorskip("transformers")

from aios_evals.embedded.export import export, merge_checkpoint
from aios_evals.embedded.packed import PackedLlama
from aios_evals.embedded.render import Group, draw_group
from aios_evals.embedded.team import Team
from aios_evals.embedded.train import Settings, Trainer, pack
from aios_evals.embedded.words import Source
from aios_kernel import models

GROUP = Group(
    "<prefix>",
    [
        [("ask a", False), ("answer b", True)],
        [("ask something longer", False), ("c", True), ("d", False), ("e!", True)],
    ],
)


class Letters:
    """A tokenizer of characters."""

    def __call__(self, text: str | list[str], **_: Any) -> dict[str, Any]:
        """Encode one text or many."""
        encode = lambda one: [ord(c) % 128 for c in one]  # noqa: E731
        return {"input_ids": encode(text) if isinstance(text, str) else [encode(one) for one in text]}


@pytest.fixture
def model() -> Any:
    """A tiny model of the same architecture."""
    torch.manual_seed(1)
    config = transformers.LlamaConfig(
        vocab_size=128,
        hidden_size=24,
        intermediate_size=40,
        num_hidden_layers=3,
        num_attention_heads=6,
        num_key_value_heads=2,
        tie_word_embeddings=True,
    )
    return transformers.LlamaForCausalLM(config).eval()


def adapted(model: Any) -> PackedLlama:
    """Return a packed model whose adapter does something."""
    packed = PackedLlama(model, layers=2, rank=2)
    with torch.no_grad():
        for parameter in packed.b.values():
            parameter.normal_(std=0.1)
    return packed


def reference_loss(model: Any) -> Any:
    """Return the mean loss over the learned tokens by the ordinary forward pass, one conversation at a time."""
    losses = []
    for suffix in GROUP.suffixes:
        ids, learned = [ord(c) for c in GROUP.prefix], [False] * len(GROUP.prefix)
        for text, own in suffix:
            ids += [ord(c) for c in text]
            learned += [own] * len(text)
        logits = model(torch.tensor([ids])).logits[0, :-1]
        each = torch.nn.functional.cross_entropy(logits, torch.tensor(ids[1:]), reduction="none")
        losses.append(each[torch.tensor(learned[1:])])
    return torch.cat(losses).mean()


def merge(model: Any, packed: PackedLlama) -> None:
    with torch.no_grad():
        for name in packed.names:
            model.model.get_submodule(name).weight.copy_(packed.merged(name))


def test_packed_loss_is_the_ordinary_loss(model: Any) -> None:
    """With and without an adapter, shared prefix and packing change nothing."""
    packed = adapted(model)
    loss, _ = packed(pack(Letters(), GROUP))
    merge(model, packed)
    assert loss.item() == pytest.approx(reference_loss(model).item(), abs=1e-4)


def test_gradients_are_right(model: Any) -> None:
    """The hand-written backward passes agree with a finite difference, in A and in B."""
    packed = adapted(model)
    batch = pack(Letters(), GROUP)
    packed(batch)[0].backward()
    for table in (packed.a, packed.b):
        for parameter in list(table.values())[:7]:
            flat, at = parameter.data.view(-1), int(parameter.grad.abs().argmax())
            step, before = 1e-2, flat[at].item()
            values = []
            for sign in (1, -1):
                flat[at] = before + sign * step
                values.append(packed(batch)[0].item())
            flat[at] = before
            assert parameter.grad.view(-1)[at].item() == pytest.approx(
                (values[0] - values[1]) / (2 * step), rel=0.1, abs=2e-4
            )


def trainer(model: Any, out: Path) -> Trainer:
    return Trainer(model, Letters(), Settings(layers=2, rank=2, budget=60, minutes=1e6), out, [], Team(0, 1, ""))


def test_training_resumes_where_it_stopped(model: Any, tmp_path: Path) -> None:
    """Two and two steps are four steps: adapter, optimizer and data source are kept."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    whole = trainer(model, tmp_path / "a")
    whole.run(4, io.StringIO())
    trainer(model, tmp_path / "b").run(2, io.StringIO())
    again = trainer(model, tmp_path / "b")
    assert again.step == 2
    again.run(4, io.StringIO())
    for one, other in zip(whole.parameters, again.parameters, strict=True):
        assert torch.allclose(one, other, atol=1e-4)


def test_an_interrupt_saves(model: Any, tmp_path: Path) -> None:
    """A stopped run finishes its step and leaves a checkpoint."""
    run = trainer(model, tmp_path)
    run.stop()
    run.run(100, io.StringIO())
    assert run.step == 1
    assert trainer(model, tmp_path).step == 1


def test_export_is_the_trained_adapter(model: Any, tmp_path: Path) -> None:
    """What is shipped merges to what was trained, up to rounding."""
    run = trainer(model, tmp_path)
    run.run(3, io.StringIO())
    export(run.checkpoint, tmp_path / "adapter", {"base": "x"})
    about = json.loads((tmp_path / "adapter" / "adapter.json").read_text())
    assert (about["rank"], about["layers"], about["base"]) == (2, [1, 2], "x")
    other = transformers.LlamaForCausalLM(model.config)
    other.load_state_dict(model.state_dict())
    merge_checkpoint(model, run.checkpoint)
    models.merge(other, tmp_path / "adapter")
    for one, two in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.allclose(one, two, atol=1e-3)


def test_groups_fit_the_budget() -> None:
    """Groups of every kind are drawn, each with something to learn."""
    s = Source(4)
    plain = [(None, "What is rain?", "Water."), ("You are a helpful assistant.", "Hi", "Hello.")]
    for _ in range(60):
        group = draw_group(
            s,
            800,
            [
                *plain,
                ("You are a friendly assistant. Answer briefly.", "Hi", "Hi."),
                ("You are a teacher.", "Hi", "Hi."),
            ],
        )
        assert group.prefix.startswith("<|im_start|>system\n")
        assert all(any(learned for _, learned in suffix) for suffix in group.suffixes)


def test_the_shipped_adapter_fits_its_description() -> None:
    """It is small, it names the pinned base, and a model card lies beside it."""
    folder = models.adapter_folder()
    about = json.loads((folder / "adapter.json").read_text())
    assert about["base_sha256"] == models.entry().sha256
    assert (folder / "adapter.safetensors").stat().st_size <= 5_000_000
    assert (folder / "MODEL_CARD.md").exists()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*torch.jit.script_method:DeprecationWarning")  # torch's own, on first compilation
@pytest.mark.skipif(
    not models.installed(models.DEFAULT), reason="the embedded model is not in the cache: aios models pull"
)
def test_the_embedded_model_does_held_out_tasks() -> None:
    """One task of every kind in both loops: nearly all succeed."""
    from aios_evals.embedded.evaluate import judge, run, shipped_episodes
    from aios_evals.embedded.local import LocalModel

    client = LocalModel(*models.load_embedded(download=False))
    episodes = shipped_episodes(1, 9, as_react=False) + shipped_episodes(1, 9, as_react=True)
    run(client, episodes)
    assert sum(map(judge, episodes)) >= 0.9 * len(episodes)
