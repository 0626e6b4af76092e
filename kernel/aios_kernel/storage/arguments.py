"""The arguments of a call: plain data from anywhere, so each is checked before it is used."""

from __future__ import annotations

import base64
import binascii
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, cast

from aios_kernel.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Arguments"]

MISSING: Any = object()


class Arguments:
    """Arguments by name; one that is unknown, missing or of another type is an error that says what is expected."""

    def __init__(self, verb: str, values: Mapping[str, Any], known: Sequence[str]) -> None:
        unknown = sorted(str(name) for name in values if name not in known)
        if unknown:
            raise StorageError(f"storage {verb} takes {', '.join(known) or 'no arguments'}; not {', '.join(unknown)}")
        self._verb = verb
        self._values = values

    def text(self, name: str, default: Any = MISSING) -> str:
        """A text."""
        return self._get(name, str, default)

    def encoding(self, default: str) -> str:
        """How content crosses."""
        value = self.text("encoding", default)
        if value not in {"utf-8", "base64", default}:
            raise StorageError(f"storage {self._verb}: encoding is 'utf-8' or 'base64', not {value!r}")
        return value

    def flag(self, name: str) -> bool:
        """True or false; false where it is not given."""
        return self._get(name, bool, False)

    def whole(self, name: str, default: Any, *, least: int) -> Any:
        """A whole number, or the default."""
        value = self._get(name, int, default)
        if isinstance(value, bool) or (value is not None and value < least):
            raise StorageError(f"storage {self._verb}: {name} is a whole number of at least {least}, not {value!r}")
        return value

    def seconds(self, name: str) -> float | None:
        """A number, None where it is not given."""
        value = self._values.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise StorageError(f"storage {self._verb}: {name} is a number of seconds, not {value!r}")
        return float(value)

    def time(self, name: str) -> float | None:
        """Seconds since the epoch, or ISO 8601 (in UTC where it names no zone); None where it is not given."""
        value = self._values.get(name)
        if not isinstance(value, str):
            return self.seconds(name)
        try:
            found = datetime.fromisoformat(value.replace("Z", "+00:00"))
        except ValueError:
            raise StorageError(f"storage {self._verb}: {name} is seconds or an ISO 8601 time, not {value!r}") from None
        return (found if found.tzinfo else found.replace(tzinfo=timezone.utc)).timestamp()

    def texts(self, name: str, default: Sequence[str]) -> list[str]:
        """A list of texts; one text alone is a list of one."""
        value = self._values.get(name, default)
        found = [value] if isinstance(value, str) else value
        if not isinstance(found, (list, tuple)):
            found = [None]
        if not all(isinstance(one, str) for one in cast("Sequence[Any]", found)):
            raise StorageError(f"storage {self._verb}: {name} is a list of texts, not {value!r}")
        return list(cast("Sequence[str]", found))

    def content(self) -> bytes:
        """The bytes of `content`: text, or base64 where `encoding` says so."""
        value, encoding = self.text("content", ""), self.encoding("utf-8")
        try:
            return base64.b64decode(value, validate=True) if encoding == "base64" else value.encode()
        except (binascii.Error, ValueError) as error:
            raise StorageError(f"storage {self._verb}: content is not {encoding}: {error}") from error

    def _get(self, name: str, kind: type, default: Any) -> Any:
        value = self._values.get(name, default)
        if value is MISSING:
            raise StorageError(f"storage {self._verb} needs {name!r}")
        if value is not default and not isinstance(value, kind):
            raise StorageError(f"storage {self._verb}: {name} is {kind.__name__}, not {type(value).__name__}")
        return value


def shown(data: bytes, encoding: str = "") -> dict[str, str]:
    """Bytes as plain data: text where they are UTF-8, else base64."""
    if encoding != "base64":
        try:
            return {"content": data.decode(), "encoding": "utf-8"}
        except UnicodeDecodeError:
            if encoding:
                raise StorageError("the content is not UTF-8: ask for encoding 'base64'") from None
    return {"content": base64.b64encode(data).decode(), "encoding": "base64"}
