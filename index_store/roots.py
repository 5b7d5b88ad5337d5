"""Decide which folders a run looks through, what it may forget there, and which roots are remembered.

Nothing here knows rows or vectors: stored photos are absolute paths.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from index_store.errors import UsageError
from index_store.finding import Found, find_photos
from index_store.planning import lies_below
from index_store.records import FindOptions, IndexedRoot, Skipped


@dataclass(frozen=True, slots=True)
class Place:
    """A folder or file to index, as an absolute path, and how photos are looked for in it.

    `name` is the name by which other machines know the folder, if it has one.
    """

    path: str
    find: FindOptions = FindOptions()  # noqa: RUF009  (frozen)
    name: str = ""


@dataclass(frozen=True, slots=True)
class Survey:
    """What a run sees on the disk before it compares anything with the stored photos' content.

    `paths` are the places that were looked through: a stored photo below them that is not in `found.files`, and not
    below one of `found.unreadable`, is gone. Places whose photos are kept although they are not there are among
    `found.unreadable`. `to_set` and `to_drop` are the changes to the remembered roots.
    """

    found: Found
    paths: tuple[str, ...]
    to_set: tuple[IndexedRoot, ...] = ()
    to_drop: tuple[IndexedRoot, ...] = ()


def chosen_places(
    places: Sequence[Place], known: Sequence[IndexedRoot], store: str
) -> tuple[list[Place], list[Skipped]]:
    """Return the named places as they are, or the known roots that are there now and those that are missing.

    Raises:
        UsageError: no place is named and no root is known; `store` names the store in the message.
    """
    if places:
        return [replace(place, path=os.path.abspath(place.path)) for place in places], []
    if not known:
        raise UsageError(f"{store}: no folder was indexed yet; name one: imgsearch index FOLDER")
    missing = [
        Skipped(
            root.path,
            f"is not there, its {root.photos} photos are kept; mount it, or drop it with 'imgsearch forget'",
        )
        for root in known
        if not os.path.exists(root.path)
    ]
    gone = {skip.path for skip in missing}
    return [Place(root.path, root.find, root.name) for root in known if root.path not in gone], missing


def survey(
    places: Sequence[Place], known: Sequence[IndexedRoot], stored: Collection[str], *, prune_empty: bool = False
) -> Survey:
    """Find the photos below absolute `places`; `stored` are the paths of all photos in the store.

    Raises:
        UsageError: a place does not exist, holds no photos, or holds none any more where some were indexed.
    """
    paths = tuple(place.path for place in places)
    found = _find_all(places)
    _refuse_vanished(paths, found, stored, prune_empty=prune_empty)
    to_set, to_drop = _changed_roots(places, known, found)
    return Survey(found, paths, to_set, to_drop)


def _find_all(places: Sequence[Place]) -> Found:
    """Find the photos below several places, each photo once."""
    missing = [place.path for place in places if not os.path.exists(place.path)]
    if missing:
        raise UsageError(f"{', '.join(missing)}: no such file or folder; nothing was indexed")
    together = Found()
    for place in places:
        found = find_photos(place.path, place.find)
        together.files += found.files
        together.skipped += found.skipped
        together.unreadable += found.unreadable
    together.files = sorted({photo.image_id: photo for photo in together.files}.values(), key=lambda p: p.image_id)
    together.skipped = list(dict.fromkeys(together.skipped))
    return together


def _refuse_vanished(paths: Sequence[str], found: Found, stored: Collection[str], *, prune_empty: bool) -> None:
    """Stop before a folder that is not mounted is taken for one whose photos were deleted."""
    for path in paths:
        if any(lies_below(photo.image_id, path) for photo in found.files):
            continue
        before = sum(lies_below(image_id, path) for image_id in stored)
        if before and not prune_empty:
            raise UsageError(
                f"{path}: holds no photo, and {before} from there are indexed; if it is not mounted, mount it; "
                "if they are to be forgotten, say --prune-empty; nothing was changed"
            )
        if not before and not found.skipped:
            raise UsageError(
                f"{path}: no photos found (jpg, png, webp, heic, avif, tiff, raw and more); nothing was indexed"
            )


def _changed_roots(
    places: Sequence[Place], known: Sequence[IndexedRoot], found: Found
) -> tuple[tuple[IndexedRoot, ...], tuple[IndexedRoot, ...]]:
    """Return the roots to remember and those that a new one swallows."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    to_set, to_drop = [], []
    for place in places:
        if any(place.path != root.path and lies_below(place.path, root.path) for root in known):
            continue  # part of a root that is known; it is refreshed with it
        to_drop += [root for root in known if root.path != place.path and lies_below(root.path, place.path)]
        photos = sum(lies_below(photo.image_id, place.path) for photo in found.files)
        to_set.append(IndexedRoot(place.path, now, photos, place.find, place.name))
    return tuple(to_set), tuple(to_drop)
