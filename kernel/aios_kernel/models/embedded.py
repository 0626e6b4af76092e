"""Load the embedded model: the base weights, our adapter for requests with tools, the tokenizer with our chat template."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from aios_kernel.errors import ModelLoadError
from aios_kernel.models.fetch import Progress, path, pull
from aios_kernel.models.quiet import quiet_transformers

__all__ = ["MARKERS", "adapter_folder", "chat_template", "load_embedded", "merge"]

#: What only prompts have that the adapter is for: tools or their calls in our template, and ReAct text.
MARKERS = ("<tool_call>", "<|im_start|>tool\n", "Action Input:")


def adapter_folder() -> Path:
    """Return the folder of the adapter that comes with the package."""
    return Path(__file__).parent / "smollm2_tools"


def chat_template() -> str:
    """Return the chat template the adapter was trained with."""
    return (adapter_folder() / "chat_template.jinja").read_text(encoding="utf-8")


def merge(model: Any, folder: Path) -> None:
    """Add the adapter of `folder` to the weights of a transformers model, in place."""
    import torch

    with torch.no_grad():
        for name, weight in _adapted(model, folder):
            model.get_submodule(name).weight.copy_(weight)


def gate(model: Any, folder: Path) -> None:
    """Put the adapter of `folder` beside the weights; `model.aios_gate` says what goes through it."""
    from aios_kernel.models.gated import Gate, GatedLinear

    model.aios_gate = Gate(MARKERS)
    for name, weight in list(_adapted(model, folder)):
        parent, _, child = name.rpartition(".")
        layer = GatedLinear(model.get_submodule(name), weight, model.aios_gate)
        setattr(model.get_submodule(parent), child, layer)


def _adapted(model: Any, folder: Path) -> Iterator[tuple[str, Any]]:
    """Yield each adapted layer's name and its weight with the adapter: W + scale B A, in the model's own precision."""
    import torch
    from safetensors import torch as weights

    about = json.loads((folder / "adapter.json").read_text(encoding="utf-8"))
    tensors: dict[str, Any] = cast("Any", weights).load_file(folder / "adapter.safetensors")
    for key, a in tensors.items():
        if key.endswith("lora_A.weight"):
            name = key.removeprefix("base_model.model.").removesuffix(".lora_A.weight")
            weight = model.get_submodule(name).weight
            b = tensors[key.replace("lora_A", "lora_B")].float()
            with torch.no_grad():
                yield name, torch.addmm(weight.float(), b, a.float(), alpha=about["scale"]).to(weight.dtype)


def load_embedded(
    *, download: bool = True, dtype: str = "bfloat16", progress: Progress | None = None
) -> tuple[Any, Any]:
    """Return the embedded model, its adapter behind a gate, and its tokenizer with our chat template.

    Whoever runs the model sets `model.aios_gate`; as it comes, everything goes through the adapter. Pulls the base
    weights first when the cache lacks them, unless `download` is off. Needs the extra `torch`.
    """
    try:
        import torch
        import transformers
    except ImportError as error:
        raise ModelLoadError("the embedded model needs torch: pip install 'aios-adapters[torch]'") from error

    auto: Any = transformers  # its classes are typed only in part
    folder = (pull(progress=progress) if progress else pull()) if download else path()
    with quiet_transformers():
        tokenizer: Any = auto.AutoTokenizer.from_pretrained(folder)
        model: Any = auto.AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype)).eval()
    tokenizer.chat_template = chat_template()
    gate(model, adapter_folder())
    return model, tokenizer
