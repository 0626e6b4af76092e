"""The matrix of frameworks: `python -m tests.matrix [--all | --missing] [--only NAME] [--json FILE] [--docs]`.

Builds the environments of the version table (once), runs the tests of each inside it, and prints what they show: one line
per framework and version, one column per promise. Results are kept next to the environments, so that --only runs one
environment again and --docs writes docs/matrix.md when every version has a result.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from aios_adapters.versions import TABLE, Framework, Tested
from tests import envs
from tests.support.columns import COLUMNS
from tests.support.inner import JOBS, InnerRun, run_all

__all__ = ["PAGE", "Result", "main", "page", "stamp"]

PAGE = envs.ROOT / "docs" / "matrix.md"
_HEAD = """# Which framework shows what

Every cell is a set of tests that ran inside that framework's own environment: `ok` all of them passed, `FAILED` at least one
did not, `-` there is none, because the framework has no such thing or nothing to show for it. The page is written by
`python -m tests.matrix --all --docs`; nobody edits it. What is intercepted, and what is not, is in
[frameworks](frameworks.md).

"""
_MEANINGS = """
| column | the tests show that |
|---|---|
| lease identical | results and HTTP requests are what they were without the kernel |
| serve native | a core of the kernel answers in the framework's own types, without HTTP |
| exactly once | every logical call is one syscall, whatever wraps it |
| stream | pieces arrive as they are made, and a stream that is left gives its place back |
| async | asynchronous calls run in the caller's event loop |
| tools, code | tool calls and code execution are syscalls with name, arguments and outcome |
| memory | reads and writes of the framework's stores are syscalls with identical results |
| identity | a call belongs to the agent that made it |
| denial | a refusal reaches the program or the model in the framework's own terms |
| restore | disable() leaves the identical objects |
"""


@dataclass(frozen=True)
class Result:
    """What one environment showed; `cells` are by column."""

    environment: str
    framework: str
    version: str
    cells: dict[str, str]
    passed: int
    failed: int
    skipped: int
    seconds: float
    trouble: str = ""

    @property
    def good(self) -> bool:
        """Whether it ran, and nothing failed."""
        return not self.failed and bool(self.passed) and not self.trouble


def rows() -> list[tuple[Framework, Tested]]:
    """Every framework and version of the version table."""
    return [(row, one) for row in TABLE for one in row.versions]


def result_of(row: Framework, one: Tested, run: InnerRun) -> Result:
    """Read a run."""
    counts, shown = run.counts(), run.shown()
    return Result(
        environment=one.name,
        framework=row.title,
        version=one.version,
        cells={column: _cell(shown.get(column, Counter())) if counts else "FAILED" for column in COLUMNS},
        passed=counts["passed"],
        failed=counts["failed"],
        skipped=counts["skipped"],
        seconds=round(run.seconds, 1),
        trouble=str(run.trouble or "") or ("" if counts else run.output[-2000:]),
    )


def _cell(counts: Counter[str]) -> str:
    return "FAILED" if counts["failed"] else "ok" if counts["passed"] else "-"


# The page -----------------------------------------------------------------------------------------------------------


def stamp() -> str:
    """The page's last line: which version table it was made from."""
    table = "\n".join(f"{row.title} {one.name} {one.version} {one.packages}" for row, one in rows())
    return f"<!-- from version table {hashlib.sha256(table.encode()).hexdigest()[:16]} -->"


def page(results: Sequence[Result]) -> str:
    """The page of the documentation."""
    lines = [_line(["framework", "version", *COLUMNS]), _line(["---"] * (2 + len(COLUMNS)))]
    lines += [_line([r.framework, r.version, *(r.cells[column] for column in COLUMNS)]) for r in results]
    return _HEAD + "\n".join(lines) + "\n" + _MEANINGS + "\n" + stamp() + "\n"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def text(results: Sequence[Result]) -> str:
    """The table for a terminal."""
    heads = ["framework", "version", *COLUMNS, "passed", "failed", "skipped", "s"]
    cells = [
        [r.framework, r.version, *(r.cells[c] for c in COLUMNS), *map(str, (r.passed, r.failed, r.skipped, r.seconds))]
        for r in results
    ]
    widths = [max(len(line[at]) for line in [heads, *cells]) for at in range(len(heads))]
    return "\n".join(
        "  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in [heads, *cells]
    )


