"""Load the embedded model: the base weights, our adapter merged into them, and the tokenizer with our chat template."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

from aios_kernel.errors import ModelLoadError
from aios_kernel.models.fetch import Progress, path, pull
from aios_kernel.models.quiet import quiet_transformers

__all__ = ["adapter_folder", "chat_template", "load_embedded", "merge"]


def adapter_folder() -> Path:
    """Return the folder of the adapter that comes with the package."""
    return Path(__file__).parent / "smollm2_tools"


def chat_template() -> str:
    """Return the chat template the adapter was trained with."""
    return (adapter_folder() / "chat_template.jinja").read_text(encoding="utf-8")


def merge(model: Any, folder: Path) -> None:
    """Add the adapter of `folder` to the weights of a transformers model, in place."""
    import torch
    from safetensors import torch as weights

    about = json.loads((folder / "adapter.json").read_text(encoding="utf-8"))
    tensors: dict[str, Any] = cast("Any", weights).load_file(folder / "adapter.safetensors")
    with torch.no_grad():
        for key, a in tensors.items():
            if key.endswith("lora_A.weight"):
                weight = model.get_submodule(
                    key.removeprefix("base_model.model.").removesuffix(".lora_A.weight")
                ).weight
                b = tensors[key.replace("lora_A", "lora_B")].float()
                weight.copy_(torch.addmm(weight.float(), b, a.float(), alpha=about["scale"]))


def load_embedded(
    *, download: bool = True, dtype: str = "bfloat16", progress: Progress | None = None
) -> tuple[Any, Any]:
    """Return the embedded model, adapter merged, and its tokenizer with our chat template.

    Pulls the base weights first when the cache lacks them, unless `download` is off. Needs the extra `torch`.
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
    merge(model, adapter_folder())
    return model, tokenizer
