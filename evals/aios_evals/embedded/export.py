"""Turn a training checkpoint into the adapter that is shipped, or merge it straight into a model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor


def read_checkpoint(path: Path) -> dict[str, tuple[Tensor, Tensor]]:
    """Return A and B by the name of the adapted module ("layers.10.mlp.up_proj")."""
    state = torch.load(path, weights_only=False)["adapter"]
    names = [key.removeprefix("a.").replace("/", ".") for key in state if key.startswith("a.")]
    return {name: (state["a." + name.replace(".", "/")], state["b." + name.replace(".", "/")]) for name in names}


@torch.no_grad()
def merge_checkpoint(model: Any, path: Path, scale: float = 2.0) -> None:
    """Add a checkpoint's adapter to the weights of a transformers model."""
    for name, (a, b) in read_checkpoint(path).items():
        weight = model.model.get_submodule(name).weight
        weight.copy_(torch.addmm(weight.float(), b, a, alpha=scale))


def export(checkpoint: Path, folder: Path, facts: dict[str, Any], scale: float = 2.0) -> None:
    """Write adapter.safetensors (bfloat16, PEFT's names) and adapter.json."""
    from safetensors import torch as weights

    save_file = cast("Any", weights).save_file

    parts = read_checkpoint(checkpoint)
    tensors: dict[str, Tensor] = {}
    for name, (a, b) in parts.items():
        tensors[f"base_model.model.model.{name}.lora_A.weight"] = a.to(torch.bfloat16).contiguous()
        tensors[f"base_model.model.model.{name}.lora_B.weight"] = b.to(torch.bfloat16).contiguous()
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / "adapter.safetensors", metadata={"format": "pt"})
    (folder / "adapter.safetensors").chmod(0o644)  # the writer keeps it private; an installed package is read by all
    layers = sorted({int(name.split(".")[1]) for name in parts})
    modules = sorted({name.rsplit(".", 1)[1] for name in parts})
    rank = next(iter(parts.values()))[0].shape[0]
    about = {"rank": rank, "scale": scale, "layers": layers, "modules": modules, **facts}
    (folder / "adapter.json").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    """Export a checkpoint as the adapter that is shipped: `python -m aios_evals.embedded.export CHECKPOINT FOLDER`."""
    import argparse

    from aios_kernel.models import entry

    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    step, seconds, tokens, *_ = torch.load(options.checkpoint, weights_only=False)["progress"]
    facts = {
        "base": entry().name,
        "base_sha256": entry().sha256,
        "steps": step,
        "tokens": tokens,
        "minutes": round(seconds / 60, 1),
    }
    export(options.checkpoint, options.folder, facts)


if __name__ == "__main__":
    main()