# Results from before ------------------------------------------------------------------------------------------------


def _kept() -> Path:
    return envs.cache_root() / "matrix.json"


def recall() -> dict[str, Result]:
    """The results that are kept, of environments whose lock is still the same."""
    if not _kept().exists():
        return {}
    table = envs.environments()
    kept = json.loads(_kept().read_text())
    return {
        n: Result(**value["result"]) for n, value in kept.items() if n in table and value["home"] == _home(table[n])
    }


def remember(results: Mapping[str, Result]) -> None:
    """Keep results for the next run."""
    table = envs.environments()
    kept = {name: {"home": _home(table[name]), "result": asdict(result)} for name, result in results.items()}
    _kept().parent.mkdir(parents=True, exist_ok=True)
    _kept().write_text(json.dumps(kept, indent=1))


def _home(environment: envs.Environment) -> str:
    try:
        return environment.home.name
    except envs.EnvironmentFailed as error:
        return str(error)


# The command --------------------------------------------------------------------------------------------------------


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 0 when nothing failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.matrix", description=__doc__)
    parser.add_argument("--all", action="store_true", help="also the versions between the oldest and the newest")
    parser.add_argument("--only", action="append", metavar="NAME", help="this environment or adapter; may be repeated")
    parser.add_argument("--missing", action="store_true", help="only the versions without a kept result")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results as JSON")
    parser.add_argument("--docs", action="store_true", help="write docs/matrix.md, from these results and those kept")
    parser.add_argument("--jobs", type=int, default=JOBS, help="environments at once (%(default)s)")
    arguments = parser.parse_args(argv)
    names = _chosen(arguments.only, everything=arguments.all or arguments.missing)
    if arguments.missing:
        kept = recall()
        names = [name for name in names if name not in kept]
    elif not names:
        parser.error(f"none of them is in the version table: {', '.join(one.name for _, one in rows())}")
    results = _run(names, arguments.jobs)
    print(text(results))
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(result) for result in results], indent=1) + "\n")
    if arguments.docs and not _write_page():
        return 1
    return 0 if all(result.good for result in results) else 1


def _chosen(only: Sequence[str] | None, *, everything: bool) -> list[str]:
    if only:
        return [one.name for row, one in rows() if one.name in only or row.adapter in only]
    return [one.name for _, one in rows() if one.ci or everything]


def _run(names: Sequence[str], jobs: int) -> list[Result]:
    """Run the environments, tell of each that is done, and keep the results."""
    table, by_name = envs.environments(), {one.name: (row, one) for row, one in rows()}
    results, begun = recall(), time.monotonic()

    def told(name: str, run: InnerRun) -> None:
        result = results[name] = result_of(*by_name[name], run)
        remember(results)
        done.append(name)
        state = "ok" if result.good else "FAILED"
        counts = f"{result.passed} passed, {result.failed} failed, {result.skipped} skipped"
        since = time.monotonic() - begun
        print(f"[{len(done)}/{len(names)} {since:.0f}s] {name}: {state}, {counts}", file=sys.stderr, flush=True)
        if not result.good:
            print(result.trouble or run.output[-6000:], file=sys.stderr, flush=True)

    done: list[str] = []
    print(f"{len(names)} environments, {jobs} at once: {', '.join(names)}", file=sys.stderr, flush=True)
    run_all({name: [str(folder) for folder in table[name].tests] for name in names}, told, jobs)
    return [results[name] for name in names]


def _write_page() -> bool:
    results = recall()
    missing = [one.name for _, one in rows() if one.name not in results]
    if missing:
        print(f"docs/matrix.md is not written: no result for {', '.join(missing)} (--all runs them)", file=sys.stderr)
        return False
    PAGE.write_text(page([results[one.name] for _, one in rows()]))
    return True


if __name__ == "__main__":
    sys.exit(main())
