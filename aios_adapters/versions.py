"""The version table: which frameworks are supported, in which versions they are tested, and how they install today.

Everything that names a version reads it from here: the check at run time, `aios doctor`, the tests' environments and the
pages of the documentation. A new framework is one more row.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["TABLE", "Framework", "Tested", "framework"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tested:
    """One version that the tests run with; `packages` are resolved into the lock of the environment `name`.

    The oldest and the newest of a framework run in CI (`ci`), those between them in the full matrix.
    """

    name: str
    version: str
    packages: tuple[str, ...]
    ci: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Framework:
    """One row: an adapter's framework and the versions of its first distribution, oldest first.

    `tests` is the folder in tests/adapters, `python` the supported interpreters where they are fewer than ours,
    `overrides` what a resolver must be told to ignore of the framework's own pins, `install` the command that works today
    where plain `pip install` does not, with `remedy` saying why.
    """

    adapter: str
    title: str
    distributions: tuple[str, ...]
    minimum: str
    tests: str
    versions: tuple[Tested, ...]
    python: str = ""
    overrides: tuple[str, ...] = ()
    install: str = ""
    remedy: str = ""

    @property
    def tested(self) -> tuple[str, str]:
        """The oldest and the newest version the tests run with."""
        return self.versions[0].version, self.versions[-1].version


TABLE = (
    Framework(
        adapter="openai",
        title="openai SDK",
        distributions=("openai",),
        minimum="1.40",
        tests="openai",
        versions=(
            Tested(name="openai-1", version="1.109", packages=("openai==1.109.*",)),
            Tested(name="openai-2", version="2.54", packages=("openai==2.54.*",), ci=False),
            Tested(name="openai-3", version="3.54", packages=("openai>=3.52,<4",)),
        ),
    ),
    Framework(
        adapter="langchain",
        title="LangChain, LangGraph",
        distributions=("langchain-core",),
        minimum="1.0",
        tests="langchain",
        versions=(
            Tested(
                name="langchain",
                version="1.7",
                packages=(
                    "langchain>=1.4,<2",
                    "langchain-core>=1.7,<2",
                    "langgraph>=1.2,<2",
                    "langchain-openai>=1.1,<2",
                ),
            ),
        ),
    ),
    Framework(
        adapter="autogen",
        title="AutoGen 0.7",
        distributions=("autogen-core",),
        minimum="0.7",
        tests="autogen",
        versions=(
            Tested(
                name="autogen",
                version="0.7.5",
                packages=("autogen-agentchat==0.7.5", "autogen-ext[openai]==0.7.5"),
            ),
        ),
    ),
)


def framework(adapter: str) -> Framework:
    """Return the row of an adapter; raises `KeyError` where there is none."""
    for row in TABLE:
        if row.adapter == adapter:
            return row
    raise KeyError(adapter)
