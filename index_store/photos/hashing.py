"""Name the content of files; standard library only."""

from __future__ import annotations

import hashlib
import os

from index_store.errors import PhotoError, PhotoUnreadableError, os_reason
from index_store.photos.file_system import open_regular

MAX_FILE_BYTES = 1 << 30
"""Files above one GiB are refused unread."""

_CHUNK = 1 << 18


def hash_file(path: str) -> str:
    """Return the fingerprint of a file's content: BLAKE2b, 128 bits, as hexadecimal digits.

    Raises:
        PhotoError: the file is larger than one GiB; nothing of it was read.
        PhotoUnreadableError: the file cannot be read, or holds more than the system says.
    """
    digest = new_digest()
    try:
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            if size > MAX_FILE_BYTES:
                raise PhotoError(too_large())
            left = size
            while chunk := file.read(_CHUNK):
                left -= len(chunk)
                if not size:
                    raise PhotoUnreadableError("is not a regular file")
                if left < 0:
                    raise PhotoUnreadableError("changed while it was read; the next run takes it up")
                digest.update(chunk)
    except OSError as error:
        raise PhotoUnreadableError(os_reason(error)) from error
    return digest.hexdigest()


def new_digest(content: bytes = b"") -> hashlib.blake2b:
    """Start the digest that names a content."""
    return hashlib.blake2b(content, digest_size=16)


def too_large() -> str:
    """Return what is said of a file that is refused unread."""
    return f"is larger than {MAX_FILE_BYTES >> 20} MiB"
