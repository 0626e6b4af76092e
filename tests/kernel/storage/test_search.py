"""Search: what is written is found, what is gone is not, within what the caller may read; the index can be lost."""

from __future__ import annotations

import shutil
import threading

import pytest

from aios_kernel.errors import AccessDenied, FileMissing
from aios_kernel.store import Hit, Hybrid, HybridIndex, SQLiteStore
from tests.kernel.storage.support import ANN, BOB, As, check_integrity, opened


@pytest.fixture
def library(ann):
    ann.write(path="animals/cat", content="The cat sleeps all day on the warm stove.")
    ann.write(path="animals/dog", content="A dog guards the house and sleeps at night.")
    ann.write(path="plants/oak", content="Oaks grow slowly; the oak in the yard is old.")
    return ann


def _paths(found):
    return [one["path"] for one in found]


def test_words_are_found(library):
    """Best first, in other forms of a word too; `k` at most; all keywords have to be there."""
    assert _paths(library.retrieve(query="sleeping cats")) == ["animals/cat", "animals/dog"]
    assert _paths(library.retrieve(query="sleeping cats", k=1)) == ["animals/cat"]
    assert _paths(library.retrieve(query="sleeps", keywords=["HOUSE", "night"])) == ["animals/dog"]
    assert _paths(library.retrieve(keywords="yard")) == ["plants/oak"]
    assert library.retrieve(query="submarine") == []
    found = library.retrieve(query="oak")[0]
    assert (found["root"], found["version"], found["content"][:4]) == ("agent:ann", 1, "Oaks")


@pytest.mark.parametrize(
    "query", ['"', "cat OR", "NEAR(", "*", "text:cat", "-", "a' OR 1=1 --", "(", "^", "\0", "café ☕", "word " * 9999]
)
def test_a_query_is_words_and_no_language(library, query):
    """Signs that mean something to the index are only signs."""
    library.retrieve(query=query)


def test_an_index_follows_changes(library):
    """Overwriting, deleting and rolling back are seen at once."""
    library.write(path="animals/cat", content="A parrot talks.")
    assert _paths(library.retrieve(query="stove")) == []
    assert _paths(library.retrieve(query="parrot")) == ["animals/cat"]
    library.rollback(path="animals/cat")
    assert _paths(library.retrieve(query="stove")) == ["animals/cat"]
    library.delete(path="animals", recursive=True)
    assert _paths(library.retrieve(query="sleeps stove")) == []


def test_collections(library, bob):
    """A collection is a directory by a name of one's own."""
    assert library.mount(collection="flora", path="plants") == {
        "collection": "flora",
        "root": "agent:ann",
        "path": "plants",
        "files": 1,
    }
    assert _paths(library.retrieve(query="the sleeps", collection="flora")) == ["plants/oak"]
    with pytest.raises(FileMissing, match="no collection 'flora'"):
        bob.retrieve(query="oak", collection="flora")


def test_only_what_may_be_read_is_found(library, bob, eve):
    """Others find nothing of it; a share opens its own part; a collection outlives no right."""
    assert bob.retrieve(query="cat dog oak") == []
    with pytest.raises(AccessDenied):
        eve.retrieve(query="oak", root="agent:ann")
    made = library.share(path="plants", to="agent:eve")
    with pytest.raises(AccessDenied):
        eve.retrieve(query="oak", root="agent:ann")
    assert _paths(eve.retrieve(query="oak sleeps", root="agent:ann", path="plants")) == ["plants/oak"]
    eve.mount(collection="borrowed", root="agent:ann", path="plants")
    assert _paths(eve.retrieve(query="oak", collection="borrowed")) == ["plants/oak"]
    library.revoke(id=made["id"])
    with pytest.raises(AccessDenied):
        eve.retrieve(query="oak", collection="borrowed")


