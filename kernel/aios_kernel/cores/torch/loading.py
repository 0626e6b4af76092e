"""Load a model: a name of our catalog, a hub name, a directory, a GGUF file, or objects that are loaded already."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from aios_kernel.errors import ModelLoadError

if TYPE_CHECKING:
    import torch

__all__ = ["EMBEDDED", "Loaded", "free_ram", "import_torch", "load"]

#: The model that comes with the kernel.
EMBEDDED = "smollm2-135m-tools"
#: Kinds of layers whose whole state is keys and values per token; others keep a state that slots cannot hold.
LAYER_TYPES = {"full_attention", "sliding_attention"}
#: Bytes in memory per byte of a 4-bit GGUF file, its weights unpacked.
UNPACKED_SIZE = 4
INSTALL = "pip install 'aios-adapters[torch]'"


@dataclass(slots=True, kw_only=True)
class Loaded:
    """A model, its tokenizer, and what the engine must know of them."""

    model: Any
    tokenizer: Any
    context: int
    vocabulary: int
    eos: list[int]
    owned: bool


def import_torch() -> Any:
    """Import torch and transformers; raises ModelLoadError naming what to install."""
    # A thread that spins after its share of a product takes the core from every other process: with one busy neighbour
    # that made decoding fifteen times slower. It is read when torch is first imported, and never overrides the user.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        import torch
        import transformers  # noqa: F401  # pyright: ignore[reportUnusedImport]
    except ImportError as error:
        raise ModelLoadError(f"the torch core needs torch and transformers ({error}): {INSTALL}") from error
    return torch


def load(
    source: Any,
    tokenizer: Any = None,
    *,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    context: int | None = None,
    options: dict[str, Any] | None = None,
) -> Loaded:
    """Return the loaded model, in evaluation mode on its device.

    `context` lowers the context length (tokens). `options` go to `from_pretrained`. Raises ModelLoadError, which names
    the remedy.
    """
    import_torch()
    owned = isinstance(source, (str, os.PathLike))
    if owned:
        model, found = _from_name(os.fspath(source), _dtype(dtype, device), _device(device), options or {})
        tokenizer = tokenizer or found
    else:
        model = _placed(source, device, dtype)
    if tokenizer is None:
        raise ModelLoadError("a model object needs its tokenizer: TorchCore(model=model, tokenizer=tokenizer)")
    model.eval()
    _check_layers(model)
    return Loaded(
        model=model,
        tokenizer=tokenizer,
        context=_context(model, tokenizer, context),
        vocabulary=model.get_output_embeddings().weight.shape[0],
        eos=_eos(model, tokenizer),
        owned=owned,
    )


def _from_name(name: str, dtype: torch.dtype, device: torch.device, options: dict[str, Any]) -> tuple[Any, Any]:
    try:
        if name == EMBEDDED:
            model, tokenizer = _embedded(dtype)
        else:
            model, tokenizer = _from_pretrained(name, dtype, options)
        # Packed weights were put where they belong by the loader.
        return model if getattr(model, "is_quantized", False) else model.to(device), tokenizer
    except ModelLoadError:
        raise
    except ImportError as error:
        raise ModelLoadError(f"model {name!r} cannot be loaded: {error}; try {INSTALL}") from error
    except Exception as error:
        raise ModelLoadError(f"model {name!r} cannot be loaded: {_first_line(error)}; {_remedy(name)}") from error


def _embedded(dtype: torch.dtype) -> tuple[Any, Any]:
    from aios_kernel.models import load_embedded

    return load_embedded(dtype=str(dtype).removeprefix("torch."))


def _from_pretrained(name: str, dtype: torch.dtype, options: dict[str, Any]) -> tuple[Any, Any]:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    path = Path(name).expanduser()
    where, file = name, {}
    if name.endswith(".gguf") and (path.is_file() or _is_path(name)):
        where, file = str(path.parent), {"gguf_file": path.name}
        options = {**_unpacked(path), **options}
    elif path.is_dir():
        where = str(path)
    if (path.is_absolute() or _is_path(name)) and not path.exists():
        raise FileNotFoundError(f"there is no such file or directory: {path}")
    auto_tokenizer: Any = AutoTokenizer
    tokenizer: Any = auto_tokenizer.from_pretrained(where, **file, **options)
    model: Any = AutoModelForCausalLM.from_pretrained(where, dtype=dtype, **file, **options)
    return model, tokenizer


def _unpacked(file: Path) -> dict[str, Any]:
    """Have a GGUF file's weights unpacked where memory allows: batches then multiply several times faster."""
    import transformers

    config: Any = getattr(transformers, "GgufConfig", None)
    if config is None or not file.exists() or file.stat().st_size * UNPACKED_SIZE > free_ram() // 2:
        return {}
    return {"quantization_config": config(gguf_file=file.name, dequantize=True)}


