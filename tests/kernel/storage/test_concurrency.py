"""Several at once: different files in parallel, one file in turn, in threads and in processes; nothing is lost."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from aios_kernel.abi import Agent, StorageCall
from aios_kernel.errors import StorageError, VersionConflict
from aios_kernel.kernel import Kernel
from tests.kernel.storage.support import As, check_integrity, opened

ROOT = Path(__file__).parents[3]


def _in_threads(count, work):
    with ThreadPoolExecutor(count) as pool:
        return [future.result(60) for future in [pool.submit(work, number) for number in range(count)]]


@pytest.mark.parametrize("point", ["begun", "stored", "staged", "committed", "placed"])
def test_different_files_are_written_in_parallel(tmp_path, point):
    """Eight writers of eight files are all at the same point at once: they meet there or the test fails."""
    meeting = threading.Barrier(8, timeout=30)
    manager = opened(tmp_path / "s", hook=lambda reached: meeting.wait() if reached == point else None)
    ann = As(manager)
    _in_threads(8, lambda number: ann.write(path=f"d/{number}", content=f"file {number}"))
    manager.close()
    manager = opened(tmp_path / "s")
    assert len(As(manager).list(path="d")["entries"]) == 8
    check_integrity(manager)
    manager.close()


def test_the_same_content_in_parallel(tmp_path):
    """Writers of one content do not wait for one another either, and it is stored once."""
    meeting = threading.Barrier(8, timeout=30)
    manager = opened(tmp_path / "s", hook=lambda reached: meeting.wait() if reached == "stored" else None)
    ann = As(manager)
    _in_threads(8, lambda number: ann.write(path=f"{number}", content="the same"))
    assert len(list(manager.store.objects)) == 1
    manager.close()


def test_one_file_is_written_in_turn(tmp_path):
    """Of several writers of one file, one is at work at a time, through the kernel too."""
    inside, most = [], []

    def hook(reached):
        if reached == "begun":
            inside.append(1)
            most.append(len(inside))
        if reached == "placed":
            inside.pop()

    manager = opened(tmp_path / "s", hook=hook, keep=100)
    kernel = Kernel(managers=[manager])

    def write(number):
        for _ in range(10):
            arguments = {"path": "log", "content": "x", "append": True}
            call = StorageCall(agent=Agent(name="ann", instance=str(number)), verb="write", arguments=arguments)
            with kernel.syscall(call) as grant:
                grant.reply()

    _in_threads(8, write)
    assert max(most) == 1
    assert As(manager).read(path="log")["content"] == "x" * 80
    assert len(As(manager).history(path="log")) == 80
    kernel.close()


def _count_up(ann, times):
    done = 0
    while done < times:
        told = ann.read(path="counter")
        try:
            ann.write(path="counter", content=str(int(told["content"]) + 1), expected_version=told["version"])
            done += 1
        except VersionConflict:
            continue


def test_no_update_is_lost(manager, ann):
    """Compare-and-swap from eight threads: every increment is there."""
    ann.write(path="counter", content="0")
    _in_threads(8, lambda _: _count_up(ann, 10))
    told = ann.read(path="counter")
    assert (told["content"], told["version"]) == ("80", 81)
    check_integrity(manager)


def test_no_update_is_lost_between_processes(tmp_path):
    """The same from four processes with a store each, and a second one in this process."""
    base = tmp_path / "s"
    managers = [opened(base), opened(base)]
    As(managers[0]).write(path="counter", content="0")
    code = f"""
from pathlib import Path
from tests.kernel.storage.support import As, opened
from tests.kernel.storage.test_concurrency import _count_up
manager = opened(Path({str(base)!r}))
_count_up(As(manager), 10)
manager.close()
"""
    processes = [subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env=_environment()) for _ in range(4)]
    _in_threads(2, lambda number: _count_up(As(managers[number]), 10))
    assert [process.wait(120) for process in processes] == [0] * 4
    assert As(managers[0]).read(path="counter")["content"] == "60"
    for manager in managers:
        check_integrity(manager)
        manager.close()


def test_readers_see_whole_versions(manager, ann):
    """Whoever reads while a file is written gets one version's content with that version's number."""
    contents = {number: str(number) * 5000 for number in range(1, 10)}
    ann.write(path="a", content=contents[1])
    done = threading.Event()

    def read(_):
        seen = set()
        while not done.is_set():
            told = ann.read(path="a")
            assert told["content"] == contents[(told["version"] - 1) % 9 + 1]
            seen.add(told["version"])
        return seen

    def write():
        for number in range(2, 200):
            ann.write(path="a", content=contents[(number - 1) % 9 + 1])
        done.set()

    with ThreadPoolExecutor(4) as pool:
        readers = [pool.submit(read, number) for number in range(3)]
        try:
            pool.submit(write).result(60)
        finally:
            done.set()
        assert all(reader.result(60) for reader in readers)
    check_integrity(manager)


def test_writing_and_removing_directories(manager, ann):
    """Writers into a directory and somebody who removes it: each write either is there or was deleted as a version."""
    done = threading.Event()

    def remove():
        while not done.is_set():
            with suppress(StorageError):  # it is not there, or not empty again
                ann.delete(path="d", recursive=True)

    remover = threading.Thread(target=remove)
    remover.start()
    try:
        _in_threads(4, lambda number: [ann.write(path=f"d/e/{number}", content="x") for _ in range(30)])
    finally:
        done.set()
        remover.join(60)
    for number in range(4):
        history = ann.history(path=f"d/e/{number}")
        assert history[0]["version"] >= 30
        assert {one["how"] for one in history} <= {"write", "delete"}
    check_integrity(manager)


def test_garbage_is_collected_beside_writers_of_the_same(tmp_path):
    """A content whose last version goes while another writer begins to use it is there afterwards."""
    manager = opened(tmp_path / "s", keep=1)
    ann = As(manager)

    def write(number):
        for turn in range(40):
            ann.write(path=str(number), content=("this", "that")[(turn + number) % 2])

    _in_threads(8, write)
    check_integrity(manager)
    manager.close()


def _environment():
    roots = [str(ROOT / part) for part in ("", "kernel", "integrations", "evals")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(roots)}
