"""Repair a store on disk whose vector files are damaged: keep what can be read, drop the rows whose vectors are lost.

The next `imgsearch index` embeds again what was dropped, and nothing else.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from index_store.store.client import batch_size, batches, open_folder, translated
from index_store.store.sqlite_file import reading
from index_store.store.vector_files import VectorFolder, check_folder, read_vectors
from index_store.store.vector_loss import Segment, logged_ids, lost_vectors, segments_of

if TYPE_CHECKING:
    from chromadb.api import ClientAPI

_ASIDE = ".broken"
_DELETED_ROWS = "its files are deleted rows for more than half"

_MOST_WASTE = 5_000
"""Up to this many deleted rows nothing is rewritten: about 10 MB."""


@dataclass(frozen=True, slots=True)
class Repair:
    """What was done for one collection: rows whose vectors were read from broken files, and ids that were dropped."""

    collection: str
    problem: str
    rebuilt: int
    dropped: tuple[str, ...]


def repair_vectors(place: str, max_neighbors: int) -> list[Repair]:
    """Repair the collections of a store on disk that lost vectors; the caller holds the writer's lock.

    Broken folders are moved aside first and deleted last: an interrupted repair is done again. Rows of collections
    whose vectors are placeholders of one number are never dropped.

    Raises:
        StoreError: the database itself is damaged, or it cannot be written.
    """
    with translated(place):
        plans = [_plan(place, loss.segment, loss.problem, max_neighbors) for loss in lost_vectors(place)]
        return _repair_all(place, plans)


def shrink_vectors(place: str, max_neighbors: int) -> list[Repair]:
    """Rewrite the vectors of collections whose files are mostly deleted rows; the caller holds the writer's lock.

    An interrupted run leaves a store that is refused as damaged, and that `repair_vectors` repairs without loss.
    """
    with translated(place):
        with reading(place) as database:
            wasteful = [segment for segment in segments_of(database, place) if _is_wasteful(segment)]
        plans = [_plan(place, segment, _DELETED_ROWS, max_neighbors) for segment in wasteful]
        return _repair_all(place, plans)


def _is_wasteful(segment: Segment) -> bool:
    found = check_folder(segment.folder, segment.dimension)
    return found.problem is None and found.rows - len(found.labels) > max(_MOST_WASTE, len(found.labels))


def _repair_all(place: str, plans: Sequence[_Plan]) -> list[Repair]:
    if not plans:
        return []
    client = open_folder(place)  # the broken folders have been moved out of the way
    done = [_repair(client, plan) for plan in plans]
    for plan in plans:
        shutil.rmtree(plan.segment.folder + _ASIDE, ignore_errors=True)
    return done


@dataclass(frozen=True, slots=True)
class _Plan:
    segment: Segment
    problem: str
    vectors: dict[str, NDArray[np.float32]]
    lost: list[str]


def _plan(place: str, segment: Segment, problem: str, max_neighbors: int) -> _Plan:
    found = check_folder(segment.folder, segment.dimension)
    if found.problem is not None or problem == _DELETED_ROWS:
        _move_aside(segment.folder)
        found = VectorFolder({})
    with reading(place) as database:
        rows = database.execute("SELECT embedding_id FROM embeddings WHERE segment_id = ?", (segment.metadata_segment,))
        without = {str(row[0]) for row in rows} - logged_ids(database, segment) - set(found.labels)
    vectors = read_vectors(segment.folder + _ASIDE, segment.dimension, max_neighbors)
    kept = {row_id: vector for row_id, vector in vectors.items() if row_id in without}
    if segment.dimension == 1:
        kept = {row_id: np.ones(1, dtype=np.float32) for row_id in without}
    return _Plan(segment, problem, kept, sorted(without - set(kept)))


def _move_aside(folder: str) -> None:
    if os.path.isdir(folder):
        shutil.rmtree(folder + _ASIDE, ignore_errors=True)
        os.rename(folder, folder + _ASIDE)


def _repair(client: ClientAPI, plan: _Plan) -> Repair:
    collection = client.get_collection(plan.segment.name, embedding_function=None)
    size = batch_size(client)
    for ids in batches(plan.lost, size):
        collection.delete(ids=list(ids))
    for ids in batches(list(plan.vectors), size):
        known = collection.get(ids=list(ids), include=["metadatas"])
        collection.upsert(
            ids=known["ids"],
            embeddings=np.stack([plan.vectors[row_id] for row_id in known["ids"]]),
            metadatas=known["metadatas"],
        )
    return Repair(plan.segment.name, plan.problem, len(plan.vectors), tuple(plan.lost))
