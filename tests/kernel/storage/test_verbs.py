"""The verbs: what each does, what it answers, and what it says to arguments that make no sense."""

from __future__ import annotations

import asyncio
import base64
import os
import shutil
import sqlite3

import pytest

from aios_kernel.abi import StorageCall
from aios_kernel.errors import ConfigError, FileMissing, KernelClosed, StorageError, VersionConflict
from aios_kernel.kernel import Kernel
from tests.kernel.storage.support import ANN, As, check_integrity, opened


def test_a_file_is_what_was_written(ann, manager):
    """Written files are plain files of the agent's root, read back with their version."""
    assert ann.create_file(path="notes/a.txt", content="one")["version"] == 1
    assert ann.write(path="notes/a.txt", content="two")["version"] == 2
    told = ann.read(path="notes/a.txt")
    assert (told["content"], told["encoding"], told["version"], told["agent"]) == ("two", "utf-8", 2, "ann")
    assert ann.read(path="notes/a.txt", version=1)["content"] == "one"
    assert (ann.folder() / "notes" / "a.txt").read_text() == "two"
    check_integrity(manager)


def test_bytes_and_appending(ann):
    """Content that is no text crosses as base64; appending adds to what is there, or begins a file."""
    data = bytes(range(256))
    ann.write(path="b", content=base64.b64encode(data).decode(), encoding="base64")
    told = ann.read(path="b")
    assert told["encoding"] == "base64"
    assert base64.b64decode(told["content"]) == data
    with pytest.raises(StorageError, match="not UTF-8"):
        ann.read(path="b", encoding="utf-8")
    for word in ("a", "b", "ç"):
        ann.write(path="log", content=word, append=True)
    assert ann.read(path="log")["content"] == "abç"
    assert base64.b64decode(ann.read(path="log", encoding="base64")["content"]) == "abç".encode()
    ann.create_file(path="empty")
    assert ann.read(path="empty")["content"] == ""


def test_creating_does_not_overwrite(ann):
    """A file or directory that exists is an error, unless the caller says that it may exist."""
    ann.create_file(path="a", content="kept")
    with pytest.raises(VersionConflict, match="has version 1, not 0"):
        ann.create_file(path="a", content="lost")
    assert ann.read(path="a")["content"] == "kept"
    assert ann.create_directory(path="d/e") == {"path": "d/e", "created": True}
    with pytest.raises(StorageError, match="exists"):
        ann.create_directory(path="d/e")
    assert ann.create_directory(path="d/e", exist_ok=True)["created"] is False
    for path in ("a", "a/b"):
        with pytest.raises(StorageError, match="not a directory"):
            ann.create_directory(path=path)
    with pytest.raises(StorageError, match="is a directory"):
        ann.write(path="d/e", content="")


def test_listing(ann):
    """Entries come in the order of their paths, with versions; a file lists itself; pages join up."""
    for path in ("b/c/d", "b/a", "a", "z"):
        ann.write(path=path, content=path)
    ann.create_directory(path="empty")
    shallow = ann.list()
    assert [(one["path"], one["kind"]) for one in shallow["entries"]] == [
        ("a", "file"),
        ("b", "directory"),
        ("empty", "directory"),
        ("z", "file"),
    ]
    deep = [one["path"] for one in ann.list(recursive=True)["entries"]]
    assert deep == ["a", "b", "b/a", "b/c", "b/c/d", "empty", "z"]
    assert [one["path"] for one in ann.list(path="b/a")["entries"]] == ["b/a"]
    assert ann.list(path="b")["entries"][0] | {"modified": 0} == {
        "path": "b/a",
        "kind": "file",
        "size": 3,
        "modified": 0,
        "version": 1,
    }
    pages, after = [], ""
    while True:
        page = ann.list(recursive=True, limit=2, after=after)
        pages += [one["path"] for one in page["entries"]]
        if not page["more"]:
            break
        after = pages[-1]
    assert pages == deep
    with pytest.raises(FileMissing, match="no 'nowhere'"):
        ann.list(path="nowhere")


