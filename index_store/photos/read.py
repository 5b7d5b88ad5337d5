"""Read the file of a photo, which may be none: a pipe, a file of the kernel, a sparse file of terabytes."""

from __future__ import annotations

import os
import stat

from index_store.errors import PhotoError, PhotoUnreadableError, os_reason
from index_store.photos.file_formats import HEAD_BYTES, family_of
from index_store.photos.find import RAW_SUFFIXES
from index_store.photos.hashing import MAX_FILE_BYTES, new_digest, too_large
from index_store.records import PhotoFile
from index_store.user_text import open_without_waiting

NOT_A_PHOTO = "is not a photo in a format that can be read"


def read_photo_file(path: str) -> tuple[PhotoFile, bytes]:
    """Read a regular file that begins like a photo, and no more of it than it was long when it was opened.

    Raises:
        PhotoError: the file is no photo, or too large.
        PhotoUnreadableError: the file cannot be read just now, or changed meanwhile.
    """
    try:
        with open(path, "rb", opener=open_without_waiting) as file:
            before = os.fstat(file.fileno())
            if not stat.S_ISREG(before.st_mode):
                raise PhotoError("is not a regular file")
            if before.st_size == 0:
                raise PhotoError("is an empty file")
            if before.st_size > MAX_FILE_BYTES:
                raise PhotoError(too_large())
            head = file.read(HEAD_BYTES)
            if family_of(head) is None and not named_like_raw(path):
                raise PhotoError(NOT_A_PHOTO)
            file.seek(0)
            content = file.read(before.st_size + 1)
            after = os.fstat(file.fileno())
    except OSError as error:
        raise PhotoUnreadableError(os_reason(error)) from error
    if len(content) != before.st_size or after.st_mtime_ns != before.st_mtime_ns:
        raise PhotoUnreadableError("changed while it was read; the next run takes it up")
    content_hash = new_digest(content).hexdigest()
    return PhotoFile(path, before.st_size, before.st_mtime_ns, content_hash), content


def named_like_raw(path: str) -> bool:
    """Return whether a file is named like camera RAW."""
    return os.path.splitext(path)[1].lower() in RAW_SUFFIXES
