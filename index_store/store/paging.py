"""Read the rows of a collection a page at a time."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from index_store.store.chroma_answers import AnsweredRow, rows_in
from index_store.store.client import translated

if TYPE_CHECKING:
    from chromadb.api.models.Collection import Collection

PAGE = 20_000
"""Rows read at once: offset paging is linear in the offset, and Chroma fails on more than 32,766."""


def pages_of(
    collection: Collection, place: str, condition: Any = None, *, ids_alone: bool = False
) -> Iterator[list[AnsweredRow]]:
    """Yield the rows that meet a condition of Chroma's, in no order; the last page is shorter than the others."""
    for offset in itertools.count(step=PAGE):
        with translated(place):
            fields: Any = [] if ids_alone else ["metadatas"]
            page = rows_in(collection.get(where=condition, include=fields, limit=PAGE, offset=offset), fields)
        yield page
        if len(page) < PAGE:
            return
