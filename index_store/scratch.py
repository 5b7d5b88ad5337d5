"""Temporary folders that live as long as what they were made for, and at most as long as the process."""

from __future__ import annotations

import tempfile
from weakref import WeakSet

_FOLDERS: WeakSet[tempfile.TemporaryDirectory[str]] = WeakSet()


def scratch_folder() -> tempfile.TemporaryDirectory[str]:
    """Return a new folder, which goes away with the object."""
    folder = tempfile.TemporaryDirectory(prefix="imgsearch-", ignore_cleanup_errors=True)
    _FOLDERS.add(folder)
    return folder


def remove_scratch_folders() -> None:
    """Remove all that are left; for a program that ends without Python's own clearing up."""
    for folder in list(_FOLDERS):
        folder.cleanup()