def test_many_others_do_not_crowd_out(ann):
    """The best of a directory are found however many files beside it fit better."""
    for number in range(120):
        ann.write(path=f"other/{number}", content="word word word word")
    ann.write(path="here/a", content="one word among many that are not it")
    assert _paths(ann.retrieve(query="word", path="here")) == ["here/a"]


def test_directories_of_the_host(tmp_path, now):
    """They are read and searched in place, never written; mounting again takes in what changed; each has its name only."""
    host = tmp_path / "host"
    (host / "sub").mkdir(parents=True)
    (host / "a.txt").write_text("apples and pears")
    (host / "sub" / "b.txt").write_text("bananas")
    (host / "link").symlink_to("/etc/hostname")
    manager = opened(tmp_path / "s", mounts={"host": host}, clock=now)
    ann = As(manager)
    assert ann.mount(collection="fruit", root="mount:host")["files"] == 2
    assert _paths(ann.retrieve(query="bananas", collection="fruit")) == ["sub/b.txt"]
    assert ann.read(path="a.txt", root="mount:host")["content"] == "apples and pears"
    assert {one["path"] for one in ann.list(root="mount:host", recursive=True)["entries"]} == {
        "a.txt",
        "sub",
        "sub/b.txt",
    }
    for verb, arguments in {"write": {"content": ""}, "delete": {}, "rollback": {}, "create_directory": {}}.items():
        with pytest.raises(AccessDenied, match="only read"):
            getattr(ann, verb)(path="a.txt", root="mount:host", **arguments)
    with pytest.raises(AccessDenied):
        ann.read(path="link", root="mount:host")
    (host / "a.txt").write_text("cherries now")
    (host / "sub" / "b.txt").unlink()
    assert ann.retrieve(query="bananas", collection="fruit") == []  # gone: not shown from memory
    ann.mount(collection="fruit", root="mount:host")
    assert _paths(ann.retrieve(query="cherries", collection="fruit")) == ["a.txt"]
    assert [row["path"] for row in manager.store.database.rows("SELECT path FROM files")] == ["a.txt"]
    manager.close()
    unmounted = opened(tmp_path / "s", clock=now)
    with pytest.raises(FileMissing):
        As(unmounted).retrieve(query="cherries", collection="fruit")
    unmounted.close()


def test_what_others_put_into_a_root_is_found_when_mounted(ann):
    """Files made beside the manager are taken in by `mount`."""
    (ann.folder() / "by hand").write_text("quince jelly")
    assert ann.retrieve(query="quince") == []
    ann.mount(collection="mine")
    assert _paths(ann.retrieve(query="quince", collection="mine")) == ["by hand"]


@pytest.mark.parametrize("damage", ["missing", "garbage", "stale"])
def test_an_index_that_is_lost_is_made_anew(tmp_path, damage):
    """The files are the record: an index that is missing, damaged or of an earlier time is filled again."""
    base = tmp_path / "s"
    manager = opened(base)
    As(manager).write(path="old", content="walnut")
    manager.close()
    shutil.copy(base / "index.db", tmp_path / "earlier")
    manager = opened(base)
    As(manager).write(path="new", content="hazel")
    manager.close()
    if damage == "missing":
        (base / "index.db").unlink()
    elif damage == "garbage":
        (base / "index.db").write_bytes(b"\x00garbage" * 999)
    else:
        shutil.copy(tmp_path / "earlier", base / "index.db")
        rebuilt = opened(base)
        rebuilt.store.records.forget_index()
        rebuilt.close()
    manager = opened(base)
    assert manager.wait_for_index(30)
    assert sorted(_paths(As(manager).retrieve(query="walnut hazel"))) == ["new", "old"]
    check_integrity(manager)
    manager.close()


