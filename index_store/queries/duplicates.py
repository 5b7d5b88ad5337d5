"""Find photos that are equal or nearly so: files of one content, and contents whose embeddings nearly agree."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from index_store.queries.matching import may_be_there

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from index_store.records import Embedding, StoredPhoto
    from index_store.store.images import ImageStore

    Rows = NDArray[np.float32]

NEARLY_EQUAL = 0.93
"""The cosine from which on two photos are taken for the same picture; docs/relevance.md has what it finds."""

_PAGE = 5_000
_BLOCK = 1_024
"""Rows compared with all others at once: with 100,000 photos 400 MB."""


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
    *,
    equal: bool = False,
) -> list[list[Duplicate]]:
    """Return groups of at least two files, the best file first, the groups by the path of their first.

    Photos that `shows` refuses, paths that `wanted` refuses, and files that are gone are left out. With `equal` only
    files of equal content make a group. Nearly equal contents are compared pair by pair: the time grows with the square
    of their number, 100,000 of them take minutes.
    """
    photos, rows = _shown_photos(store, shows, wanted)
    order = sorted(range(len(photos)), key=lambda place: _goodness(photos[place]))
    photos, rows = [photos[place] for place in order], rows[order]
    groups: list[list[Duplicate]] = []
    for best, others in _stars(rows, 2.0 if equal else NEARLY_EQUAL):
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


def _stars(rows: Rows, least: float) -> Iterator[tuple[int, list[tuple[int, float]]]]:
    """Yield each row that is in no earlier group, with the later rows near it that are in none either.

    So all of a group are near its best, and a long burst does not become one chain whose ends have nothing in common.
    """
    taken = np.zeros(len(rows), dtype=bool)
    for start in range(0, len(rows), _BLOCK):
        near = rows[start : start + _BLOCK] @ rows[start:].T if least <= 1.0 else np.zeros((_BLOCK, 0))
        for place in range(start, min(start + _BLOCK, len(rows))):
            if taken[place]:
                continue
            after = np.nonzero(near[place - start, place - start + 1 :] >= least)[0] + place + 1
            others = [(int(other), float(near[place - start, other - start])) for other in after if not taken[other]]
            taken[[place, *(other for other, _ in others)]] = True
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
