"""The store contract: what every store of records has to hold to. Subclass `StoreContract` with a fixture `store`.

Needs pytest and hypothesis only.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aios_kernel.errors import StoreError, VersionConflict
from aios_kernel.store import MemoryStore, Record, Store
from aios_kernel.store.where import matches, parse

__all__ = ["StoreContract"]

SPACE = "test/3"
NOTES = ["the red fox", "a red, red rose", "blue rivers run", "Café au lait", "the planes and the trains"]
values = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 3), st.sampled_from([0.0, 1.0, 1.5]), st.sampled_from(["", "a", "b", "Ω"])
)
metadatas = st.dictionaries(
    st.sampled_from(["x", "y", "a.b"]), st.one_of(values, st.lists(values, max_size=2)), max_size=3
)
numbers_and_texts = st.one_of(st.integers(-3, 3), st.sampled_from([0.5, 1.0]), st.sampled_from(["", "a", "b"]))
operations = st.one_of(
    values,
    st.fixed_dictionaries({"$ne": values}),
    st.fixed_dictionaries({"$in": st.lists(values, max_size=3)}),
    *(st.fixed_dictionaries({name: numbers_and_texts}) for name in ("$gt", "$gte", "$lt", "$lte")),
)
filters = st.dictionaries(st.sampled_from(["x", "y", "a.b"]), operations, max_size=2)
vectors = st.lists(st.sampled_from([-1.0, 0.0, 0.5, 2.0]), min_size=3, max_size=3).filter(any)
ids = st.sampled_from(["a", "b", "c", "d"])
steps = st.lists(
    st.one_of(
        st.tuples(
            st.just("put"), ids, st.sampled_from(NOTES), metadatas, st.none() | vectors, st.none() | st.integers(0, 3)
        ),
        st.tuples(st.just("remove"), ids, st.none() | st.integers(0, 3)),
        st.tuples(st.just("attach"), ids, st.integers(1, 3), vectors),
    ),
    max_size=20,
)
RELAXED = settings(
    max_examples=120,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
)


def note(name: str, text: str = "a note", **fields: Any) -> Record:
    """A record in few words."""
    return Record(id=name, text=text, **fields)


def _tried(work: Callable[[], Any]) -> Any:
    try:
        return work()
    except VersionConflict:
        return "conflict"


def _apply(store: Store, collection: str, step: tuple[Any, ...]) -> Any:
    """One step, and what of its answer any two stores have in common."""
    kind, name, *rest = step
    if kind == "put":
        text, metadata, vector, expect = rest
        record = Record(id=name, text=text, metadata=metadata, vector=vector, space=SPACE if vector else "")
        wrote = _tried(lambda: store.put(collection, [record], expect=expect))
        return wrote if wrote == "conflict" else [(r.id, r.text, r.metadata, r.version) for r in wrote]
    if kind == "remove":
        return _tried(lambda: store.remove(collection, [name], expect=rest[0]))
    return store.attach(collection, SPACE, {name: (rest[0], rest[1])})


class StoreContract:
    """Every store: versions, filters, both searches, the feed of changes, threads."""

    #: Whether vectors are searched exactly; an approximate index may leave some out.
    exact = True

    @pytest.fixture
    def store(self) -> Any:
        """The store under test."""
        raise NotImplementedError

    def test_what_is_put_is_there(self, store: Store) -> None:
        """A record comes back as it was given, with a version, and to each collection its own."""
        given = note("a", "text \x00 ☃ é", metadata={"n": 1, "deep": {"x": [1, None, "é"]}})
        (put,) = store.put("c", [given])
        assert (put.version, put.vector) == (1, None)
        (got, missing) = store.get("c", ["a", "b"])
        assert got == put
        assert missing is None
        assert store.get("other", ["a"]) == [None]
        assert (store.count("c"), store.count("other"), store.collections()) == (1, 0, ["c"])

    def test_versions_count_writes(self, store: Store) -> None:
        """Each write of an id is its next version, in its old place; what was removed begins anew."""
        store.put("c", [note("a"), note("b")])
        (again,) = store.put("c", [note("a", "new")])
        assert again.version == 2
        assert [record.id for record in store.scan("c")] == ["a", "b"]
        assert store.remove("c", ["a", "x"]) == 1
        (anew,) = store.put("c", [note("a")])
        assert anew.version == 1
        assert [record.id for record in store.scan("c")] == ["b", "a"]

    def test_only_the_version_that_is_known_is_changed(self, store: Store) -> None:
        """Compare-and-swap, for puts and removals; of a refused batch nothing is written."""
        store.put("c", [note("a")], expect=0)
        with pytest.raises(VersionConflict, match="is at version 1"):
            store.put("c", [note("b"), note("a", "lost")], expect=0)
        with pytest.raises(VersionConflict, match="is not there"):
            store.remove("c", ["b"], expect=1)
        assert [record.text for record in store.scan("c")] == ["a note"]
        store.put("c", [note("a", "second")], expect=1)
        assert store.remove("c", ["a"], expect=2) == 1

    def test_what_is_not_plain_is_refused(self, store: Store) -> None:
        """Metadata that is not JSON, and filters that cannot be asked, are errors that name the trouble."""
        for metadata in ({"x": object()}, {"x": float("nan")}):
            with pytest.raises(StoreError, match="plain JSON"):
                store.put("c", [note("a", metadata=metadata)])
        for where in ({"x'": 1}, {'x"': 1}, {"x": [1]}, {"x": {"$regex": "a"}}, {"x": {"$gt": None}}, {"x": 2**70}):
            with pytest.raises(StoreError):
                store.scan("c", where=where)
        assert store.count("c") == 0

    def test_a_caller_s_data_stays_the_caller_s(self, store: Store) -> None:
        """What is changed after a put, or in what was got, does not change the store."""
        metadata = {"list": [1]}
        store.put("c", [note("a", metadata=metadata)])
        metadata["list"].append(2)
        for got in (store.get("c", ["a"])[0], store.scan("c")[0]):
            assert got is not None
            got.metadata["list"].append(3)
        assert store.scan("c")[0].metadata == {"list": [1]}

    def test_pages(self, store: Store) -> None:
        """A collection is read in pages, while it is written to."""
        store.put("c", [note(f"{i}") for i in range(5)])
        first = store.scan("c", limit=2)
        store.remove("c", ["1", "2"])
        store.put("c", [note("new")])
        rest = store.scan("c", after=first[-1].number)
        assert [record.id for record in first + rest] == ["0", "1", "3", "4", "new"]
        assert store.scan("c", limit=0) == []

    @RELAXED
    @given(rows=st.lists(metadatas, max_size=6), where=filters)
    def test_filters(self, store: Store, rows: list[dict[str, Any]], where: dict[str, Any]) -> None:
        """A filter means the same in every store, in every method that takes one."""
        store.remove("c", [record.id for record in store.scan("c")])
        vector = (1.0, 0.0, 0.0)
        records = [note(f"{i}", "word", metadata=row, vector=vector, space=SPACE) for i, row in enumerate(rows)]
        store.put("c", records)
        fitting = [record.id for record in records if matches(record.metadata, parse(where))]
        assert [record.id for record in store.scan("c", where=where)] == fitting
        assert store.count("c", where) == len(fitting)
        assert [hit.id for hit in store.search_text("c", "word", 10, where)] == fitting
        assert sorted(hit.id for hit in store.search_vector("c", SPACE, vector, 10, where)) == fitting

    def test_words(self, store: Store) -> None:
        """Any word counts, more and rarer ones count more; case, accents and endings do not matter."""
        store.put("c", [note(f"{i}", text) for i, text in enumerate(NOTES)])
        store.put("other", [note("x", "red red red")])

        def found(query: str, k: int = 10) -> list[str]:
            return [hit.id for hit in store.search_text("c", query, k)]

        assert found("RED fox") == ["0", "1"]
        assert found("cafe") == found("CAFÉ") == ["3"]
        assert found("plane") == found("trained") == ["4"]
        assert found("red fox", 1) == ["0"]
        assert found("river OR running") == found("rivers* runs") == ["2"]
        for nothing in ("", "  ", '"', "NOT", "nowhere", "home:c1", "c1", "*", "a\x00"):
            assert set(found(nothing)) <= {"1"}, nothing
        assert found("red", 0) == []

    def test_words_follow_the_record(self, store: Store) -> None:
        """A text that is replaced or removed is not found by its old words."""
        store.put("c", [note("a", "apple"), note("b", "apple")])
        store.put("c", [note("a", "pear")])
        store.remove("c", ["b"])
        assert store.search_text("c", "apple", 5) == []
        assert [hit.id for hit in store.search_text("c", "pear", 5)] == ["a"]

    def test_meaning(self, store: Store) -> None:
        """The nearest by angle, nearest first, of one space only; in exact search equal ones in the order of writing."""
        store.put(
            "c",
            [
                note("far", vector=(0.0, 0.0, 7.0), space=SPACE),
                note("near", vector=(9.0, 1.0, 0.0), space=SPACE),
                note("same", vector=(0.1, 0.0, 0.0), space=SPACE),
                note("same too", vector=(3.0, 0.0, 0.0), space=SPACE),
                note("foreign", vector=(1.0, 0.0, 0.0), space="another"),
                note("none"),
            ],
        )
        hits = store.search_vector("c", SPACE, (2.0, 0.0, 0.0), 3)
        found = [hit.id for hit in hits]
        assert (found if self.exact else sorted(found[:2]) + found[2:]) == ["same", "same too", "near"]
        assert [round(hit.score, 3) for hit in hits] == [1.0, 1.0, 0.994]
        assert [hit.id for hit in store.search_vector("c", "another", (1.0, 0.0, 0.0), 9)] == ["foreign"]
        assert store.search_vector("c", SPACE, (1.0, 0.0), 3) == []
        assert store.search_vector("nowhere", SPACE, (1.0, 0.0, 0.0), 3) == []

    def test_vectors_follow_the_record(self, store: Store) -> None:
        """A vector that is replaced, taken away, given later or removed is searched as it is now."""

        def found() -> list[str]:
            return sorted(hit.id for hit in store.search_vector("c", SPACE, (1.0, 0.0, 0.0), 9) if hit.score > 0.5)

        store.put("c", [note(name, vector=(1.0, 0.0, 0.0), space=SPACE) for name in "abc"])
        assert found() == ["a", "b", "c"]
        store.put("c", [note("a", vector=(0.0, 1.0, 0.0), space=SPACE)])
        store.put("c", [note("b")])
        assert found() == ["c"]
        assert [record.id for record in store.lacking("c", SPACE, 9)] == ["b"]
        assert store.attach("c", SPACE, {"b": (1, (1.0, 0.0, 0.0)), "x": (1, (1.0, 0.0, 0.0))}) == 0
        assert store.attach("c", SPACE, {"b": (2, (5.0, 0.0, 0.0))}) == 1
        assert found() == ["b", "c"]
        kept = store.get("c", ["b"])[0]
        assert kept is not None
        assert (kept.version, kept.space, tuple(kept.vector or ())) == (2, SPACE, (1.0, 0.0, 0.0))
        store.remove("c", ["c"])
        store.put("c", [note("c")])
        assert found() == ["b"]
        assert store.lacking("other", SPACE, 9) == []
        assert store.count_lacking("c", SPACE) == 1
        assert store.count_lacking("c", "another") == len(store.lacking("c", "another", 9)) == 3
        assert len(store.lacking("c", "another", 2)) == 2

    def test_changes_can_be_followed(self, store: Store) -> None:
        """Whoever applies the changes behind a stamp, however few at a time, knows what the store holds."""
        random_ = random.Random(7)
        known: dict[tuple[str, str], int] = {}
        at = store.stamp()
        for _ in range(30):
            for _ in range(random_.randrange(5)):
                collection, name = random_.choice("cd"), random_.choice("xyz")
                if random_.random() < 0.4:
                    store.remove(collection, [name])
                else:
                    store.put(collection, [note(name)])
            while found := store.changes(at, 2):
                assert [change.stamp for change in found] == sorted(change.stamp for change in found)
                for change in found:
                    known[change.collection, change.id] = change.version
                    at = change.stamp
            there = {(c, record.id): record.version for c in store.collections() for record in store.scan(c)}
            assert {key: version for key, version in known.items() if version} == there
        assert store.changes(store.stamp(), 10) == []

    @RELAXED
    @given(steps=steps, asked=vectors, query=st.sampled_from([*NOTES, "red", "run blue", "none"]))
    def test_like_the_reference(self, store: Store, steps: list[Any], asked: list[float], query: str) -> None:
        """Any course of writes leaves what it leaves in the plainest store there is."""
        reference = MemoryStore()
        store.remove("c", [record.id for record in store.scan("c")])
        for step in steps:
            assert _apply(store, "c", step) == _apply(reference, "c", step)
        for one, other in zip(store.scan("c"), reference.scan("c"), strict=True):
            assert (one.id, one.text, one.metadata, one.version) == (
                other.id,
                other.text,
                other.metadata,
                other.version,
            )
        found = {hit.id for hit in store.search_text("c", query, 10)}
        assert found == {hit.id for hit in reference.search_text("c", query, 10)}
        near, wanted = (one.search_vector("c", SPACE, asked, 3) for one in (store, reference))
        if self.exact:
            assert [round(hit.score, 4) for hit in near] == [round(hit.score, 4) for hit in wanted]
        assert len(near) == len(wanted)

    def test_threads(self, store: Store) -> None:
        """Eight threads count up one record by compare-and-swap while others read: no count is lost."""
        store.put("c", [note("n", metadata={"n": 0})])
        errors: list[BaseException] = []

        def count() -> None:
            try:
                for _ in range(10):
                    while True:
                        (seen,) = store.get("c", ["n"])
                        assert seen is not None
                        more = note("n", metadata={"n": seen.metadata["n"] + 1})
                        if (
                            _tried(lambda more=more, seen=seen: store.put("c", [more], expect=seen.version))
                            != "conflict"
                        ):
                            break
                    store.search_text("c", "note", 3)
                    store.search_vector("c", SPACE, (1.0, 0.0, 0.0), 3)
            except BaseException as error:  # noqa: BLE001 - shown below
                errors.append(error)

        threads = [threading.Thread(target=count) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert errors == []
        (last,) = store.get("c", ["n"])
        assert last is not None
        assert (last.metadata["n"], last.version) == (80, 81)
