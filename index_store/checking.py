"""Verify a store, its files and its rows, and mend what can be mended: the next index run embeds what was dropped."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from index_store.database import DAMAGED_ADVICE, compact, integrity_problems
from index_store.planning import lies_below
from index_store.recall import POOL, SAMPLE, TrueNeighbours, sample_queries
from index_store.records import StoredPhoto
from index_store.store import HNSW, ImageStore
from index_store.vector_loss import lost_vectors
from index_store.vector_repair import repair_vectors, shrink_vectors

NORM_TOLERANCE = 1e-3
"""Embeddings are unit rows in float32; encoders leave errors of about 1e-6."""

OWN_SAMPLE = 200
"""Rows that must be found by their own embedding: an index that lost rows loses them in runs, not singly."""

LEAST_RECALL = 0.97
"""A share of the true pools below this, over a sample, is told; a sound store of 100,000 photos has .996."""

_PAGE = 2_000


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong with one row. `mendable`: dropping the row and indexing again mends it."""

    image_id: str
    problem: str
    mendable: bool
    withheld: bool


def check_store(store: ImageStore) -> list[Finding]:
    """Return what is wrong: files that are gone, vectors of the wrong length, rows that the search does not find."""
    photos = sorted(store.photos(), key=lambda photo: photo.image_id)
    roots = [root.path for root in store.roots()]
    findings = [finding for photo in photos for finding in _check_file(photo, roots)]
    truth = TrueNeighbours(_queries(store, photos))
    step = max(1, len(photos) // OWN_SAMPLE)
    for start in range(0, len(photos), _PAGE):
        page = photos[start : start + _PAGE]
        embeddings = store.embeddings([photo.image_id for photo in page])
        for number, photo in enumerate(page, start=start):
            embedding = embeddings.get(photo.image_id)
            problem = _vector_problem(embedding, store.manifest.dimension)
            if problem is None and number % step == 0 and not _finds_itself(store, embedding):
                problem = "is not found by its own embedding"
            if problem is not None:
                findings.append(Finding(photo.image_id, problem, True, photo.verdict.withheld))
        sound = [row for row in embeddings.values() if _vector_problem(row, store.manifest.dimension) is None]
        if sound:
            truth.add(np.stack(sound))
    findings += _recall_problem(store, truth)
    return sorted(findings, key=lambda finding: (finding.image_id, finding.problem))


def _queries(store: ImageStore, photos: Sequence[StoredPhoto]) -> np.ndarray[Any, np.dtype[np.float32]]:
    sample = photos[:: max(1, len(photos) // SAMPLE)][:SAMPLE]
    rows = store.embeddings([photo.image_id for photo in sample]).values()
    sound = [row for row in rows if _vector_problem(row, store.manifest.dimension) is None]
    return sample_queries(np.stack(sound)) if sound else np.empty((0, store.manifest.dimension), dtype=np.float32)


def _recall_problem(store: ImageStore, truth: TrueNeighbours) -> list[Finding]:
    recall = truth.found_by(store.nearest)
    if recall >= LEAST_RECALL:
        return []
    found = f"the search finds {100 * recall:.0f} of 100 of the photos that are nearest, by a sample of {SAMPLE}"
    return [
        Finding(
            store.place, f"{found}; many photos are nearly the same; --pool {30 * POOL} searches wider", False, False
        )
    ]


def check_files(place: str) -> list[Finding]:
    """Return what is wrong with the files of a store on disk, without opening it: database and vectors."""
    damaged = [f"{problem}; {DAMAGED_ADVICE}" for problem in integrity_problems(place)[:1]]
    findings = [Finding(place, problem, False, False) for problem in damaged]
    for loss in [] if damaged else lost_vectors(place):
        problem = f"the vectors of {loss.rows} of {loss.segment.rows} rows are lost or damaged ({loss.problem})"
        findings.append(Finding(place, problem, True, False))
    return findings


def give_space_back(place: str) -> None:
    """Give the space of deleted rows back to the disk where it is much; the caller holds the writer's lock.

    Raises:
        StoreError: the store cannot be written.
    """
    shrink_vectors(place, HNSW["max_neighbors"])
    compact(place)


def repair_files(place: str) -> int:
    """Mend the vectors of a store on disk as far as possible, and return how many rows were dropped.

    The caller holds the writer's lock.

    Raises:
        StoreError: the database is damaged, or cannot be written.
    """
    repairs = repair_vectors(place, HNSW["max_neighbors"])
    give_space_back(place)
    return sum(len(repair.dropped) for repair in repairs)


def repair_store(store: ImageStore, findings: Sequence[Finding]) -> int:
    """Drop the rows of the findings that can be mended, and return how many; index again to make them anew."""
    doomed = sorted({finding.image_id for finding in findings if finding.mendable})
    store.delete(doomed)
    return len(doomed)


def _check_file(photo: StoredPhoto, roots: Sequence[str]) -> list[Finding]:
    if os.path.exists(photo.image_id):
        return []
    # a root that is not there may only be unmounted, and its rows are worth keeping
    root_is_there = any(os.path.exists(root) for root in roots if lies_below(photo.image_id, root))
    problem = "the file is gone" if root_is_there else "the file's root is not there"
    return [Finding(photo.image_id, problem, root_is_there, photo.verdict.withheld)]


def _vector_problem(embedding: np.ndarray[tuple[int, ...], np.dtype[np.float32]] | None, dimension: int) -> str | None:
    if embedding is None or not np.all(np.isfinite(embedding)):
        return "has no usable embedding"
    if embedding.shape != (dimension,):
        return f"has an embedding of {len(embedding)} numbers, not {dimension}"
    norm = float(np.linalg.norm(embedding))
    return None if abs(norm - 1.0) <= NORM_TOLERANCE else f"has an embedding of length {norm:.3f}, not 1"


def _finds_itself(store: ImageStore, embedding: np.ndarray[tuple[int, ...], np.dtype[np.float32]] | None) -> bool:
    assert embedding is not None
    nearest = store.nearest(embedding, 1)
    # a copy of the photo may come first: what counts is that something lies there
    return bool(nearest) and nearest[0].similarity > 1.0 - NORM_TOLERANCE