class Semantic:
    """An index of another kind, which can fail: finds by the first letter of what was asked."""

    fresh = True

    def __init__(self) -> None:
        self.texts = {}
        self.broken = False

    def index(self, id, text, metadata):  # noqa: A002 - the interface's words
        if self.broken:
            raise RuntimeError("no index today")
        self.texts[id] = (text, dict(metadata))

    def remove(self, id):  # noqa: A002
        self.texts.pop(id, None)

    def search(self, query, k, filter):  # noqa: A002
        hits = [
            Hit(id=name, score=1.0)
            for name, (text, metadata) in self.texts.items()
            if query[0] in text and all(metadata.get(key) == value for key, value in filter.items())
        ]
        return hits[:k]


def test_any_index_will_do(tmp_path):
    """An index from outside is told of every change; while it fails, writes do not; the next opening makes up for it."""
    index = Semantic()
    manager = opened(tmp_path / "s", index=index)
    ann, bob = As(manager, ANN), As(manager, BOB)
    ann.write(path="a", content="xyz")
    bob.write(path="b", content="xyz")
    assert _paths(ann.retrieve(query="x")) == ["a"]
    index.broken = True
    assert ann.write(path="c", content="xxx")["version"] == 1
    manager.close()
    index.broken, index.fresh = False, False
    manager = opened(tmp_path / "s", index=index)
    assert manager.wait_for_index(30)
    assert _paths(As(manager).retrieve(query="x")) == ["a", "c"]
    again = Semantic()
    manager.close()
    manager = opened(tmp_path / "s", index=again)
    assert manager.wait_for_index(30)
    assert len(again.texts) == 3
    manager.close()


def test_files_do_not_wait_for_an_index(tmp_path):
    """While a lost index is filled, slowly, files are read and written, and end up in it as they are; closing ends it."""
    manager = opened(tmp_path / "s")
    for path in ("a", "b", "c"):
        As(manager).write(path=path, content="old")
    manager.close()
    begun, go_on = threading.Event(), threading.Event()

    class Slow(Semantic):
        def index(self, id, text, metadata):  # noqa: A002
            if threading.current_thread().name == "aios-storage-index":
                begun.set()
                assert go_on.wait(30)
            super().index(id, text, metadata)

    index = Slow()
    manager = opened(tmp_path / "s", index=index)
    ann = As(manager)
    assert begun.wait(30)
    ann.write(path="c", content="new")
    assert ann.read(path="c")["content"] == "new"
    assert not manager.wait_for_index(0)
    go_on.set()
    assert manager.wait_for_index(30)
    assert {text for text, _ in index.texts.values()} == {"a\nold", "b\nold", "c\nnew"}
    assert manager.store.records.stale() == []
    manager.close()
    manager = opened(tmp_path / "s", index=Slow())
    manager.close()
    assert manager.wait_for_index(30)


def test_by_meaning_and_by_words(tmp_path):
    """The store's hybrid index finds what no word of the query is in; lost, it is filled again from the files."""
    pytest.importorskip("numpy")

    class Topics:
        """An embedder of one axis per topic."""

        space, dimensions = "topics", 3

        def embed(self, texts):
            topics = (("cat", "feline"), ("oak", "tree"), ("car", "motor"))
            return [[float(any(word in text.lower() for word in topic)) for topic in topics] for text in texts]

        def embed_query(self, text):
            return self.embed([text])[0]

    for turn in range(2):
        index = HybridIndex(Hybrid(SQLiteStore(tmp_path / f"index {turn}.db"), Topics()), "files")
        manager = opened(tmp_path / "s", index=index)
        assert manager.wait_for_index(30)
        ann, bob = As(manager, ANN), As(manager, BOB)
        if not turn:
            ann.write(path="a", content="The cat sleeps.")
            ann.write(path="b", content="The oak grows.")
            bob.write(path="c", content="My cat does not.")
        assert _paths(ann.retrieve(query="feline", k=1)) == ["a"]
        assert _paths(ann.retrieve(query="grows", k=1)) == ["b"]
        assert _paths(bob.retrieve(query="feline")) == ["c"]
        manager.close()
        index.close()