def free_ram() -> int:
    """Bytes of main memory that can be had without swapping, about."""
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    except (AttributeError, ValueError, OSError):
        return 4 << 30


def _is_path(name: str) -> bool:
    return name.startswith((".", "~", os.sep)) or name.endswith(".gguf")


def _remedy(name: str) -> str:
    if Path(name).expanduser().exists() or _is_path(name):
        return "give the directory of a transformers causal language model, or a .gguf file"
    if any(os.environ.get(v, "") not in ("", "0") for v in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")):
        return "HF_HUB_OFFLINE is set: unset it, or give the path of a directory or a .gguf file"
    return (
        f"check the name and the network, run `hf auth login` if the model is gated, or give the path of a directory "
        f"or a .gguf file ({EMBEDDED!r} is the model that comes with the kernel)"
    )


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__).rstrip(".")


def _device(device: str | torch.device | None) -> torch.device:
    import torch

    if device is not None:
        return torch.device(device)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def _dtype(dtype: str | torch.dtype | None, device: str | torch.device | None) -> torch.dtype:
    """bfloat16 where the hardware multiplies it, float32 where it would be emulated."""
    import torch

    if isinstance(dtype, torch.dtype):
        return dtype
    if dtype not in (None, "auto"):
        found = getattr(torch, str(dtype).removeprefix("torch."), None)
        if not isinstance(found, torch.dtype):
            raise ModelLoadError(f"there is no dtype {dtype!r}: use 'float32', 'bfloat16', 'float16' or 'auto'")
        return found
    kind = _device(device).type
    fast = kind == "cuda" and torch.cuda.is_bf16_supported() if kind != "cpu" else _cpu_has_bf16()
    return torch.bfloat16 if fast else torch.float16 if kind in ("cuda", "mps") else torch.float32


def _cpu_has_bf16() -> bool:
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags


def _placed(model: Any, device: str | torch.device | None, dtype: str | torch.dtype | None) -> Any:
    if device is not None:
        model = model.to(_device(device))
    if dtype is not None:
        model = model.to(_dtype(dtype, device))
    return model


def _check_layers(model: Any) -> None:
    config = model.config.get_text_config()
    other = set(getattr(config, "layer_types", None) or ()) - LAYER_TYPES
    if other or getattr(config, "is_encoder_decoder", False):
        what = ", ".join(sorted(other)) or "an encoder"
        raise ModelLoadError(
            f"{type(model).__name__} has {what}, which the torch core cannot batch: use a model whose layers are all "
            f"full or sliding-window attention, or serve it with another server through the openai core"
        )


def _context(model: Any, tokenizer: Any, asked: int | None) -> int:
    config = model.config.get_text_config()
    known = getattr(config, "max_position_embeddings", None) or getattr(config, "n_positions", None)
    if known is None:
        known = min(int(getattr(tokenizer, "model_max_length", 0) or 4096), 1 << 20)
    return int(known) if asked is None else min(int(known), asked)


def _eos(model: Any, tokenizer: Any) -> list[int]:
    """Every token that ends a reply: the tokenizer's, and those that the model's makers name."""
    named: Any = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    listed = cast("list[int | None]", named if isinstance(named, list) else [named])
    return sorted({int(t) for t in [*listed, getattr(tokenizer, "eos_token_id", None)] if t is not None})
