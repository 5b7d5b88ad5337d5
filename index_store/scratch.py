"""Temporary folders that live as long as what they were made for, and at most as long as the process."""

from __future__ import annotations

import tempfile
from weakref import WeakSet

_FOLDERS: WeakSet[tempfile.TemporaryDirectory[str]] = WeakSet()


def scratch_folder(prefix: str = "imgsearch-", parent: str | None = None) -> tempfile.TemporaryDirectory[str]:
    """Return a new folder in `parent`, by default the system's place for such, which goes away with the object."""
    folder = tempfile.TemporaryDirectory(prefix=prefix, dir=parent, ignore_cleanup_errors=True)
    _FOLDERS.add(folder)
    return folder


def remove_scratch_folders() -> None:
    """Remove all that are left; for a program that ends without Python's own clearing up."""
    for folder in list(_FOLDERS):
        folder.cleanup()
