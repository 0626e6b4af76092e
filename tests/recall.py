"""How well notes are found: recall@5 of each embedder and of each way of searching, on a labelled set of ours.

    python -m tests.recall [--json]

60 notes and 44 queries: with the notes' own words, inflected, misspelt, and paraphrases that share no telling word.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aios_kernel import models
from aios_kernel.embedding import LexicalEmbedder, MiniLMEmbedder
from aios_kernel.store import Hybrid, Record, SQLiteStore

if TYPE_CHECKING:
    from aios_kernel.embedding import Embedder
    from aios_kernel.store import Mode

LABELLED = Path(__file__).parent / "kernel" / "memory" / "labelled.json"
KINDS = ("words", "inflected", "misspelt", "paraphrase", "all")
K = 5


def recall(folder: Path, embedder: Embedder, mode: Mode) -> dict[str, float]:
    """Share of the notes that should be among the best five and are, by kind of query, each query weighing the same."""
    labelled = json.loads(LABELLED.read_text(encoding="utf-8"))
    store = SQLiteStore(folder / f"{embedder.space.replace('/', '-')}.db")
    hybrid = Hybrid(store, embedder)
    if not store.count("notes"):
        store.put("notes", hybrid.with_vectors([Record(id=n, text=text) for n, text in labelled["notes"].items()]))
    shares: defaultdict[str, list[float]] = defaultdict(list)
    for kind, query, relevant in labelled["queries"]:
        found = {hit.id for hit in hybrid.search("notes", query, K, mode=mode)}
        for group in (kind, "all"):
            shares[group].append(len(found & set(relevant)) / len(relevant))
    store.close()
    return {kind: sum(shares[kind]) / len(shares[kind]) for kind in KINDS}


def measure(folder: Path) -> dict[str, dict[str, float]]:
    """Every way of searching that this machine can run."""
    embedders: dict[str, Embedder] = {"lexical": LexicalEmbedder()}
    if models.installed("all-minilm-l6-v2"):
        embedders["MiniLM"] = MiniLMEmbedder()
    table = {"full text": recall(folder, embedders["lexical"], "text")}
    for name, embedder in embedders.items():
        table[name] = recall(folder, embedder, "vector")
        table[f"full text + {name}"] = recall(folder, embedder, "hybrid")
    return table


def as_markdown(table: dict[str, dict[str, float]]) -> str:
    """The table of docs/memory.md."""
    lines = [f"| search | {' | '.join(KINDS)} |", f"|---|{'---|' * len(KINDS)}"]
    lines += [f"| {name} | {' | '.join(f'{row[kind]:.2f}' for kind in KINDS)} |" for name, row in table.items()]
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    """Measure, and print."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        table: dict[str, Any] = measure(Path(folder))
    print(json.dumps(table, indent=1) if "--json" in arguments else as_markdown(table))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
