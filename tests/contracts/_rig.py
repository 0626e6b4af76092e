"""What the parts of the patch contract share: the hooks a subclass fills in, fixtures, and a look at the targets."""

from __future__ import annotations

import contextlib
import importlib
import os
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import pytest

import aios_adapters
from aios_adapters.adapter import Adapter, load_all
from aios_adapters.patching import Moved, Patch
from aios_evals.endpoint import Endpoint

__all__ = ["MISSING", "Rig", "differing", "requests_of", "target_of"]

MISSING: Any = object()


class Rig:
    """Give `name` and `call`; the other hooks where the framework has what they ask for."""

    #: The adapter's name in `status()`.
    name: ClassVar[str]

    def call(self, endpoint: Endpoint) -> Any:
        """Make one LLM call with the framework, to the endpoint; return a result that can be compared."""
        raise NotImplementedError

    def late(self, endpoint: Endpoint) -> Any:
        """Define a model class of the user's own, below one that is patched, and make one LLM call with it."""
        pytest.skip("this framework's models are no classes to inherit from")

    def captured(self, endpoint: Endpoint) -> Callable[[], Any]:
        """Take references to what users call (bound methods, functions, clients); return one LLM call with them."""
        return lambda: self.call(endpoint)

    # Fixtures

    @pytest.fixture(autouse=True)
    def _clean(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Iterator[None]:
        for name in [name for name in os.environ if name.startswith("AIOS_") and name != "AIOS_TEST_ENV"]:
            monkeypatch.delenv(name)
        monkeypatch.chdir(tmp_path)
        aios_adapters.disable()
        yield
        aios_adapters.disable()

    @pytest.fixture
    def endpoint(self) -> Iterator[Endpoint]:
        with Endpoint(reply_tokens=6) as endpoint:
            yield endpoint

    # What is patched

    @property
    def adapter(self) -> Adapter:
        """The adapter's row of the table."""
        return next(one for one in load_all() if isinstance(one, Adapter) and one.name == self.name)

    def imported(self) -> Adapter:
        """The adapter, with every module it patches imported."""
        adapter = self.adapter
        for module in adapter.modules:
            optional = all(patch.optional for patch in adapter.patches if patch.module == module)
            with contextlib.suppress(*[ImportError] if optional and module != adapter.module else []):
                importlib.import_module(module)
        return adapter

    def patches(self) -> list[Patch]:
        """The patches that apply to the installed version."""
        adapter = self.adapter
        return [patch for module in adapter.modules for patch in adapter.patches_of(module, adapter.version())]

    def targets(self) -> list[tuple[Any, str]]:
        """Owner and name of every attribute the adapter patches in this version."""
        return [found for patch in self.patches() if (found := target_of(patch)) is not None]

    def owners(self) -> list[tuple[Any, str]]:
        """Like `targets`, with the subclasses that are covered as well."""
        covered = {patch.path.rpartition(".")[2] for patch in self.patches() if patch.subclasses}
        return [
            (cls, name)
            for owner, name in self.targets()
            for cls in (_tree(owner) if isinstance(owner, type) and name in covered else [owner])
        ]

    def attributes(self) -> dict[tuple[Any, str], Any]:
        """What is at each of them now; `MISSING` for an attribute that is inherited. Keeps the owners alive."""
        return {(owner, name): vars(owner).get(name, MISSING) for owner, name in self.owners()}


def differing(before: dict[tuple[Any, str], Any]) -> list[tuple[Any, str]]:
    """Which of the attributes are other objects now."""
    return [(owner, name) for (owner, name), value in before.items() if vars(owner).get(name, MISSING) is not value]


def _tree(cls: type) -> Iterator[type]:
    yield cls
    for sub in type.__subclasses__(cls):
        yield from _tree(sub)


def target_of(patch: Patch) -> tuple[Any, str] | None:
    """Owner and name of a patch's target; None where an optional one is missing."""
    *path, name = patch.path.split(".")
    try:
        owner: Any = importlib.import_module(patch.module)
        for step in path:
            owner = getattr(owner, step)
        getattr(owner, name)
    except (AttributeError, ImportError):
        if patch.optional:
            return None
        raise Moved(f"{patch} does not exist") from None
    return owner, name


def requests_of(endpoint: Endpoint) -> list[tuple[Any, ...]]:
    """What the endpoint was sent, but for the host, whose port is another for each endpoint."""
    return [
        (
            record.method,
            record.path,
            {key: value for key, value in record.headers.items() if key != "host"},
            record.body,
        )
        for record in endpoint.requests
    ]
