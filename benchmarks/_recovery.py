"""How long a store of so many records takes until it answers again, after `kill -9` in the middle of a write.

python benchmarks/_recovery.py PART FOLDER RECORDS  (fills a store and kills itself)
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import _common as common
import _index
import _journal_load

common.use_checkout()

from aios_kernel.abi import Agent, MemoryCall  # noqa: E402
from aios_kernel.embedding import LexicalEmbedder  # noqa: E402
from aios_kernel.journal import Journal  # noqa: E402
from aios_kernel.kernel import Kernel  # noqa: E402
from aios_kernel.memory import MemoryManager  # noqa: E402
from aios_kernel.storage import StorageManager  # noqa: E402
from aios_kernel.store import Hybrid, Record, SQLiteStore  # noqa: E402

PARTS = ("journal", "memory", "files", "index")
AT_ONCE = 500
LENGTH = 64


def seconds(part: str, records: int) -> float:
    """From opening to the first right answer; raises `RuntimeError` for a wrong one."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, part, folder, str(records)]
        ended = subprocess.run(command, env=common.environment(), start_new_session=True, check=False).returncode
        if ended != -signal.SIGKILL:
            raise RuntimeError(f"the process that fills the {part} ended with {ended}")
        begin = time.perf_counter()
        right = READ[part](Path(folder), records - 1)
        took = time.perf_counter() - begin
        if not right:
            raise RuntimeError(f"the {part} does not answer rightly after the kill")
        return took


def _die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _fill_journal(folder: Path, records: int) -> None:
    _journal_load.fill(folder / "j", records)
    with closing(Journal(folder / "j", crash_point=_die)) as journal:
        call = _journal_load.call_of("a", records)
        ticket = journal.write(journal.look(call, Agent(name="a")), _journal_load.answer())
        if ticket is not None:
            ticket.wait()


def _read_journal(folder: Path, last: int) -> bool:
    with closing(Journal(folder / "j")) as journal:
        return journal.look(_journal_load.call_of("a", last), Agent(name="a")).record is not None


def _fill_memory(folder: Path, records: int) -> None:
    store = SQLiteStore(folder / "m.db")
    hybrid = Hybrid(store, LexicalEmbedder(LENGTH))
    for start in range(0, records, AT_ONCE):
        some = range(start, min(records, start + AT_ONCE))
        store.put("memory:ann", hybrid.with_vectors([Record(id=f"{at}", text=f"note {at}") for at in some]))
    SQLiteStore(folder / "m.db", crash_point=_die).put("memory:ann", [Record(id="late", text="late")])


def _read_memory(folder: Path, last: int) -> bool:
    kernel = Kernel(managers=[MemoryManager(folder / "m.db", embedder=LexicalEmbedder(LENGTH))])
    arguments = {"query": f"note {last}", "k": 3}
    with kernel.syscall(MemoryCall(agent=Agent(name="ann"), verb="retrieve", arguments=arguments)) as grant:
        reply: Any = grant.reply().data
    kernel.close()
    return f"{last}" in [note["id"] for note in reply["notes"]]


def _fill_files(folder: Path, records: int) -> None:
    with closing(StorageManager(folder / "s", fsync=False)) as manager:
        for at in range(records):
            manager.perform(Agent(name="a"), "write", {"path": f"{at % 100}/{at}", "content": f"file {at}"})

    def hook(point: str) -> None:
        if point == "committed":
            _die()

    with closing(StorageManager(folder / "s", fsync=False, hook=hook)) as manager:
        manager.perform(Agent(name="a"), "write", {"path": "late", "content": "late"})


def _read_files(folder: Path, last: int) -> bool:
    with closing(StorageManager(folder / "s", fsync=False)) as manager:
        told = manager.perform(Agent(name="a"), "read", {"path": f"{last % 100}/{last}"})
    return told["content"] == f"file {last}"


def _fill_index(folder: Path, records: int) -> None:
    with closing(SQLiteStore(folder / "i.db")) as store:
        for start in range(0, records, AT_ONCE):
            some = range(start, min(records, start + AT_ONCE))
            store.put(
                "c",
                [
                    Record(id=f"{at}", text=f"mark{at}", vector=_index.vector_of(f"mark{at}"), space=_index.SPACE)
                    for at in some
                ],
            )
    _index.opened("sqlite", folder / "i.db", crash_point=_die).put("late", f"mark{random.random()}")


def _read_index(folder: Path, last: int) -> bool:
    with closing(_index.opened("sqlite", folder / "i.db")) as index:
        return index.find(f"{last}", f"mark{last}") == 1


FILL = {"journal": _fill_journal, "memory": _fill_memory, "files": _fill_files, "index": _fill_index}
READ = {"journal": _read_journal, "memory": _read_memory, "files": _read_files, "index": _read_index}

if __name__ == "__main__":
    FILL[sys.argv[1]](Path(sys.argv[2]), int(sys.argv[3]))
