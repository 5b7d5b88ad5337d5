"""Check a store, its files and its rows, and repair what can be repaired: the next run embeds what was dropped."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from index_store.errors import PhotoError, PhotoUnreadableError, os_reason
from index_store.paths import is_address, is_there, lies_below
from index_store.photos.file_system import allow_own
from index_store.photos.hashing import hash_file
from index_store.records import PhotoFile, StoredPhoto
from index_store.store.image_store import HNSW, ImageStore
from index_store.store.recall import POOL, SAMPLE, TrueNeighbours, sample_queries
from index_store.store.sqlite_file import DAMAGED_ADVICE, compact, integrity_problems
from index_store.store.vector_loss import lost_vectors
from index_store.store.vector_repair import repair_vectors, shrink_vectors

NORM_TOLERANCE = 1e-3
"""Embeddings are unit rows in float32; encoders leave errors of about 1e-6."""

OWN_SAMPLE = 200
"""Rows that must be found by their own embedding: an index that lost rows loses them in runs, not singly."""

LEAST_RECALL = 0.97
"""A share of the true pools below this, over a sample, is reported; a sound store of 100,000 photos has .996."""

_PAGE = 2_000


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong with one file or one row.

    `path` is None where it would name a photo that the policy withholds, or where a row names none. `mendable`:
    `repair_store` takes `lost_file` from its row, or drops the row where there is none, and indexing again brings both
    back.
    """

    content_hash: str
    path: str | None
    problem: str
    mendable: bool
    lost_file: str | None = None


