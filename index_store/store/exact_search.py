"""Search a store in a folder by reading all its vectors: from Chroma's files, and from the log of its newest rows.

To load Chroma's graph of neighbours takes longer than to read the vectors from first to last, and finds a little less.
The files are read, never mapped: one that is cut short meanwhile would end the process. An answer counts only where the
files are the same before and after; in all other cases Chroma is asked.
"""

from __future__ import annotations

import json
import logging
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from index_store.machine import usable_cores
from index_store.records import Candidate
from index_store.store.row_names import Names, known_names, note_names
from index_store.store.sqlite_file import reading
from index_store.store.vector_files import FILES, LABELS_FILE, ROWS_FILE, check_folder, row_kind
from index_store.store.vector_loss import folder_of, marks_of

Vectors = NDArray[np.float32]
Passing = Callable[[Names], NDArray[np.bool_]]
"""Returns which of the rows with these names pass a filter."""

_LOG = logging.getLogger(__name__)

_ROWS_AT_ONCE = 2_048
_MOST_LOGGED = 20_000
_SETTLED_SECONDS = 0.1
"""Files that are younger may be written once more without a change of their times."""

_TIE = 2e-6
"""Similarities nearer than this may change their order with how a product was computed."""

_SEGMENT = """
SELECT v.id, COALESCE(s.seq_id, 0), c.dimension, c.schema_str, c.id
FROM collections c
JOIN segments v ON v.collection = c.id AND v.scope = 'VECTOR'
LEFT JOIN max_seq_id s ON s.segment_id = v.id
WHERE c.name = ?
"""
_QUEUE = """
SELECT operation, id, vector, encoding FROM embeddings_queue
WHERE seq_id > ? AND substr(topic, -36) = ? ORDER BY seq_id LIMIT ?
"""
_UPDATE, _UPSERT, _DELETE = 1, 2, 3


class Listed:
    """A filter that is given by the ids of the rows that pass."""

    def __init__(self, ids: Iterable[str]) -> None:
        self._ids = frozenset(name.encode() for name in ids)
        self._last: tuple[Names, NDArray[np.bool_]] | None = None

    def __call__(self, names: Names) -> NDArray[np.bool_]:
        """Return which of the rows with these names pass; for those of the files it is remembered."""
        if self._last is None or self._last[0] is not names:
            passes = np.fromiter((name in self._ids for name in names.tolist()), np.bool_, len(names))
            if self._last is not None:
                return passes
            self._last = names, passes
        return self._last[1]


class _OtherFormError(Exception):
    """Only Chroma can answer; the message says why."""


@dataclass(frozen=True, slots=True)
class _State:
    """The rows of a collection at one moment: the files' folder with what marks them, and the log by id.

    A row of the log is its unit vector, or None where it was deleted.
    """

    folder: str
    marks: list[list[int] | None]
    log: Mapping[str, Vectors | None]


