"""What an installation says of this package, its version and entry points, for interpreters that see the checkout only."""

from __future__ import annotations

import hashlib
import importlib
import shutil
import tempfile
from pathlib import Path
from typing import Any

__all__ = ["metadata_folder"]


def metadata_folder(project: Path, cache: Path) -> Path:
    """Return a folder for PYTHONPATH, made once for each pyproject.toml. Several processes may ask at once."""
    text = project.read_text()
    home = cache / f"metadata-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
    if not home.exists():
        cache.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=".metadata-", dir=cache))
        _write(partial, _toml(text)["project"])
        try:
            partial.rename(home)
        except OSError:  # another was quicker, and its folder has something in it
            shutil.rmtree(partial)
    return home


def _write(folder: Path, project: dict[str, Any]) -> None:
    name, version = project["name"], project["version"]
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    groups = {"console_scripts": project["scripts"], **project["entry-points"]}
    lines = [line for group, points in groups.items() for line in (f"[{group}]", *map(" = ".join, points.items()))]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")


def _toml(text: str) -> dict[str, Any]:
    try:
        reader: Any = importlib.import_module("tomllib")
    except ImportError:  # Python 3.10: in the extra `test`
        reader = importlib.import_module("tomli")
    return reader.loads(text)
