"""Forks beside threads that use SQLite: no child hangs, and neither side loses what it writes."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import threading
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

from aios_kernel.connections import Connections
from aios_kernel.store.base import Record
from aios_kernel.store.sqlite import SQLiteStore

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="fork is what this is about")
PATIENCE = 30


def prepare(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE IF NOT EXISTS words (word TEXT)")


@pytest.fixture
def connections(tmp_path: Path) -> Generator[Connections, None, None]:
    with contextlib.closing(Connections(tmp_path / "words.db", prepare, patience=PATIENCE)) as made:
        yield made


def forked(work: Callable[[], object]) -> int:
    """Do work in a child process that is killed where it hangs; its number."""
    child = os.fork()
    if child == 0:
        code = 1
        signal.alarm(PATIENCE)
        with contextlib.suppress(BaseException):
            work()
            code = 0
        os._exit(code)
    return child


def ended(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def words(connections: Connections) -> list[str]:
    with connections.use() as connection:
        return [word for (word,) in connection.execute("SELECT word FROM words ORDER BY 1")]


def say(connections: Connections, word: str) -> None:
    with connections.use() as connection:
        connection.execute("INSERT INTO words VALUES (?)", (word,))


def test_children_of_a_process_that_is_at_work_in_sqlite_do_not_hang(connections: Connections) -> None:
    """SQLite's allocator has one lock for the process; a child that inherits it locked can never open anything."""
    over = threading.Event()

    def work() -> None:
        while not over.is_set():
            with connections.use() as connection:
                connection.execute(
                    "WITH RECURSIVE n(i) AS (SELECT 1 UNION SELECT i + 1 FROM n LIMIT 300) SELECT * FROM n"
                ).fetchall()

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        assert [ended(forked(lambda: words(connections))) for _ in range(60)] == [0] * 60
    finally:
        over.set()
        for thread in threads:
            thread.join(PATIENCE)


def test_a_fork_waits_for_a_thread_that_is_at_work(connections: Connections) -> None:
    """And holds back who would begin meanwhile."""
    inside, leave, forking = threading.Event(), threading.Event(), threading.Event()
    children: list[int] = []

    def work() -> None:
        with connections.use():
            inside.set()
            leave.wait(PATIENCE)

    def fork() -> None:
        forking.set()
        children.append(forked(lambda: words(connections)))

    threads = [threading.Thread(target=work), threading.Thread(target=fork)]
    threads[0].start()
    assert inside.wait(PATIENCE)
    threads[1].start()
    assert forking.wait(PATIENCE)
    assert not children
    leave.set()
    for thread in threads:
        thread.join(PATIENCE)
    assert ended(children[0]) == 0
    assert words(connections) == []


def test_a_thread_that_is_at_work_may_fork(connections: Connections) -> None:
    """It does not wait for itself; the connection that it uses is the only one that goes along."""
    with connections.use() as connection:
        connection.execute("SELECT 1").fetchall()
        assert ended(forked(lambda: None)) == 0
    assert ended(forked(lambda: words(connections))) == 0


def test_a_child_that_was_forked_in_a_block_leaves_it(connections: Connections) -> None:
    """It opens its own connection afterwards: the one that it came with is the parent's."""
    with connections.use() as connection:
        before = id(connection)
        child = os.fork()
    if child == 0:
        code = 1
        signal.alarm(PATIENCE)
        with contextlib.suppress(BaseException):
            with connections.use() as again:
                code = int(id(again) == before)
            say(connections, "child")
        os._exit(code)
    assert ended(child) == 0
    assert words(connections) == ["child"]


def test_parent_and_child_write_and_close_in_any_order(connections: Connections) -> None:
    """The parent's last close removes SQLite's log; a child that shared its locks would go on writing into the removed file."""
    say(connections, "before")
    told, tell = os.pipe()

    def work() -> None:
        say(connections, "child, first")
        os.read(told, 1)
        say(connections, "child, last")

    child = forked(work)
    say(connections, "parent")
    connections.close()
    os.write(tell, b"!")
    assert ended(child) == 0
    os.close(told)
    os.close(tell)
    with contextlib.closing(Connections(connections._path, prepare, patience=PATIENCE)) as again:
        assert words(again) == ["before", "child, first", "child, last", "parent"]


def test_a_store_goes_on_in_both(tmp_path: Path) -> None:
    """What one writes is found by the other."""
    with contextlib.closing(SQLiteStore(tmp_path / "notes.db")) as store:
        store.put("ann", [Record(id="1", text="of the parent")])
        assert ended(forked(lambda: store.put("ann", [Record(id="2", text="of the child")]))) == 0
        assert [record.id for record in store.scan("ann")] == ["1", "2"]


def test_what_fails_or_is_left_open_harms_no_later_use(connections: Connections) -> None:
    """A transaction that a block leaves open is rolled back; a connection that failed is not used again."""
    with connections.use() as connection:
        connection.execute("BEGIN")
        connection.execute("INSERT INTO words VALUES ('left open')")
    with pytest.raises(sqlite3.OperationalError), connections.use() as connection:
        connection.execute("SELECT nothing FROM nowhere")
    with contextlib.suppress(ValueError), connections.use() as connection:
        connection.execute("BEGIN")
        connection.execute("INSERT INTO words VALUES ('of a block that fails')")
        raise ValueError
    assert words(connections) == []


def test_closed_is_closed(connections: Connections) -> None:
    """Also for a connection that is in use at the time."""
    with connections.use() as connection:
        connections.close()
        connection.execute("SELECT 1")
    with pytest.raises(sqlite3.ProgrammingError):
        connection.execute("SELECT 1")
    with pytest.raises(sqlite3.ProgrammingError, match="closed"), connections.use():
        pass
    connections.close()
