"""Make the rows of an answer: which file of a photo is shown, whether it is there, and roots that are not."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from index_store.paths import is_address, is_there, lies_below
from index_store.question import Filters
from index_store.records import Candidate, Match, StoredPhoto

if TYPE_CHECKING:
    from index_store.store.image_store import ImageStore


def match_of(rank: int, score: float, candidate: Candidate, photo: StoredPhoto | None, filters: Filters) -> Match:
    """Return a row of the answer; without `photo` the notice stands in its place.

    Of several copies the first is shown that is there and lies in a folder of the filters.
    """
    if photo is None:
        return Match(rank, score, candidate.similarity, None, None, None)
    asked = [path for path in photo.paths if any(lies_below(path, folder) for folder in filters.folders)]
    there = next(filter(may_be_there, asked or photo.paths), None)
    shown = there or (asked or photo.paths)[0]
    return Match(
        rank,
        score,
        candidate.similarity,
        shown,
        photo.width,
        photo.height,
        copies=tuple(path for path in photo.paths if path != shown),
        missing=there is None,
        day=photo.day,
        dated_by_file=photo.dated_by_file,
        camera=photo.camera,
        content_hash=photo.content_hash,
    )


def may_be_there(path: str) -> bool:
    """Return whether a file is there, or a folder above it may not be entered, so that nobody knows."""
    try:
        return is_address(path) or is_there(path, follow_links=False)  # nobody asks a bucket for each row
    except OSError:
        return True


def allow_own_addresses(store: ImageStore, paths: Iterable[str]) -> None:
    """Let pictures at addresses be read where this user indexed them; what else a store names is not."""
    if any(map(is_address, paths)):
        from index_store.photos.file_system import allow_own  # late: few photos lie at addresses

        allow_own(store.roots())


def absent_roots(matches: Iterable[Match], store: ImageStore) -> tuple[str, ...]:
    """Return a line for each indexed root that is not there and holds photos that were found."""
    missing = [match.image_id for match in matches if match.missing and match.image_id is not None]
    if not missing:
        return ()
    absent = (root.path for root in store.roots() if not may_be_there(root.path))
    return tuple(
        f"{root}: is not there (is its disk mounted?); its photos are marked as missing. Where the folder was moved, "
        "run 'imgsearch move OLD NEW'"
        for root in absent
        if any(lies_below(path, root) and path != root for path in missing)
    )
