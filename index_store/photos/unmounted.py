"""Distinguish deleted photos from those that are out of reach, such as on a disk that is not mounted."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from index_store.paths import is_address
from index_store.photos import file_system
from index_store.photos.path_sets import Paths, SortedPaths
from index_store.records import PhotoFile, Skipped

MANY = 20
"""A folder that loses more photos at once, and has none left, may have lost its disk."""


@dataclass(slots=True)
class KeptPhotos:
    """What is kept although it was not found: the photos, the roots that hold none any more, and further reports."""

    kept: set[str] = field(default_factory=set)
    roots: dict[str, str] = field(default_factory=dict)
    lines: list[Skipped] = field(default_factory=list)


def keep_unreachable(
    roots: Sequence[str],
    files: Sequence[PhotoFile],
    gone: Sequence[str],
    stored: Callable[[str], bool],
    file_of: Callable[[str], PhotoFile] | None,
) -> KeptPhotos:
    """Return which of the `gone` photos are kept, of `roots` that were walked through and hold `files` now.

    The photos of a root that holds none any more are kept. So are those of a folder in it that is there and holds none,
    where it is a mount point or lost more than twenty. Photos that moved are not lost, nor are those that are still
    there and are passed over now. `stored` says whether a path is in the store, `file_of` what was stored of it.
    """
    found = SortedPaths(file.image_id for file in files)
    lost = SortedPaths(_not_moved(gone, files, stored, file_of) if file_of else gone)
    result = KeptPhotos()
    for root in sorted(roots, key=len):
        if found.count(root):
            continue
        missed = [path for path in lost.below(root) if path not in result.kept]
        if missed:
            result.kept.update(missed)
            result.roots[root] = (
                f"holds no photo, and {len(missed)} from there are indexed; if it is not mounted, mount it; "
                "if they are to be forgotten, say --prune-empty"
            )
    for folder, missed in _emptied(lost.paths, found, Paths(roots), result.kept).items():
        result.kept.update(missed)
        result.lines.append(
            Skipped(
                folder,
                f"holds no photo any more, its {len(missed)} photos are kept; if it is not mounted, mount it; "
                "if they are to be forgotten, say --prune-empty",
            )
        )
    return result


def _not_moved(
    gone: Sequence[str],
    files: Sequence[PhotoFile],
    stored: Callable[[str], bool],
    file_of: Callable[[str], PhotoFile],
) -> list[str]:
    """Return the gone photos that no new file looks like, by size and by time or name."""
    if not gone:
        return []
    fresh = [file for file in files if not stored(file.image_id)]
    times = {(file.size_bytes, file.mtime_ns) for file in fresh}
    names = {(file.size_bytes, os.path.basename(file.image_id)) for file in fresh}
    was = ((path, file_of(path)) for path in gone)
    return [
        path
        for path, file in was
        if (file.size_bytes, file.mtime_ns) not in times and (file.size_bytes, os.path.basename(path)) not in names
    ]


def _emptied(lost: Sequence[str], found: SortedPaths, roots: Paths, kept: set[str]) -> dict[str, list[str]]:
    """Return the lost photos by the folder that has become empty, where that is suspicious."""
    chains: dict[str, list[str]] = {}
    groups: dict[str, list[str]] = {}
    mounts = set[str]()
    for path in lost:
        if path in kept or file_system.exists(path, follow_links=False):
            continue
        parent = os.path.dirname(path)
        if parent not in chains:
            chains[parent] = _empty_chain(parent, found, roots)
        if chain := chains[parent]:
            groups.setdefault(chain[-1], []).append(path)
            if any(not is_address(folder) and os.path.ismount(folder) for folder in chain):
                mounts.add(chain[-1])
    return {folder: paths for folder, paths in groups.items() if len(paths) > MANY or folder in mounts}


def _empty_chain(folder: str, found: SortedPaths, roots: Paths) -> list[str]:
    """Return the folders, from the first that is there upwards and below the root, that hold no photo."""
    root = roots.nearest(folder)
    while not file_system.is_folder(folder):
        if folder in {root, os.path.dirname(folder)}:
            return []
        folder = os.path.dirname(folder)
    if root is None:  # the folder of files that were named one by one
        return [] if found.count(folder) else [folder]
    chain: list[str] = []
    while folder != root and not found.count(folder):
        chain.append(folder)
        folder = os.path.dirname(folder)
    return chain
