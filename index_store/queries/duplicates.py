"""Find photos that are equal or nearly so: files of one content, and contents whose embeddings nearly agree."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from index_store.machine import usable_workers
from index_store.photos.decoder_workers import decode_ahead
from index_store.queries.likeness import SIDE, likeness
from index_store.queries.match_rows import may_be_there
from index_store.records import EncodingJob, OpenedPhoto, PhotoInput

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from index_store.encoders.protocols import Pixels
    from index_store.records import Embedding, StoredPhoto
    from index_store.store.image_store import ImageStore

    Rows = NDArray[np.float32]

RELATED = 0.65
"""The cosine from which on two photos are compared by their pixels: so far goes the embedding of a small photo that is
resized to half, or saved at a low quality. Of 1,000 different photos most have another one that near."""

SAME_PICTURE = 0.95
"""The correlation of small pictures from which on related photos are the same; docs/relevance.md has what it finds."""

BURST = 0.95
"""The cosine from which on two photos are of one moment, whatever their pixels."""

_MOST_RELATED = 20
"""Photos, the most similar ones, with which one is compared by pixels."""

_PAGE = 5_000
_BLOCK = 1_024
"""Rows compared with all others at once: with 100,000 photos 400 MB."""

Near = Callable[[int, int, float], bool]
"""Tells of two places and the cosine whether the photos are nearly equal."""


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A file of a group. `similarity` is the cosine to the group's first one, 1 for a file of equal content."""

    path: str
    width: int
    height: int
    size_bytes: int
    similarity: float


def find_duplicates(
    store: ImageStore,
    shows: Callable[[StoredPhoto, Embedding], bool],
    wanted: Callable[[str], bool],
    progress: Callable[[int, int], None] = lambda done, total: None,
    *,
    equal: bool = False,
) -> list[list[Duplicate]]:
    """Return groups of at least two files, the best file first, the groups by the path of their first.

    Photos that `shows` refuses, paths that `wanted` refuses, and files that are gone are left out. With `equal` only
    files of equal content make a group. Else embeddings are compared pair by pair, and photos that are related are
    opened: the time grows with the square of their number. `progress` is called for each photo that is opened.
    """
    photos, rows = _shown_photos(store, shows, wanted)
    order = sorted(range(len(photos)), key=lambda place: _goodness(photos[place]))
    photos, rows = [photos[place] for place in order], rows[order]
    related = {} if equal else _related(rows)
    pictures = _small_pictures(photos, related, progress)
    groups: list[list[Duplicate]] = []
    for best, others in _stars(len(photos), related, partial(_is_near, pictures)):
        files = _files(photos[best], 1.0)
        for place, similarity in others:
            files += _files(photos[place], similarity)
        if len(files) > 1:
            groups.append(files)
    return sorted(groups, key=lambda files: files[0].path)


def _shown_photos(
    store: ImageStore, shows: Callable[[StoredPhoto, Embedding], bool], wanted: Callable[[str], bool]
) -> tuple[list[StoredPhoto], Rows]:
    """Return the photos that may be shown, with the files that are wanted and there, and their embeddings."""
    kept: list[StoredPhoto] = []
    rows: list[Embedding] = []
    stored = [photo for photo in store.photos() if any(map(wanted, photo.paths))]
    for start in range(0, len(stored), _PAGE):
        page = stored[start : start + _PAGE]
        embeddings = store.embeddings([photo.content_hash for photo in page])
        for photo in page:
            embedding = embeddings.get(photo.content_hash)
            files = [file for file in photo.files if wanted(file.image_id) and may_be_there(file.image_id)]
            if embedding is not None and files and shows(photo, embedding):
                kept.append(photo.with_files(files))
                rows.append(embedding)
    return kept, np.stack(rows) if rows else np.zeros((0, store.manifest.dimension), dtype=np.float32)


def _goodness(photo: StoredPhoto) -> tuple[int, int, str]:
    """Return what sorts the better photo first: more pixels, then more bytes, then the path."""
    return -photo.width * photo.height, -photo.files[0].size_bytes, photo.image_id


def _related(rows: Rows) -> dict[int, list[tuple[int, float]]]:
    """Return for each row the later ones that are related to it, with their cosines, the nearest first."""
    found: dict[int, list[tuple[int, float]]] = {}
    for start in range(0, len(rows), _BLOCK):
        near = rows[start : start + _BLOCK] @ rows[start:].T
        for place, cosines in enumerate(near, start=start):
            later = cosines[place - start + 1 :]
            chosen = np.nonzero(later >= RELATED)[0]
            chosen = chosen[np.argsort(-later[chosen], kind="stable")][:_MOST_RELATED]
            if len(chosen):
                found[place] = [(int(other) + place + 1, float(later[other])) for other in chosen]
    return found


def _small_pictures(
    photos: Sequence[StoredPhoto],
    related: Mapping[int, Sequence[tuple[int, float]]],
    progress: Callable[[int, int], None],
) -> dict[int, Pixels]:
    """Open the photos that are related to another one, small; one that cannot be opened is left out."""
    places = sorted({*related, *(other for others in related.values() for other, _ in others)})
    jobs = {photos[place].files[0].image_id: place for place in places}
    found: dict[int, Pixels] = {}
    if not jobs:
        return found
    outcomes = decode_ahead(
        [EncodingJob(photos[place].files[0]) for place in places], PhotoInput(SIDE), usable_workers()
    )
    with closing(outcomes):
        for done, (job, outcome) in enumerate(outcomes, start=1):
            place = jobs[job.file.image_id]
            # a file that was changed since shows something else, of which nobody knows whether it may be shown
            if isinstance(outcome, OpenedPhoto) and outcome.file.content_hash == photos[place].content_hash:
                found[place] = outcome.pixels
            progress(done, len(jobs))
    return found


def _is_near(pictures: Mapping[int, Pixels], place: int, other: int, cosine: float) -> bool:
    if cosine >= BURST:
        return True
    return place in pictures and other in pictures and likeness(pictures[place], pictures[other]) >= SAME_PICTURE


def _stars(
    count: int, related: Mapping[int, Sequence[tuple[int, float]]], near: Near
) -> Iterator[tuple[int, list[tuple[int, float]]]]:
    """Yield each place that is in no earlier group, with the later ones near it that are in none either.

    So all of a group are near its best, and a long burst does not become one chain whose ends have nothing in common.
    """
    taken = set[int]()
    for place in range(count):
        if place in taken:
            continue
        free = [(other, cosine) for other, cosine in related.get(place, ()) if other not in taken]
        others = [(other, cosine) for other, cosine in free if near(place, other, cosine)]
        taken.update(other for other, _ in others)
        yield place, others


def _files(photo: StoredPhoto, similarity: float) -> list[Duplicate]:
    return [
        Duplicate(file.image_id, photo.width, photo.height, file.size_bytes, min(similarity, 1.0))
        for file in photo.files
    ]


def paths_below(folders: Sequence[str]) -> Callable[[str], bool]:
    """Return what tells whether a path lies below one of the folders; without folders every one does."""
    from index_store.paths import lies_below

    return lambda path: not folders or any(lies_below(path, folder) for folder in folders)