class ExactSearch:
    """Searches the vectors of one collection; several threads may ask at the same time."""

    def __init__(self, place: str, collection: str, dimension: int) -> None:
        """Name the store's folder, the collection in it, and the length of its vectors."""
        self._place = place
        self._collection = collection
        self._dimension = dimension
        self._threads = ThreadPoolExecutor(usable_cores(), thread_name_prefix="search")
        self.rows = 0
        """How many rows the files hold, as far as is known: 0 before the first search."""
        self._names: tuple[list[list[int] | None], Names] = [], np.zeros(0, "S1")

    def nearest(self, queries: Vectors, pool: int, passing: Passing | None = None) -> list[list[Candidate]] | None:
        """Return the `pool` rows nearest to each unit vector of shape (n, dimension), by falling similarity, then id.

        None where only Chroma can answer: the files have another form, somebody writes them, or they cannot be read.
        """
        try:
            state = self._state()
            found = self._searched(state, queries, pool, passing)
            if marks_of(state.folder) != state.marks:
                raise _OtherFormError("somebody writes to it")
        except (_OtherFormError, sqlite3.Error, OSError, ValueError, TypeError, KeyError) as error:
            _LOG.info("the search is left to Chroma: %s: %s", type(error).__name__, error)
            return None
        return found

    def _state(self) -> _State:
        with reading(self._place) as database:
            found = database.execute(_SEGMENT, (self._collection,)).fetchall()
            if len(found) != 1:
                raise _OtherFormError(f"{len(found)} segments of vectors")
            segment, written_to, dimension, schema, identity = found[0]
            if dimension is not None and dimension != self._dimension:
                raise _OtherFormError(f"vectors of {dimension} numbers")
            if _space(schema) != "cosine":
                raise _OtherFormError("distances that are no cosines")
            queue = database.execute(_QUEUE, (written_to, identity, _MOST_LOGGED)).fetchall()
        if len(queue) == _MOST_LOGGED:
            raise _OtherFormError("a long log")
        folder = folder_of(self._place, str(segment))
        marks = marks_of(folder)
        if any(mark is not None and time.time() - mark[3] / 1e9 < _SETTLED_SECONDS for mark in marks):
            raise _OtherFormError("somebody has just written to it")
        if written_to and marks[FILES.index(LABELS_FILE)] is None:
            raise _OtherFormError("files are missing")
        return _State(folder, marks, _log(queue, self._dimension))

    def _searched(self, state: _State, queries: Vectors, pool: int, passing: Passing | None) -> list[list[Candidate]]:
        names = self._names_of(state)
        live = names != b""
        if passing is not None:
            live &= passing(names)
        logged = {name: vector for name, vector in state.log.items() if vector is not None}
        if passing is not None and logged:
            which = passing(np.array([name.encode() for name in logged], dtype=np.bytes_))
            logged = {name: vector for (name, vector), passes in zip(logged.items(), which, strict=True) if passes}
        # what the log says of a row holds in place of the files: so many more may have to be left out
        best, vectors = self._best_rows(state.folder, queries, pool + len(state.log), live)
        answers = []
        for query, rows in zip(queries, best, strict=True):
            found = {names[row].decode(): vectors[row] for row in rows.tolist()}
            answers.append(_candidates(query, {n: v for n, v in found.items() if n not in state.log} | logged, pool))
        return answers

    def _names_of(self, state: _State) -> Names:
        """Return the ids of the rows in the files, in their order."""
        if state.marks[FILES.index(LABELS_FILE)] is None:
            return np.zeros(0, "S1")
        marks, names = self._names
        if marks != state.marks:
            known = known_names(state.folder, state.marks)
            if known is None:
                checked = check_folder(state.folder, self._dimension)
                if checked.problem is not None:
                    raise _OtherFormError(checked.problem)
                known = note_names(state.folder, state.marks, checked.labels, self._dimension)
            names = known
            self._names, self.rows = (state.marks, names), len(names)
        return names

    def _best_rows(
        self, folder: str, queries: Vectors, wanted: int, live: NDArray[np.bool_]
    ) -> tuple[list[NDArray[np.int64]], dict[int, Vectors]]:
        """Return the live rows that are nearest to each query, at least `wanted`, and their vectors by row."""
        if not live.any():
            return [np.zeros(0, np.int64) for _ in queries], {}
        kind, count = row_kind(folder, self._dimension)
        if count != len(live):
            raise _OtherFormError("files that do not fit each other")
        step = max(_ROWS_AT_ONCE, -(-count // usable_cores()))
        parts = [range(start, min(start + step, count)) for start in range(0, count, step)]
        with _opened(os.path.join(folder, ROWS_FILE)) as file:
            found = list(self._threads.map(lambda part: _best_of_part(file, kind, queries, wanted, live, part), parts))
            best = [_joined(of_parts, wanted) for of_parts in zip(*found, strict=True)]
            return best, _read_some(file, kind, {row for rows in best for row in rows.tolist()})


class _Best:
    """The rows that come nearest to one query so far."""

    def __init__(self, wanted: int) -> None:
        self._wanted = wanted
        self.least = -2.0
        self.similarities = np.zeros(0, np.float32)
        self.rows = np.zeros(0, np.int64)

    def add(self, similarities: Vectors, rows: NDArray[np.int64]) -> None:
        """Take in some rows, and let go of those that are too far by now."""
        together = np.concatenate([self.similarities, similarities])
        numbers = np.concatenate([self.rows, rows])
        if len(together) > self._wanted:
            self.least = float(np.partition(together, -self._wanted)[-self._wanted]) - _TIE
            kept = together >= self.least
            together, numbers = together[kept], numbers[kept]
        self.similarities, self.rows = together, numbers


def _joined(of_parts: Sequence[_Best], wanted: int) -> NDArray[np.int64]:
    best = _Best(wanted)
    for each in of_parts:
        best.add(each.similarities, each.rows)
    return best.rows


def _best_of_part(
    file: int, kind: np.dtype[Any], queries: Vectors, wanted: int, live: NDArray[np.bool_], part: range
) -> list[_Best]:
    best = [_Best(wanted) for _ in queries]
    buffer = np.empty(min(_ROWS_AT_ONCE, len(part)), dtype=kind)
    for start in range(part.start, part.stop, _ROWS_AT_ONCE):
        here = live[start : min(start + _ROWS_AT_ONCE, part.stop)]
        if not here.any():
            continue
        block = buffer[: len(here)]
        _read(file, block, start)
        similarities = _products(queries, block["vector"])
        if not here.all():
            similarities[:, ~here] = -2.0
        for each, row in zip(best, similarities, strict=True):
            near = np.flatnonzero(row > each.least)
            if len(near):
                each.add(row[near], near + start)
    return best


def _products(queries: Vectors, rows: Vectors) -> Vectors:
    if len(queries) > 1:
        return np.asarray(queries @ rows.T)
    # where numpy's matrix products have several threads, these wait for so small a product at the cost of all cores
    products: Vectors = np.einsum("ij,j->i", rows, queries[0])[np.newaxis]
    return products


def _read(file: int, block: NDArray[Any], start: int) -> None:
    """Fill a block with the rows of a file from row `start` on; OSError where the file is shorter."""
    view, offset = block.view(np.uint8).data, start * block.dtype.itemsize
    while view.nbytes:
        count = os.preadv(file, [view], offset)
        if not count:
            raise OSError("the file of vectors is cut short")
        view, offset = view[count:], offset + count


def _read_some(file: int, kind: np.dtype[Any], rows: set[int]) -> dict[int, Vectors]:
    blocks = np.empty(len(rows), dtype=kind)
    for place, row in enumerate(rows):
        _read(file, blocks[place : place + 1], row)
    return dict(zip(rows, np.ascontiguousarray(blocks["vector"]), strict=True))


def _candidates(query: Vectors, vectors: Mapping[str, Vectors], pool: int) -> list[Candidate]:
    """Return the nearest of some rows; each similarity is computed alike, whatever else was asked for."""
    if not vectors:
        return []
    # rounded from double precision, so that equal vectors have equal similarities
    rows = np.stack(list(vectors.values()))
    similarities = (rows.astype(np.float64) @ query.astype(np.float64)).astype(np.float32)
    similarities = np.minimum(similarities, np.float32(1.0))
    found = [
        Candidate(name, float(similarity), row)
        for name, similarity, row in zip(vectors, similarities, rows, strict=True)
        if np.isfinite(similarity)
    ]
    found.sort(key=lambda candidate: (-candidate.similarity, candidate.key))
    return found[:pool]


def _log(queue: Sequence[tuple[Any, ...]], dimension: int) -> dict[str, Vectors | None]:
    """Return what the log says last of each row."""
    last: dict[str, Vectors | None] = {}
    for operation, name, content, encoding in queue:
        if operation == _DELETE:
            last[str(name)] = None
        elif operation == _UPSERT and content is not None and encoding == "FLOAT32":
            vector = np.frombuffer(content, dtype="<f4").astype(np.float32)
            if vector.shape != (dimension,):
                raise _OtherFormError("a log of other vectors")
            length = float(np.linalg.norm(vector))
            last[str(name)] = vector / np.float32(length) if length > 0 else vector
        elif operation != _UPDATE or content is not None:
            raise _OtherFormError("a log of another form")
    return last


def _space(schema: object) -> object:
    """Return the distance that a collection was made with."""
    index = json.loads(str(schema))["keys"]["#embedding"]["float_list"]["vector_index"]
    return index["config"]["space"]


@contextmanager
def _opened(path: str) -> Iterator[int]:
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield file
    finally:
        os.close(file)