def test_deleting(ann, manager):
    """A deleted file is gone but its history is not; a directory that has files needs `recursive`."""
    ann.write(path="d/a", content="1")
    ann.write(path="d/e/b", content="2")
    assert ann.delete(path="d/a")["files"] == 1
    with pytest.raises(FileMissing):
        ann.read(path="d/a")
    with pytest.raises(FileMissing):
        ann.delete(path="d/a")
    assert [one["how"] for one in ann.history(path="d/a")] == ["delete", "write"]
    with pytest.raises(StorageError, match="not empty"):
        ann.delete(path="d")
    assert ann.delete(path="d", recursive=True) == {"path": "d", "files": 1}
    assert ann.list() == {"entries": [], "more": False}
    assert ann.rollback(path="d/a")["version"] == 3
    assert ann.read(path="d/a")["content"] == "1"
    check_integrity(manager)


def test_rolling_back(ann, now):
    """By a number of versions, to a version, to a time; a rollback is a version, so it can be undone too."""
    for number in range(1, 6):
        now.now = number * 10.0
        ann.write(path="a", content=f"v{number}")
    assert ann.rollback(path="a")["restored"] == 4
    assert ann.rollback(path="a")["restored"] == 5
    assert ann.rollback(path="a", n=3)["restored"] == 4
    assert ann.rollback(path="a", version=1)["restored"] == 1
    assert ann.rollback(path="a", time=29.9)["restored"] == 2
    assert ann.rollback(path="a", time="1970-01-01T00:00:30Z")["restored"] == 3
    assert ann.rollback(path="a", time="1970-01-01T00:00:30")["restored"] == 3
    assert ann.read(path="a")["content"] == "v3"
    for wrong in ({"n": 50}, {"version": 50}, {"time": 5}):
        with pytest.raises(FileMissing, match="no such version; kept: 1 to 12"):
            ann.rollback(path="a", **wrong)
    with pytest.raises(StorageError, match="one of n, time and version"):
        ann.rollback(path="a", n=1, version=2)


def test_a_deletion_is_no_content_to_go_back_to(ann):
    """A rollback that would end at a deletion says so."""
    ann.write(path="a", content="1")
    ann.delete(path="a")
    ann.write(path="a", content="2")
    with pytest.raises(FileMissing, match="in version 2, 'a' was deleted"):
        ann.rollback(path="a")
    with pytest.raises(FileMissing, match="was deleted"):
        ann.read(path="a", version=2)


def test_compare_and_swap(ann):
    """A change names the version it is of; one that comes too late changes nothing."""
    ann.write(path="a", content="1", expected_version=0)
    ann.write(path="a", content="2", expected_version=1)
    for verb in ("write", "delete", "rollback"):
        with pytest.raises(VersionConflict, match="has version 2, not 1"):
            getattr(ann, verb)(path="a", expected_version=1)
    assert ann.read(path="a")["version"] == 2
    ann.delete(path="a", expected_version=2)
    ann.write(path="a", content="3", expected_version=0)


def test_versions_and_contents_are_bounded(tmp_path):
    """`keep` versions of a file, `keep_deleted` deleted files, and no content that nothing refers to; equal ones once."""
    with_limits = opened(tmp_path / "s", keep=3, keep_deleted=2)
    ann = As(with_limits)
    for number in range(10):
        ann.write(path="a", content=f"content {number}")
        ann.write(path=f"copy {number}", content="the same everywhere")
    assert [one["version"] for one in ann.history(path="a")] == [10, 9, 8]
    assert len(list(with_limits.store.objects)) == 3 + 1
    with pytest.raises(FileMissing, match="version 7 of 'a' does not exist, or is not kept"):
        ann.read(path="a", version=7)
    for number in range(10):
        ann.delete(path=f"copy {number}")
    assert len(with_limits.store.database.rows("SELECT 1 FROM files WHERE deleted")) == 3  # the newest, and two before
    with pytest.raises(FileMissing):
        ann.history(path="copy 0")
    check_integrity(with_limits)
    with_limits.close()


