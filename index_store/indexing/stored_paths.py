"""Change the paths that a store knows without reading a photo: forget photos, follow a folder that was moved."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace

from index_store.errors import UsageError
from index_store.paths import lies_below
from index_store.records import StoredPhoto
from index_store.store.image_store import ImageStore


def all_paths(photos: Iterable[StoredPhoto]) -> list[str]:
    """Return the paths of all files of the photos."""
    return [path for photo in photos for path in photo.paths]


def forget_paths(store: ImageStore, paths: Sequence[str]) -> int:
    """Drop the photos at or below absolute `paths` from every encoder's rows, and the roots there; return how many.

    Raises:
        UsageError: nothing is indexed at or below one of the paths; nothing was changed.
    """
    stores = [store, *store.others()]
    stored = [list(each.photos()) for each in stores]
    roots = store.roots()
    known = {*(root.path for root in roots), *(path for photos in stored for path in all_paths(photos))}
    unknown = [path for path in paths if not any(lies_below(each, path) for each in known)]
    if unknown:
        raise UsageError(f"{', '.join(unknown)}: nothing is indexed there; nothing was changed")
    dropped = set[str]()
    for each, photos in zip(stores, stored, strict=True):
        losses = {photo.content_hash: _below(photo.paths, paths) for photo in photos}
        each.drop_paths({content: lost for content, lost in losses.items() if lost})
        dropped.update(path for lost in losses.values() for path in lost)
    store.drop_roots([root for root in roots if _below([root.path], paths)])
    store.drop_unused_groups()
    return len(dropped)


def follow_move(store: ImageStore, old: str, new: str) -> int:
    """Note that what lay at or below `old` lies at `new` now, for every encoder and the roots; return how many files.

    Raises:
        UsageError: nothing is indexed at or below `old`; nothing was changed.
    """
    stores = [store, *store.others()]
    moved = [[photo for photo in each.photos() if _below(photo.paths, [old])] for each in stores]
    roots = [root for root in store.roots() if lies_below(root.path, old)]
    if not roots and not any(moved):
        raise UsageError(f"{old}: nothing is indexed there; nothing was changed")
    followed = [replace(root, path=_followed(root.path, old, new)) for root in roots]
    for each, photos in zip(stores, moved, strict=True):
        each.name_roots({root.name: root.path for root in followed if root.name})
        each.update([_with_paths_followed(photo, old, new) for photo in photos])
    store.set_roots(followed)
    there = {root.path for root in followed}
    store.drop_roots([root for root in roots if not root.name and root.path not in there])
    store.drop_unused_groups()
    return len({path for photos in moved for path in _below(all_paths(photos), [old])})


def _below(each: Iterable[str], paths: Sequence[str]) -> list[str]:
    return [path for path in each if any(lies_below(path, above) for above in paths)]


def _followed(path: str, old: str, new: str) -> str:
    """Return where a path lies after `old` was moved to `new`."""
    return os.path.join(new, os.path.relpath(path, old)) if path != old else new


def _with_paths_followed(photo: StoredPhoto, old: str, new: str) -> StoredPhoto:
    return photo.with_files(
        replace(file, image_id=_followed(file.image_id, old, new)) if lies_below(file.image_id, old) else file
        for file in photo.files
    )
