"""docs/structure.md, one line a module. `python -m tests.support.structure` adds new modules' lines and drops old ones.

A new line starts as the module's own first sentence; a line that is already there is never changed.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
STRUCTURE = ROOT / "docs" / "structure.md"
PACKAGES = ("aios_adapters", "kernel/aios_kernel", "integrations/aios_integrations", "evals/aios_evals")
_LINE = re.compile(r"- `([^`]+\.py)`: .+")
_NONE = "(undescribed)"


def modules() -> list[str]:
    """Return every module of the four packages, as a path from the root."""
    found = (path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py")))
    return [path.relative_to(ROOT).as_posix() for path in found]


def described() -> dict[str, str]:
    """Return the lines of the document by module."""
    lines = STRUCTURE.read_text().splitlines()
    return {match[1]: line for line in lines if (match := _LINE.fullmatch(line)) and not line.endswith(_NONE)}


def update() -> None:
    """Rewrite each package's list, keeping everything else in the document."""
    lines, have = [line for line in STRUCTURE.read_text().splitlines() if not _LINE.fullmatch(line)], described()
    for package in PACKAGES:
        at = lines.index(f"## `{package}`") + 1
        names = [name for name in modules() if name.startswith(package + "/")]
        # Lists follow their heading's blank line and paragraph, so find the end of the section.
        end = next((i for i in range(at, len(lines)) if lines[i].startswith("## ")), len(lines))
        body = "\n".join(lines[at:end]).strip()
        section = ["", *([body, ""] if body else []), *(have.get(name) or _fresh(name) for name in names), ""]
        lines[at:end] = section
    STRUCTURE.write_text("\n".join(lines).rstrip() + "\n")


def _fresh(name: str) -> str:
    try:
        doc = ast.get_docstring(ast.parse((ROOT / name).read_text())) or _NONE
    except SyntaxError:  # somebody is in the middle of writing it
        doc = _NONE
    return f"- `{name}`: {' '.join(doc.split(chr(10) * 2)[0].split())}"


if __name__ == "__main__":
    update()