def test_large_files_are_refused(tmp_path):
    """A file has a largest size, for appending and for what others put there too."""
    manager = opened(tmp_path / "s", max_bytes=10)
    ann = As(manager)
    ann.write(path="a", content="x" * 10)
    for arguments in ({"content": "x" * 11}, {"content": "x", "append": True}):
        with pytest.raises(StorageError, match="11 bytes are more than the 10"):
            ann.write(path="a", **arguments)
    (ann.folder() / "big").write_text("x" * 11)
    with pytest.raises(StorageError, match="11 bytes, more than the 10"):
        ann.read(path="big")
    manager.close()


@pytest.mark.parametrize(
    ("verb", "arguments", "said"),
    [
        ("reed", {}, "no verb 'reed'. Known: create_directory, create_file"),
        ("read", {}, "needs 'path'"),
        ("read", {"path": 3}, "path is str, not int"),
        ("read", {"path": None}, "path is str, not NoneType"),
        ("read", {"path": "a", "colour": "red"}, "takes path, version, encoding, root; not colour"),
        ("read", {"path": "a", "version": "1"}, "version is int, not str"),
        ("read", {"path": "a", "version": True}, "whole number"),
        ("read", {"path": "a", "version": 0}, "at least 1"),
        ("read", {"path": "a", "encoding": "latin-1"}, "'utf-8' or 'base64'"),
        ("write", {"path": "a", "content": b"x"}, "content is str, not bytes"),
        ("write", {"path": "a", "content": "x", "encoding": "base64"}, "content is not base64"),
        ("write", {"path": "a", "content": "\ud800"}, "content is not utf-8"),
        ("write", {"path": "a", "content": "x", "encoding": "rot13"}, "encoding is"),
        ("write", {"path": "a", "append": "yes"}, "append is bool"),
        ("rollback", {"path": "a", "n": 0}, "at least 1"),
        ("rollback", {"path": "a", "time": "yesterday"}, "ISO 8601"),
        ("rollback", {"path": "a", "time": True}, "number of seconds"),
        ("retrieve", {}, "needs a query or keywords"),
        ("retrieve", {"keywords": [3]}, "list of texts"),
        ("retrieve", {"keywords": {"a": 1}}, "list of texts"),
        ("retrieve", {"query": "a", "k": 0}, "at least 1"),
        ("retrieve", {"query": "a", "collection": "none"}, "mounted no collection 'none'"),
        ("mount", {"collection": ""}, "cannot name a collection"),
        ("mount", {"collection": "a\n"}, "cannot name a collection"),
        ("mount", {"collection": "a", "path": "nowhere"}, "no 'nowhere'"),
        ("mount", {"collection": "a", "root": "mount:nowhere"}, "no directory of the host by the name"),
        ("share", {"path": "a", "to": "agent:bob"}, "no 'a'"),
        ("list", {"limit": 0}, "at least 1"),
    ],
)
def test_bad_arguments(ann, verb, arguments, said):
    """Every wrong call is answered with what is wrong with it."""
    with pytest.raises(StorageError) as caught:
        getattr(ann, verb)(**arguments)
    assert said in str(caught.value)


def test_through_the_gate(manager):
    """Agents call it as syscalls, in threads and in event loops; errors keep their class."""
    kernel = Kernel(managers=[manager])

    def call(verb, **arguments):
        with kernel.syscall(StorageCall(agent=ANN, verb=verb, arguments=arguments)) as grant:
            assert not grant.lease
            return grant.reply().data

    async def acall(verb, **arguments):
        async with kernel.syscall(StorageCall(agent=ANN, verb=verb, arguments=arguments)) as grant:
            return (await grant.areply()).data

    async def many():
        return await asyncio.gather(*(acall("write", path=f"f{number}", content="x") for number in range(30)))

    assert call("write", path="a", content="1")["version"] == 1
    with pytest.raises(FileMissing, match="no 'b'"):
        call("read", path="b")
    assert len(asyncio.run(many())) == 30
    assert len(call("list")["entries"]) == 31
    kernel.close()


