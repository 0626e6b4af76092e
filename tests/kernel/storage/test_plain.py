"""Import and export: plain files in, plain files out, and nothing but plain files."""

from __future__ import annotations

import os

import pytest

from aios_kernel.errors import StorageError
from tests.kernel.storage.support import As, check_integrity, opened


@pytest.fixture
def source(tmp_path):
    source = tmp_path / "source"
    (source / "deep" / "er").mkdir(parents=True)
    (source / "a.txt").write_text("a")
    (source / "deep" / "er" / "b.bin").write_bytes(bytes(range(256)))
    return source


def test_there_and_back(manager, ann, source, tmp_path):
    """What is exported is what was imported, byte for byte."""
    assert manager.import_files("agent:ann", source) == {"files": 2, "skipped": []}
    assert ann.history(path="a.txt")[0]["how"] == "import"
    assert manager.export_files("agent:ann", tmp_path / "out") == {"files": 2}
    for path in ("a.txt", "deep/er/b.bin"):
        assert (tmp_path / "out" / path).read_bytes() == (source / path).read_bytes()
    check_integrity(manager)


def test_parts_of_roots(manager, ann, source, tmp_path):
    """A path in the root can be the target and the source; groups have roots as well."""
    manager.import_files("group:research", source, "incoming")
    assert ann.read(path="incoming/a.txt", root="group:research")["content"] == "a"
    assert manager.export_files("group:research", tmp_path / "out", "incoming/deep") == {"files": 1}
    assert (tmp_path / "out" / "incoming" / "deep" / "er" / "b.bin").exists()


def test_what_is_no_plain_file_stays_out(manager, ann, source):
    """Links and pipes are left out; names and files that no call could use are told."""
    (source / "link").symlink_to("/etc/passwd")
    (source / "up").symlink_to("..")
    os.mkfifo(source / "pipe")
    (source / "trailing.").write_text("x")
    (source / "one").write_text("x")
    (source / "two").hardlink_to(source / "one")
    told = manager.import_files("agent:ann", source)
    assert told["files"] == 2
    assert {one["path"] for one in told["skipped"]} == {"trailing.", "one", "two"}
    assert all(len(one["reason"]) > 10 for one in told["skipped"])
    assert {one["path"] for one in ann.list()["entries"]} == {"a.txt", "deep"}


def test_an_export_overwrites_nothing(manager, ann, tmp_path):
    """A file at the destination is an error, and a link there is not written through."""
    ann.write(path="a", content="new")
    out = tmp_path / "out"
    out.mkdir()
    (out / "a").write_text("kept")
    with pytest.raises(StorageError, match="at the destination already"):
        manager.export_files("agent:ann", out)
    assert (out / "a").read_text() == "kept"
    (out / "a").unlink()
    (out / "a").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StorageError, match="at the destination already"):
        manager.export_files("agent:ann", out)
    assert not (tmp_path / "elsewhere").exists()


def test_names_that_are_none(manager, tmp_path):
    """Operators name a root as calls do."""
    for label in ("ann", "mount:host", ""):
        with pytest.raises(StorageError):
            manager.export_files(label, tmp_path / "out")
    with pytest.raises(StorageError, match="cannot be opened"):
        manager.import_files("agent:ann", tmp_path / "nowhere")


def test_an_unprivileged_reader_of_the_store_sees_nothing(tmp_path):
    """The store's directories are its user's alone."""
    manager = opened(tmp_path / "s")
    As(manager).write(path="d/a", content="1")
    for path in (tmp_path / "s", *(tmp_path / "s").rglob("*")):
        assert path.stat().st_mode & 0o077 == 0, path
    manager.close()
