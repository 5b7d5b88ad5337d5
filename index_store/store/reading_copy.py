"""Read a store that may not be written: Chroma writes to its database whenever it opens one, so it gets a copy.

The copy is a temporary folder with the database in it and links to the folders of vectors, which Chroma only reads; for
100,000 photos that is a tenth of the store.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from contextlib import closing, suppress

from index_store.errors import StoreError, os_reason
from index_store.scratch import scratch_folder
from index_store.store.sqlite_file import DATABASE_FILE, reading

_PREFIX = "imgsearch-reading-"
_SPARE_BYTES = 4_000_000
_COPIES: list[tempfile.TemporaryDirectory[str]] = []
"""Kept, and so readable, until the process ends."""


def can_be_written(place: str) -> bool:
    """Return whether this process may write to the store in a folder."""
    return os.access(place, os.W_OK | os.X_OK) and os.access(os.path.join(place, DATABASE_FILE), os.W_OK)


def reading_copy(place: str) -> str:
    """Return a temporary folder that shows the store in `place` as it is now; it goes away with this process.

    Raises:
        StoreError: the store cannot be read, or no temporary folder has enough space for its database.
    """
    source = os.path.join(place, DATABASE_FILE)
    try:
        folder = _temporary_folder(os.path.getsize(source) + _SPARE_BYTES, place)
        _copy_database(place, folder)
        for entry in os.scandir(place):
            if entry.is_dir(follow_symlinks=False):
                os.symlink(os.path.abspath(entry.path), os.path.join(folder, entry.name))
    except OSError as error:
        raise StoreError(f"{place}: cannot be read: {os_reason(error)}") from error
    return folder


def _temporary_folder(size: int, place: str) -> str:
    for parent in (tempfile.gettempdir(), "/dev/shm"):
        with suppress(OSError):
            _remove_left_over(parent)
            if shutil.disk_usage(parent).free > size:
                folder = scratch_folder(f"{_PREFIX}{os.getpid()}-", parent)
                _COPIES.append(folder)
                return folder.name
    raise StoreError(
        f"{place}: can only be read, and no temporary folder has the {size / 1e6:.0f} MB for a copy of its database; "
        "name one with TMPDIR"
    )


def _copy_database(place: str, folder: str) -> None:
    target = os.path.join(folder, DATABASE_FILE)
    try:
        with reading(place) as source, closing(sqlite3.connect(target)) as copy:
            source.backup(copy)  # waits for a writer to finish its transaction
    except sqlite3.Error:
        # a crashed writer left a journal, which only one who may write can roll back: Chroma does in the copy
        for ending in ("", "-journal", "-wal"):
            with suppress(FileNotFoundError):
                shutil.copyfile(os.path.join(place, DATABASE_FILE + ending), target + ending)


def _remove_left_over(parent: str) -> None:
    """Remove the copies of this user's processes that were killed."""
    for entry in os.scandir(parent):
        if entry.name.startswith(_PREFIX) and entry.is_dir(follow_symlinks=False):
            process = entry.name[len(_PREFIX) :].partition("-")[0]
            if process.isdigit() and entry.stat(follow_symlinks=False).st_uid == os.getuid() and _is_gone(int(process)):
                shutil.rmtree(entry.path, ignore_errors=True)


def _is_gone(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False
