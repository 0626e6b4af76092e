"""Notes: what an agent remembers, who wrote it and when; how they lie in a store, and as plain data."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from aios_kernel.errors import StoreError
from aios_kernel.store import Record

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Note", "checked_metadata"]

OVERHEAD = 400  # bytes of a note besides its text and metadata, about
#: Under these names provenance can be filtered by; an agent's own metadata keeps clear of the underscore.
PROVENANCE = ("_agent", "_framework", "_source", "_created", "_updated")


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """One note. `agent`, `framework` and `source` (a call) tell who wrote this version; times are seconds of the epoch."""

    id: str
    text: str
    metadata: Mapping[str, Any] = field(default_factory=dict[str, Any])
    version: int = 0
    agent: str = ""
    framework: str = ""
    source: str = ""
    created: float = 0.0
    updated: float = 0.0

    @property
    def size(self) -> int:
        """Bytes of memory it takes, about."""
        return OVERHEAD + len(self.text.encode("utf-8", "surrogatepass")) + _size(self.metadata)

    def data(self) -> dict[str, Any]:
        """The note as plain data."""
        return asdict(self)

    def record(self) -> Record:
        """The note as a store keeps it."""
        told = (self.agent, self.framework, self.source, self.created, self.updated)
        metadata = {**self.metadata, **dict(zip(PROVENANCE, told, strict=True))}
        return Record(id=self.id, text=self.text, metadata=metadata)

    @classmethod
    def of(cls, record: Record) -> Note:
        """The note that a record holds."""
        agent, framework, source, created, updated = (record.metadata.get(name) for name in PROVENANCE)
        return cls(
            id=record.id,
            text=record.text,
            metadata={key: value for key, value in record.metadata.items() if key not in PROVENANCE},
            version=record.version,
            agent=str(agent or ""),
            framework=str(framework or ""),
            source=str(source or ""),
            created=float(created or 0.0),
            updated=float(updated or 0.0),
        )


def checked_metadata(metadata: Any) -> dict[str, Any]:
    """Return an agent's own metadata, or say what it must not be."""
    if not isinstance(metadata, dict):
        raise StoreError("metadata has to be an object of names and values")
    names: list[Any] = list(metadata)  # pyright: ignore[reportUnknownArgumentType]
    for name in names:
        if not isinstance(name, str) or name.startswith("_"):
            raise StoreError(f"metadata cannot have the name {name!r}: names are text and do not begin with '_'")
    return metadata  # pyright: ignore[reportUnknownVariableType]


def _size(value: Any) -> int:
    if isinstance(value, dict):
        return sum(100 + len(str(key)) + _size(one) for key, one in value.items())  # pyright: ignore[reportUnknownArgumentType,reportUnknownVariableType]
    if isinstance(value, list):
        return sum(60 + _size(one) for one in value)  # pyright: ignore[reportUnknownVariableType]
    return len(value) if isinstance(value, str) else 30