def test_what_others_do_in_a_root_becomes_versions(ann, manager):
    """Files that a program writes, changes or removes beside the manager are seen, and nothing of them is lost."""
    folder = ann.folder()
    (folder / "made").write_text("by hand")
    assert ann.read(path="made")["how"] == "outside"
    ann.write(path="a", content="ours")
    (folder / "a").write_text("theirs, in place")
    with pytest.raises(VersionConflict, match="has version 2, not 1"):
        ann.write(path="a", content="ours again", expected_version=1)
    assert ann.write(path="a", content="ours again")["version"] == 3
    assert ann.read(path="a", version=2)["content"] == "theirs, in place"
    (folder / "a").unlink()
    with pytest.raises(FileMissing):
        ann.read(path="a")
    assert ann.history(path="a")[0]["how"] == "outside"
    assert ann.rollback(path="a")["restored"] == 3
    check_integrity(manager)


def test_a_closed_manager_says_so(tmp_path):
    """Calls after the end are refused, and closing twice is fine."""
    manager = opened(tmp_path / "s")
    manager.close()
    manager.close()
    with pytest.raises(KernelClosed):
        manager.perform(ANN, "list")


def test_a_store_of_a_later_release_or_a_damaged_one(tmp_path):
    """A database that cannot be used is an error that names it, not a new one in its place."""
    opened(tmp_path / "s").close()
    database = sqlite3.connect(tmp_path / "s" / "storage.db")
    database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(StorageError, match="later release"):
        opened(tmp_path / "s")
    (tmp_path / "s" / "storage.db").write_bytes(b"no database" * 100)
    with pytest.raises(StorageError, match=r"storage\.db.*cannot be opened"):
        opened(tmp_path / "s")


def test_a_damaged_content_is_noticed(ann, manager):
    """A stored content that is not what was written is an error, not an answer."""
    ann.write(path="a", content="one")
    ann.write(path="a", content="two")
    sha = ann.history(path="a")[1]["sha256"]
    (manager.store.base / "objects" / sha[:2] / sha[2:]).write_text("eno")
    with pytest.raises(StorageError, match="damaged"):
        ann.read(path="a", version=1)
    with pytest.raises(StorageError, match="damaged"):
        ann.rollback(path="a")
    assert ann.read(path="a")["content"] == "two"


def test_it_goes_on_in_a_forked_child(ann, manager):
    """A child process writes with connections of its own, and neither end disturbs the other."""
    ann.write(path="a", content="parent")
    pid = os.fork()
    if not pid:  # the child
        try:
            manager.after_fork()
            ann.write(path="a", content="child", expected_version=1)
            os._exit(0)
        except BaseException:  # noqa: BLE001
            os._exit(1)
    assert os.waitpid(pid, 0)[1] == 0
    assert ann.read(path="a")["content"] == "child"
    ann.write(path="a", content="parent again", expected_version=2)
    check_integrity(manager)


def test_settings_that_make_no_sense(tmp_path):
    """A store without versions is not one."""
    with pytest.raises(ConfigError, match="keep"):
        opened(tmp_path / "s", keep=0)


def test_what_overwriting_would_meet(manager, ann):
    """Approvers are told whether a file is there; a call that is going to be refused counts as one that needs approval."""
    ann.write(path="a", content="1")

    def exists(agent="ann", **arguments):
        return manager.exists(StorageCall(verb="write", arguments=arguments), agent)

    assert exists(path="a")
    assert not exists(path="b")
    assert not exists(path="d/b")
    assert not exists("bob", path="a")
    assert exists("bob", path="a", root="agent:ann")
    assert exists(path="../a")
    assert exists(path="a", root="nowhere")


def test_a_root_that_is_gone_is_made_again(tmp_path):
    """A root that somebody removed is empty, and its files can be brought back."""
    manager = opened(tmp_path / "s")
    As(manager).write(path="a", content="kept")
    folder = As(manager).folder()
    manager.close()
    shutil.rmtree(folder)
    manager = opened(tmp_path / "s")
    ann = As(manager)
    assert ann.list()["entries"] == []
    assert ann.history(path="a")[0]["how"] == "outside"
    ann.rollback(path="a")
    assert ann.read(path="a")["content"] == "kept"
    check_integrity(manager)
    manager.close()
