"""docs/structure.md and the packages say the same, and the repository names no machine."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.support import structure

MACHINE_PATHS = [f"/{name}/" for name in ("work", "root")]


def test_every_module_has_a_line() -> None:
    """Each module of the four packages is described, and nothing is described that is gone."""
    described = set(structure.described())
    modules = set(structure.modules())
    assert modules - described == set(), "run `make structure`"
    assert described - modules == set(), "run `make structure`"


def test_update_keeps_written_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Updating adds and drops lines but leaves a line somebody wrote, and does nothing the second time."""
    document = tmp_path / "structure.md"
    monkeypatch.setattr(structure, "ROOT", tmp_path)
    monkeypatch.setattr(structure, "STRUCTURE", document)
    for name, text in {"a": '"""Its own words."""', "b": '"""Not these."""', "c": ""}.items():
        path = tmp_path / "evals" / "aios_evals" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    heads = "\n\n".join(f"## `{package}`\n\nAbout it." for package in structure.PACKAGES)
    document.write_text(f"# Top\n\n{heads}\n\n- `evals/aios_evals/b.py`: Mine.\n- `evals/aios_evals/gone.py`: Old.\n")
    structure.update()
    once = document.read_text()
    structure.update()
    assert document.read_text() == once
    assert once.startswith("# Top\n\n## ")
    assert structure.described() == {
        "evals/aios_evals/a.py": "- `evals/aios_evals/a.py`: Its own words.",
        "evals/aios_evals/b.py": "- `evals/aios_evals/b.py`: Mine.",
    }


def test_no_file_names_a_machine() -> None:
    """No file mentions an absolute path of somebody's machine."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"],
        cwd=structure.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    found = [name for name in listed.stdout.splitlines() if _mentions_a_machine(name)]
    assert found == []


def _mentions_a_machine(name: str) -> bool:
    path = structure.ROOT / name
    if not path.is_file() or path.stat().st_size > 2**20:
        return False
    text = path.read_text(errors="ignore")
    return any(machine in text for machine in MACHINE_PATHS)
