"""The arguments of memory calls: plain data from anywhere, so each is checked before it is used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from aios_kernel.errors import StoreError
from aios_kernel.memory.notes import checked_metadata

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["KNOWN", "Arguments", "owner_named", "owner_of", "owner_shown"]

KNOWN: dict[str, tuple[str, ...]] = {
    "add": ("text", "metadata", "id", "source", "agent"),
    "get": ("id", "agent"),
    "update": ("id", "text", "metadata", "version", "source", "agent"),
    "remove": ("id", "version", "agent"),
    "retrieve": ("query", "k", "where", "mode", "agent", "agents"),
    "list": ("where", "limit", "after", "agent"),
    "sync": ("shelf", "after", "put", "remove", "source", "agent"),
}


def owner_of(agent: str) -> str:
    """The owner of an agent's own notes: its name, which cannot be made to look like a group's."""
    name = agent.replace("%", "%25").replace("/", "%2F")
    return name.replace(":", "%3A", 1) if name.startswith(("agent:", "group:")) else name


def owner_named(text: str) -> str:
    """The owner that a caller names: "NAME" or "agent:NAME" for an agent, "group:NAME" for a group's shared notes."""
    if text.startswith("group:"):
        return "group:" + owner_of(text.removeprefix("group:"))
    return owner_of(text.removeprefix("agent:"))


def owner_shown(owner: str) -> str:
    """What a caller names an owner by: the way back from `owner_named`."""
    if owner.startswith("group:"):
        return "group:" + unquote(owner.removeprefix("group:"))
    name = unquote(owner)
    return f"agent:{name}" if name.startswith(("agent:", "group:")) else name


class Arguments:
    """Arguments by name; one that is unknown, missing or of another type is an error that says what is expected."""

    def __init__(self, verb: str, values: Mapping[str, Any]) -> None:
        if verb not in KNOWN:
            raise StoreError(f"memory has no verb {verb!a}. Known: {', '.join(KNOWN)}")
        unknown = sorted(str(name) for name in values if name not in KNOWN[verb])
        if unknown:
            raise StoreError(f"memory {verb} takes {', '.join(KNOWN[verb])}; not {', '.join(unknown)}")
        self._verb, self._values = verb, values

    def given(self, name: str) -> bool:
        """Whether the argument is there, and not null."""
        return self._values.get(name) is not None

    def text(self, name: str, default: str | None = None, *, empty: bool = False) -> str:
        """A text; without a default it has to be given."""
        value = self._values.get(name)
        value = default if value is None else value
        if not isinstance(value, str) or not (value or empty or value == default):
            raise StoreError(f"memory {self._verb} needs {name}: a text, not {value!r}")
        return value

    def whole(self, name: str, default: int | None, least: int) -> int | None:
        """A whole number, or the default."""
        value = self._values.get(name)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise StoreError(f"memory {self._verb}: {name} is a whole number of at least {least}, not {value!r}")
        return value

    def metadata(self) -> dict[str, Any] | None:
        """The agent's own metadata, None where it is not given."""
        return checked_metadata(self._values["metadata"]) if self.given("metadata") else None

    def where(self) -> dict[str, Any] | None:
        """A filter."""
        value = self._values.get("where")
        if value is not None and not isinstance(value, dict):
            raise StoreError(f"memory {self._verb}: where is an object such as {{'topic': 'x'}}, not {value!r}")
        return value  # pyright: ignore[reportUnknownVariableType]

    def items(self, name: str) -> list[dict[str, Any]]:
        """Notes to write: objects with `id`, `text` and `metadata`."""
        found: list[dict[str, Any]] = []
        for item in self._list(name):
            if (
                not isinstance(item, dict)
                or not isinstance(item.get("id"), str)
                or not isinstance(item.get("text"), str)
            ):  # pyright: ignore[reportUnknownMemberType]
                raise StoreError(f"memory {self._verb}: {name} has objects with id, text and metadata, not {item!r}")
            found.append(
                {"id": item["id"], "text": item["text"], "metadata": checked_metadata(item.get("metadata", {}))}
            )
        return found

    def names(self, name: str) -> list[str]:
        """A list of texts."""
        found = self._list(name)
        if not all(isinstance(one, str) for one in found):
            raise StoreError(f"memory {self._verb}: {name} is a list of ids, not {found!r}")
        return found

    def _list(self, name: str) -> list[Any]:
        value: Any = self._values.get(name) or []
        if not isinstance(value, list):
            raise StoreError(f"memory {self._verb}: {name} is a list, not {value!r}")
        return value  # pyright: ignore[reportUnknownVariableType]

    def owners(self, caller: str) -> list[str]:
        """Whose notes are meant: the caller's own, of one other agent or group, or of several."""
        value = self._values.get("agents")
        if value is None:
            return [owner_named(self.text("agent"))] if self.given("agent") else [owner_of(caller)]
        if self.given("agent"):
            raise StoreError(f"memory {self._verb} takes agent or agents, not both")
        if not isinstance(value, list) or not value or not all(isinstance(one, str) and one for one in value):  # pyright: ignore[reportUnknownVariableType]
            raise StoreError(f"memory {self._verb}: agents is a list of names, not {value!r}")
        return list(dict.fromkeys(owner_named(one) for one in value))  # pyright: ignore[reportUnknownArgumentType,reportUnknownVariableType]
