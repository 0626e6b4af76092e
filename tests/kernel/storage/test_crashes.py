"""Killed anywhere, a store opens again at once with every acknowledged write, and keeps nothing that nobody needs."""

from __future__ import annotations

import importlib.util
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from aios_kernel.storage.files import MENDING, POINTS
from tests.kernel.storage.support import As, check_integrity, opened

ROOT = Path(__file__).parents[3]
spec = importlib.util.spec_from_file_location("storage_benchmark", ROOT / "benchmarks" / "_storage.py")
assert spec is not None and spec.loader is not None
benchmark = importlib.util.module_from_spec(spec)
spec.loader.exec_module(benchmark)


def _held(report, kills):
    assert report["problems"] == []
    assert (report["lost"], report["unopenable"], report["duplicated"], report["left_over"]) == (0, 0, 0, 0)
    assert report["kills"] == kills
    assert report["recovery_seconds"] < 2


@pytest.mark.parametrize("point", [*POINTS, *MENDING])
def test_killed_at_a_named_point(tmp_path, point):
    """Four threads write, append, roll back and delete until one gets to the point for the fifth time: kill -9."""
    crashes = benchmark.Crashes(tmp_path)
    crashes.kill_at(point, 5)
    _held(crashes.report, 2 if point in MENDING else 1)
    assert point == "mending" or crashes.report["acknowledged"] > 0


def test_killed_anywhere_again_and_again(tmp_path):
    """The same store through several random kills; it does not grow with them."""
    crashes = benchmark.Crashes(tmp_path, seed=7)
    for lines in (1, 40, 7, 90, 23, 3):
        crashes.kill_after(lines)
    _held(crashes.report, 6)
    # At most: each file in its root and in KEEP versions of some kilobytes, databases and their logs.
    assert crashes.report["disk_bytes"] < 3_000_000


def test_what_a_dead_process_left_is_cleaned_while_others_live(tmp_path):
    """A second process opens the store of a live one: it removes the dead one's leftovers and nothing of the live one's."""
    base = tmp_path / "s"
    reached = []

    def hook(point):
        if point == "staged" and not reached:
            reached.append(point)
            other = opened(base)  # opening cleans while this write is under way
            other.close()

    alive = opened(base, hook=hook)
    (base / "staging" / "0123456789abcdef-0").write_text("of a process that is dead")
    As(alive).write(path="a", content="whole")
    assert reached
    assert As(alive).read(path="a")["content"] == "whole"
    check_integrity(alive)
    alive.close()


def test_a_change_cut_short_is_finished_by_whoever_comes_by(tmp_path):
    """A live process finishes the change of one that died, without being opened anew."""
    base = tmp_path / "s"
    alive = opened(base)
    As(alive).write(path="a", content="first")
    code = f"""
import os, signal
from pathlib import Path
from tests.kernel.storage.support import As, opened
hook = lambda point: point == "committed" and os.kill(os.getpid(), signal.SIGKILL)
As(opened(Path({str(base)!r}), hook=hook)).write(path="a", content="second")
"""
    roots = [str(ROOT / part) for part in ("", "kernel", "integrations", "evals")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(roots)}
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, check=False)
    assert ended.returncode == -signal.SIGKILL
    assert (As(alive).folder() / "a").read_text() == "first"
    assert As(alive).read(path="a")["content"] == "second"
    assert (As(alive).folder() / "a").read_text() == "second"
    alive.close()
    again = opened(base)
    check_integrity(again)
    again.close()


def test_opening_is_quick(tmp_path):
    """A store of a thousand versions opens at once; ten thousand are for the benchmark."""
    manager = opened(tmp_path / "s")
    ann = As(manager)
    for number in range(50):
        for turn in range(20):
            ann.write(path=f"{number % 5}/{number}", content=f"{number} {turn}")
    manager.close()
    begin = time.monotonic()
    opened(tmp_path / "s").close()
    assert time.monotonic() - begin < 1


def test_what_a_power_failure_would_find(tmp_path, monkeypatch):
    """Each step is on the disk before the next: content, version, file, and the directories that name them."""
    seen = []

    def told(name, work):
        def call(*arguments, **options):
            where = str(Path(f"/proc/self/fd/{arguments[0]}").readlink()) if name == "fsync" else ""
            seen.append(f"{name} {where.replace(str(tmp_path), '')}".strip())
            return work(*arguments, **options)

        return call

    manager = opened(tmp_path, fsync=True, hook=seen.append)
    ann = As(manager)
    ann.create_directory(path="d")
    for name in ("fsync", "rename", "unlink"):
        monkeypatch.setattr(os, name, told(name, getattr(os, name)))
    ann.write(path="d/a", content="one")
    root = f"/roots/{ann.folder().name}"
    shown = [re.sub(r"[0-9a-f]{16}-\d+$|(?<=objects/)..$", "*", one) for one in seen]
    staged = "fsync /staging/*"
    assert [one for one in shown if one != "unlink"] == [
        *("begun", staged, "rename", "fsync /objects/*", "stored", staged, "staged", "committed"),
        *("rename", f"fsync {root}/d", "placed", "settled", "collected", "indexed"),
    ]
    del seen[:]
    ann.delete(path="d/a")
    assert seen == ["committed", "unlink", f"fsync {root}/d", "placed", "settled", "collected", "indexed"]
    with manager.store.database.reading() as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    commits = []
    manager.store.database.transact(
        lambda connection: commits.append(connection.execute("PRAGMA synchronous").fetchone()[0])
    )
    assert commits == [2], "a commit is not synced"
    manager.close()