def check_store(store: ImageStore, threshold: float, *, deep: bool = False) -> list[Finding]:
    """Return what is wrong: files that are gone, vectors of the wrong length, rows that the search does not find.

    `threshold` is the policy's: from this probability on a photo is withheld and is not named. `deep` reads every file
    and compares it with what was indexed.
    """
    findings = [Finding(row_id, None, "is a damaged row", True) for row_id in store.damaged_rows()]
    if findings:
        return findings  # all else reads the rows
    photos = sorted(store.photos(), key=lambda photo: photo.image_id)
    known = store.roots()
    allow_own(known)
    roots = [root.path for root in known]
    absent = Counter[str]()
    for photo in photos:
        findings += _check_files(photo, roots, absent, deep=deep)
    truth = TrueNeighbours(_queries(store, photos))
    step = max(1, len(photos) // OWN_SAMPLE)
    for start in range(0, len(photos), _PAGE):
        page = photos[start : start + _PAGE]
        embeddings = store.embeddings([photo.content_hash for photo in page])
        for number, photo in enumerate(page, start=start):
            embedding = embeddings.get(photo.content_hash)
            problem = _vector_problem(embedding, store.manifest.dimension)
            if problem is None and number % step == 0 and embedding is not None:
                problem = None if _finds_itself(store, embedding) else "is not found by its own embedding"
            if problem is not None:
                findings.append(Finding(photo.content_hash, photo.image_id, problem, True))
        sound = [row for row in embeddings.values() if _vector_problem(row, store.manifest.dimension) is None]
        if sound:
            truth.add(np.stack(sound))
    findings += _recall_problem(store, truth)
    hidden = {photo.content_hash for photo in photos if photo.verdict.withholds_at(threshold)}
    findings = [replace(each, path=None) if each.content_hash in hidden else each for each in findings]
    hidden_paths = {path for photo in photos if photo.content_hash in hidden for path in photo.paths}
    findings += [_absent_root(None if root in hidden_paths else root, count) for root, count in absent.items()]
    return sorted(findings, key=lambda finding: (finding.path or "", finding.problem))


def _queries(store: ImageStore, photos: Sequence[StoredPhoto]) -> np.ndarray[Any, np.dtype[np.float32]]:
    sample = photos[:: max(1, len(photos) // SAMPLE)][:SAMPLE]
    rows = store.embeddings([photo.content_hash for photo in sample]).values()
    sound = [row for row in rows if _vector_problem(row, store.manifest.dimension) is None]
    return sample_queries(np.stack(sound)) if sound else np.empty((0, store.manifest.dimension), dtype=np.float32)


def _recall_problem(store: ImageStore, truth: TrueNeighbours) -> list[Finding]:
    recall = truth.found_by(store.nearest_by_graph)
    if recall >= LEAST_RECALL:
        return []
    found = f"the search finds {100 * recall:.0f} of 100 of the photos that are nearest, by a sample of {SAMPLE}"
    return [_of_store(store.place, f"{found}; many photos are nearly the same; --pool {30 * POOL} searches wider")]


def _of_store(place: str, problem: str, *, mendable: bool = False) -> Finding:
    return Finding("", place, problem, mendable)


def check_files(place: str) -> list[Finding]:
    """Return what is wrong with the files of a store on disk, without opening it: database and vectors."""
    damaged = [f"{problem}; {DAMAGED_ADVICE}" for problem in integrity_problems(place)[:1]]
    findings = [_of_store(place, problem) for problem in damaged]
    for loss in [] if damaged else lost_vectors(place):
        problem = f"the vectors of {loss.rows} of {loss.segment.rows} rows are lost or damaged ({loss.problem})"
        findings.append(_of_store(place, problem, mendable=True))
    return findings


def give_space_back(place: str) -> None:
    """Give the space of deleted rows back to the disk where it is much; the caller holds the writer's lock.

    Raises:
        StoreError: the store cannot be written.
    """
    shrink_vectors(place, HNSW["max_neighbors"])
    compact(place)


def repair_files(place: str) -> int:
    """Repair the vectors of a store on disk as far as possible, and return how many rows were dropped.

    The caller holds the writer's lock.

    Raises:
        StoreError: the database is damaged, or cannot be written.
    """
    repairs = repair_vectors(place, HNSW["max_neighbors"])
    give_space_back(place)
    return sum(len(repair.dropped) for repair in repairs)


def repair_store(store: ImageStore, findings: Sequence[Finding]) -> int:
    """Drop the files and rows of the findings that can be repaired, and return how many findings that were."""
    mendable = [finding for finding in findings if finding.mendable]
    losses: dict[str, list[str]] = {}
    for finding in mendable:
        if finding.lost_file is not None:
            losses.setdefault(finding.content_hash, []).append(finding.lost_file)
    doomed = {finding.content_hash for finding in mendable if finding.lost_file is None}
    store.delete(sorted(doomed))
    store.drop_paths({content: paths for content, paths in losses.items() if content not in doomed})
    return len(mendable)


def _absent_root(root: str | None, count: int) -> Finding:
    files = "1 file" if count == 1 else f"{count:,} files"
    return Finding(
        "", root, f"is not there, with {files}: is its disk mounted? was it moved ('imgsearch move')?", False
    )


def _check_files(photo: StoredPhoto, roots: Sequence[str], absent: Counter[str], *, deep: bool) -> list[Finding]:
    """Return what is wrong with a photo's files; those of a root that is not there are only counted, for one line."""
    found = []
    for file in photo.files:
        path = file.image_id
        try:
            if (root := _absent(path, roots)) is not None:
                absent[root] += 1
                continue
            problem, lost = _file_problem(file, deep=deep)
        except (OSError, PhotoUnreadableError) as error:  # nobody knows what the file holds: its row stays
            problem, lost = os_reason(error) if isinstance(error, OSError) else str(error), False
        if problem:
            found.append(Finding(photo.content_hash, path, problem, lost, path if lost else None))
    return found


def _absent(path: str, roots: Sequence[str]) -> str | None:
    """Return the root of a file that is gone with it: it may only be unmounted, and its rows are worth keeping.

    A file that no root holds is worth as much; the folder that it lay in stands for its root.
    """
    if is_address(path) or is_there(path, follow_links=False):
        return None
    above = [root for root in roots if lies_below(path, root)]
    return None if any(map(is_there, above)) else next(iter(above), os.path.dirname(path))


def _file_problem(file: PhotoFile, *, deep: bool) -> tuple[str, bool]:
    """Return what is wrong with a file, "" for nothing, and whether it no longer belongs to its row."""
    path = file.image_id
    if is_address(path) and not deep:
        return "", False  # to ask for each object takes as long as a refresh, which asks for thousands at once
    if not is_address(path) and not is_there(path, follow_links=False):
        return "the file is gone", True
    try:
        same = not deep or hash_file(path) == file.content_hash
    except PhotoUnreadableError:
        raise
    except PhotoError as error:
        return str(error), True
    return ("", False) if same else ("holds another picture than was indexed", True)


def _vector_problem(embedding: np.ndarray[tuple[int, ...], np.dtype[np.float32]] | None, dimension: int) -> str | None:
    if embedding is None or not np.all(np.isfinite(embedding)):
        return "has no usable embedding"
    if embedding.shape != (dimension,):
        return f"has an embedding of {len(embedding)} numbers, not {dimension}"
    norm = float(np.linalg.norm(embedding))
    return None if abs(norm - 1.0) <= NORM_TOLERANCE else f"has an embedding of length {norm:.3f}, not 1"


def _finds_itself(store: ImageStore, embedding: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> bool:
    nearest = store.nearest_by_graph(embedding, 1)
    # another photo of the same picture may come first: what counts is that something lies there
    return bool(nearest) and nearest[0].similarity > 1.0 - NORM_TOLERANCE
