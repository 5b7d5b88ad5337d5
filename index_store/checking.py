"""Verify a store, row by row, and mend what can be mended: a row that is dropped is made anew by the next index run."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from index_store.planning import lies_below
from index_store.records import StoredPhoto
from index_store.store import ImageStore

NORM_TOLERANCE = 1e-3
"""Embeddings are unit rows in float32; encoders leave errors of about 1e-6."""

SAMPLE = 200
"""Rows that must be found by their own embedding: an index that lost rows loses them in runs, not singly."""

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
    unfindable: list[Finding] = []
    step = max(1, len(photos) // SAMPLE)
    for start in range(0, len(photos), _PAGE):
        page = photos[start : start + _PAGE]
        embeddings = store.embeddings([photo.image_id for photo in page])
        for number, photo in enumerate(page, start=start):
            embedding = embeddings.get(photo.image_id)
            problem = _vector_problem(embedding, store.manifest.dimension)
            if problem is not None:
                findings.append(Finding(photo.image_id, problem, True, photo.verdict.withheld))
            elif number % step == 0 and embedding is not None and not _finds_itself(store, photo, embedding):
                unfindable.append(
                    Finding(photo.image_id, "is not found by its own embedding", True, photo.verdict.withheld)
                )
    return sorted([*findings, *unfindable], key=lambda finding: (finding.image_id, finding.problem))


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


def _finds_itself(
    store: ImageStore, photo: StoredPhoto, embedding: np.ndarray[tuple[int, ...], np.dtype[np.float32]]
) -> bool:
    nearest = store.nearest(embedding, 1)
    # a copy of the photo may come first: what counts is that something lies there
    return bool(nearest) and nearest[0].similarity > 1.0 - NORM_TOLERANCE
