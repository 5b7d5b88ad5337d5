"""Read rows of a store in a folder from its database itself: for whatever it is asked, Chroma loads all vectors first.

Rows that are only in the log by now are Chroma's to read; it moves them into its tables then.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from typing import Any, TypeVar

from index_store.store.chroma_answers import AnsweredRow
from index_store.store.groups import DAY, GROUP, Passing
from index_store.store.sqlite_file import reading

_LOG = logging.getLogger(__name__)

Cells = tuple[Any, ...]
_Read = TypeVar("_Read")

_MOST_AT_ONCE = 10_000
"""SQLite takes 32,766 parameters."""

_SEGMENT = """
SELECT m.id, c.id, COALESCE(s.seq_id, 0)
FROM collections c
JOIN segments m ON m.collection = c.id AND m.scope = 'METADATA'
LEFT JOIN max_seq_id s ON s.segment_id = m.id
WHERE c.name = ?
"""
_LAGS = "SELECT 1 FROM embeddings_queue WHERE seq_id > ? AND substr(topic, -36) = ? LIMIT 1"
_ROWS = """
SELECT e.embedding_id, m.key, m.string_value, m.int_value, m.float_value, m.bool_value
FROM embeddings e LEFT JOIN embedding_metadata m ON m.id = e.id
WHERE e.segment_id = ? AND e.{}
ORDER BY e.id
"""
_NUMBER = "id IN (SELECT id FROM embedding_metadata WHERE key = ? AND {} >= ?)"
_COUNT = "SELECT COUNT(*) FROM embeddings e WHERE e.segment_id = ?"
_IDS = "SELECT e.embedding_id FROM embeddings e WHERE e.segment_id = ?"
_HAS = " AND e.id {} (SELECT id FROM embedding_metadata WHERE key = ? AND int_value {})"


class RowTable:
    """The rows of one collection, without their vectors."""

    def __init__(self, place: str, collection: str) -> None:
        """Name the store's folder and the collection in it."""
        self._place = place
        self._collection = collection

    def count(self) -> int | None:
        """Return the number of rows; None where only Chroma can say."""
        return self._asked(_COUNT, [], lambda cells: int(next(iter(cells))[0]))

    def rows_of(self, ids: Sequence[str]) -> list[AnsweredRow] | None:
        """Return id and metadata of those of the rows that there are; None where only Chroma can say."""
        return self._asked(_ROWS.format(f"embedding_id IN ({_marks(ids)})"), ids, _rows)

    def rows_from(self, key: str, least: float) -> list[AnsweredRow] | None:
        """Return the rows whose number under `key`, of the type of `least`, is at least that; None as `rows_of`."""
        column = "int_value" if isinstance(least, int) else "float_value"
        return self._asked(_ROWS.format(_NUMBER.format(column)), [key, least], _rows)

    def passing(self, rows: Passing) -> list[str] | None:
        """Return the ids of the rows that pass; None where only Chroma can say."""
        sql, values = _IDS, list[str | int]()
        for bound, day in ((">= ?", rows.first), ("<= ?", rows.last)):
            if day is not None:
                sql += _HAS.format("IN", bound)
                values += [DAY, day]
        if rows.groups is not None and rows.others:
            few = len(rows.groups) <= len(rows.others)
            listed = sorted(rows.groups if few else rows.others)
            sql += _HAS.format("IN" if few else "NOT IN", f"IN ({_marks(listed)})")
            values += [GROUP, *listed]
        return self._asked(sql, values, lambda cells: [str(row_id) for (row_id,) in cells])

    def _asked(self, sql: str, values: Sequence[str | float], read: Callable[[Iterable[Cells]], _Read]) -> _Read | None:
        """Return what `read` makes of the answer; None where a part of the rows is in the log, or none can be read."""
        if len(values) > _MOST_AT_ONCE:
            return None
        try:
            with reading(self._place) as database:
                database.execute("BEGIN")  # all that follows is of one moment
                found = database.execute(_SEGMENT, (self._collection,)).fetchall()
                if len(found) != 1 or database.execute(_LAGS, (found[0][2], found[0][1])).fetchone():
                    return None
                return read(database.execute(sql, (found[0][0], *values)))
        except sqlite3.Error as error:
            _LOG.info("rows are left to Chroma: %s", error)
            return None


def _rows(cells: Iterable[Cells]) -> list[AnsweredRow]:
    """Return rows put together from their cells, those of a row next to each other."""
    found: list[AnsweredRow] = []
    for row_id, of_row in groupby(cells, key=lambda cell: str(cell[0])):
        found.append((row_id, {str(key): _value(*values) for _, key, *values in of_row if key is not None}))
    return found


def _marks(values: Sequence[str | int]) -> str:
    return ", ".join("?" * len(values))


def _value(text: str | None, whole: int | None, number: float | None, truth: int | None) -> Any:
    if truth is not None:
        return bool(truth)
    return next((value for value in (text, whole, number) if value is not None), None)
