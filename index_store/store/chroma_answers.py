"""Parse what Chroma answers, and refuse what has another shape than was asked for: servers may send anything.

All functions raise ValueError, which `client.translated` turns into a StoreError.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from index_store.records import Candidate

AnsweredRow = tuple[str, Mapping[str, Any]]
"""The id of a row and its metadata."""

Answered = Mapping[str, Any]


def rows_in(answer: Answered, fields: Sequence[str] = ("metadatas",)) -> list[AnsweredRow]:
    """Return id and metadata of each row; a row of another program may have none, and none has what was not asked for.

    Raises:
        ValueError: the answer has another shape.
    """
    found = answer["metadatas"] or [] if fields else [None] * len(answer["ids"])
    rows = list(zip(answer["ids"], found, strict=True))
    if not all(isinstance(row_id, str) and (row is None or isinstance(row, Mapping)) for row_id, row in rows):
        raise ValueError("rows without ids or facts")
    return [(row_id, row or {}) for row_id, row in rows]


def vectors_in(answer: Answered, dimension: int) -> list[tuple[str, NDArray[np.float32]]]:
    """Return id and vector, of shape (dimension,), of each row; raises as `rows_in` does."""
    vectors = _vectors(answer["embeddings"], len(answer["ids"]), dimension)
    return list(zip(_texts(answer["ids"]), vectors, strict=True))


def candidates_in(answer: Answered, dimension: int) -> list[Candidate]:
    """Return the rows that were found for the one vector that was asked about; raises as `rows_in` does."""
    names = _texts(answer["ids"][0])
    vectors = _vectors((answer["embeddings"] or [[]])[0], len(names), dimension)
    distances = [float(distance) for distance in (answer["distances"] or [[]])[0]]
    if not all(map(math.isfinite, distances)):
        raise ValueError("distances that are not numbers")
    return [
        Candidate(name, min(1.0 - distance, 1.0), vector)  # of a photo and itself it may be more by a rounding
        for name, distance, vector in zip(names, distances, vectors, strict=True)
    ]


def whole_number(answer: object) -> int:
    """Return a count; raises as `rows_in` does."""
    if not isinstance(answer, int) or isinstance(answer, bool) or answer < 0:
        raise ValueError("a count that is none")
    return answer


def _texts(names: Any) -> list[str]:
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError("rows without ids")
    return names


def _vectors(vectors: Any, count: int, dimension: int) -> NDArray[np.float32]:
    if not count:
        return np.zeros((0, dimension), dtype=np.float32)
    found = np.asarray(vectors, dtype=np.float32)
    if found.shape != (count, dimension) or not np.isfinite(found).all():
        raise ValueError(f"vectors of shape {found.shape}, not {(count, dimension)}, or with numbers that are none")
    return found
