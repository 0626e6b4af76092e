"""Files against a simple model of what they are: any calls in any order, with the store closed and opened in between."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from aios_kernel.errors import FileMissing, StorageError, VersionConflict
from tests.kernel.storage.support import As, Time, check_integrity, opened

KEEP = 4
PATHS = st.sampled_from(["a", "b", "d/a", "d/e/b"])
CONTENTS = st.sampled_from(["", "one", "two", "three", "é" * 50, "x" * 3000])


class Model:
    """One file: every version as (number, content or None, time)."""

    def __init__(self) -> None:
        self.versions: list[tuple[int, str | None, float]] = []

    @property
    def number(self) -> int:
        return self.versions[-1][0] if self.versions else 0

    @property
    def content(self) -> str | None:
        return self.versions[-1][1] if self.versions else None

    @property
    def expected(self) -> int:
        return 0 if self.content is None else self.number

    def add(self, content: str | None, time: float) -> None:
        self.versions = [*self.versions, (self.number + 1, content, time)][-KEEP:]


class Files(RuleBasedStateMachine):
    """Calls of one agent, and of somebody who changes its files beside the manager."""

    def __init__(self) -> None:
        super().__init__()
        self.base = Path(tempfile.mkdtemp())
        self.now = Time()
        self.model = {path: Model() for path in ("a", "b", "d/a", "d/e/b")}
        self._open()

    def _open(self) -> None:
        self.manager = opened(self.base, keep=KEEP, clock=self.now)
        self.ann = As(self.manager)
        self.folder = self.ann.folder()

    def teardown(self) -> None:
        self.manager.close()
        shutil.rmtree(self.base)

    @rule(path=PATHS, content=CONTENTS, append=st.booleans())
    def write(self, path, content, append):
        model = self.model[path]
        self.now.now += 1
        told = self.ann.write(path=path, content=content, append=append)
        model.add((model.content or "") + content if append else content, self.now.now)
        assert told["version"] == model.number

    @rule(path=PATHS, content=CONTENTS, late=st.integers(-2, 2))
    def compare_and_swap(self, path, content, late):
        model = self.model[path]
        expected = max(0, model.expected + late)
        self.now.now += 1
        if expected == model.expected:
            self.ann.write(path=path, content=content, expected_version=expected)
            model.add(content, self.now.now)
        else:
            with pytest.raises(VersionConflict):
                self.ann.write(path=path, content=content, expected_version=expected)

    @rule(path=PATHS)
    def delete(self, path):
        model = self.model[path]
        self.now.now += 1
        if model.content is None:
            with pytest.raises(FileMissing):
                self.ann.delete(path=path)
        else:
            self.ann.delete(path=path)
            model.add(None, self.now.now)

    @rule(path=PATHS, n=st.integers(1, KEEP + 1))
    def roll_back_by(self, path, n):
        kept = self.model[path].versions
        self._roll_back(path, kept[-1 - n] if n < len(kept) else None, n=n)

    @rule(path=PATHS, number=st.integers(1, 12))
    def roll_back_to(self, path, number):
        kept = [one for one in self.model[path].versions if one[0] == number]
        self._roll_back(path, kept[0] if kept else None, version=number)

    @rule(path=PATHS, ago=st.integers(0, 12))
    def roll_back_to_a_time(self, path, ago):
        time = self.now.now - ago
        kept = [one for one in self.model[path].versions if one[2] <= time]
        self._roll_back(path, kept[-1] if kept else None, time=time)

    def _roll_back(self, path, chosen, **arguments):
        self.now.now += 1
        if chosen is None or chosen[1] is None:
            with pytest.raises(FileMissing):
                self.ann.rollback(path=path, **arguments)
            return
        assert self.ann.rollback(path=path, **arguments)["restored"] == chosen[0]
        self.model[path].add(chosen[1], self.now.now)

    @rule(path=PATHS, content=CONTENTS)
    def change_beside_the_manager(self, path, content):
        place = self.folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        swapped = place.with_name("swapped")
        swapped.write_text(content)
        swapped.rename(place)
        self.now.now += 1
        assert self.ann.read(path=path)["content"] == content
        self.model[path].add(content, self.now.now)

    @precondition(lambda self: any(model.content is not None for model in self.model.values()))
    @rule(data=st.data())
    def remove_beside_the_manager(self, data):
        there = sorted(path for path, model in self.model.items() if model.content is not None)
        path = data.draw(st.sampled_from(there))
        (self.folder / path).unlink()
        self.now.now += 1
        with pytest.raises(StorageError):
            self.ann.read(path=path)
        self.model[path].add(None, self.now.now)

    @rule()
    def close_and_open(self):
        self.manager.close()
        self._open()

    @invariant()
    def all_is_as_the_model_says(self):
        present = {path for path, model in self.model.items() if model.content is not None}
        listed = self.ann.list(recursive=True)["entries"]
        assert {one["path"]: one["version"] for one in listed if one["kind"] == "file"} == {
            path: self.model[path].number for path in present
        }
        for path, model in self.model.items():
            if path in present:
                assert self.ann.read(path=path)["content"] == model.content
            if model.versions:
                history = self.ann.history(path=path)
                assert [(one["version"], one["time"]) for one in reversed(history)] == [
                    (number, time) for number, _, time in model.versions
                ]
                for number, content, _ in model.versions:
                    if content is not None:
                        assert self.ann.read(path=path, version=number)["content"] == content
        check_integrity(self.manager)


TestFiles = Files.TestCase
TestFiles.settings = settings(
    max_examples=15,
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=True,
)
