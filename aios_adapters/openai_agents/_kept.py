"""What sessions in memory keep, item by item, for the kernel's memory. Each has an SQLite database of its own, in which the items are rows."""

from __future__ import annotations

import contextlib
import json
import sys
import weakref
from collections.abc import Mapping, MutableSequence, Sequence
from typing import Any

from aios_adapters._wording import Place, exact, put_back, taken_out
from aios_adapters.shelves import Keeper

__all__ = ["keeper", "kept_by"]

#: The items of each session by the number of their row, with what the row says: an item is the same object as long as that is.
_seen: weakref.WeakKeyDictionary[Any, dict[int, tuple[str, Any]]] = weakref.WeakKeyDictionary()


def kept_by(session: Any) -> Any:
    """Which session has the items: the one below, of one that makes histories shorter."""
    module = sys.modules.get("agents.memory.openai_responses_compaction_session")
    found = getattr(module, "OpenAIResponsesCompactionSession", None)
    return session.underlying_session if found is not None and isinstance(session, found) else session


def keeper(session: Any) -> Keeper | None:
    """How a session keeps its items; None for one with a file, on a server, or with an index that is kept beside the items."""
    found = getattr(sys.modules.get("agents.memory.sqlite_session"), "SQLiteSession", None)
    return _SESSION if type(session) is found and session._is_memory_db else None


class _Rows(MutableSequence[Any]):
    """The rows of a session as a list of items that can be written to. It waits for no more than other calls of the session do."""

    def __init__(self, session: Any) -> None:
        self._session, self._table = session, session.messages_table
        before = _seen.get(session, {})
        with session._lock:
            sql = f"SELECT id, message_data FROM {self._table} WHERE session_id = ? ORDER BY id"  # noqa: S608 - the session's own table
            found: list[tuple[int, str]] = session._shared_connection.execute(sql, (session.session_id,)).fetchall()
        self._items: dict[int, tuple[str, Any]] = {}
        for row, text in found:
            with contextlib.suppress(ValueError, TypeError):  # what is no JSON, the session passes over
                same = row in before and before[row][0] == text
                self._items[row] = before[row] if same else (text, json.loads(text))
        self._ids = list(self._items)
        _seen[session] = self._items

    def __len__(self) -> int:
        return len(self._ids)

    def __getitem__(self, at: Any) -> Any:
        return self._items[self._ids[at]][1]

    def __setitem__(self, at: Any, value: Any) -> None:
        text = json.dumps(value)
        self._write(f"UPDATE {self._table} SET message_data = ? WHERE id = ?", text, self._ids[at])  # noqa: S608
        self._items[self._ids[at]] = (text, value)

    def __delitem__(self, at: Any) -> None:
        self._write(f"DELETE FROM {self._table} WHERE id = ?", self._ids[at])  # noqa: S608
        del self._items[self._ids.pop(at)]

    def insert(self, index: int, value: Any) -> None:
        """Refuse: the session adds its items itself."""
        raise TypeError

    def _write(self, sql: str, *values: Any) -> None:
        with self._session._write_connection() as connection:
            connection.execute(sql, values)
            connection.commit()


def _items(session: Any, told: Mapping[str, Any]) -> Mapping[str, Sequence[Any]]:
    del told
    return {} if session._closed else {"items": _Rows(session)}


def _item(item: Any) -> tuple[str, Any]:
    """An item's words, and all the rest of it."""
    data = exact(item)
    return taken_out(_words(data)), data


def _item_again(text: str, data: Any) -> Any:
    put_back(text, _words(data))
    return data


def _words(item: Any) -> list[Place]:
    """Where an item has words: in its content or a tool's output, whole or in parts."""
    key = "output" if item.get("type") == "function_call_output" else "content"
    whole: Any = item.get(key)
    if isinstance(whole, str):
        return [(item, key)]
    return [(part, "text") for part in whole or () if isinstance(part.get("text"), str)]


_SESSION = Keeper(_items, _item, _item_again)
