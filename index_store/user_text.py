"""Read files that may come from anybody: texts that people write by hand, and cards of models; standard library only.

Editors put byte-order marks before such files, Windows writes some of them as UTF-16, and a name may lead to something
that is no file at all. What cannot be read whole and rightly is refused, never half.
"""

from __future__ import annotations

import codecs
import json
import os
import stat
from typing import Any, BinaryIO

from index_store.errors import DataError, os_reason

MOST_JSON_BYTES = 16 << 20
"""The cards that ship have a thousandth of it."""

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark begins in the same way
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def read_user_text(path: str | os.PathLike[str], *, most_bytes: int, errors: str = "strict") -> str:
    """Return the text of a regular file of at most `most_bytes` bytes; `errors` is as in `bytes.decode`.

    Raises:
        DataError: the file cannot be read, is larger, is no regular file, or no text; the message begins with its path.
    """
    name = os.fspath(path)
    try:
        with open_regular(name) as file:
            content = file.read(most_bytes + 1)
    except OSError as error:
        raise DataError(f"{name}: {os_reason(error)}") from error
    if len(content) > most_bytes:
        raise DataError(f"{name}: is larger than {most_bytes >> 10} KiB; nothing of it was read")
    return decode_user_text(content, name, errors=errors)


def read_json(path: str | os.PathLike[str], *, most_bytes: int = MOST_JSON_BYTES) -> Any:
    """Return what a regular file of at most `most_bytes` bytes holds in JSON.

    Raises:
        OSError: the file cannot be read, or is no regular file.
        ValueError: it is larger, or no JSON in UTF-8, or nested too deeply.
    """
    with open_regular(os.fspath(path)) as file:
        content = file.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise ValueError(f"it is larger than {most_bytes >> 20} MiB")
    try:
        return json.loads(content.decode("utf-8"))
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def decode_user_text(content: bytes, name: str, *, errors: str = "strict") -> str:
    """Return the text of bytes in UTF-8, or in UTF-16 or UTF-32 where a mark at the beginning says so.

    Raises:
        DataError: the bytes are no text; the message begins with `name` and counts lines from 1.
    """
    mark, encoding = next((pair for pair in _MARKS if content.startswith(pair[0])), (b"", "utf-8"))
    if not mark and b"\0" in content:
        raise DataError(f"{name}: is UTF-16 without a mark, or no text; save it as UTF-8")
    try:
        return content[len(mark) :].decode(encoding, errors if encoding == "utf-8" else "strict")
    except UnicodeDecodeError as error:
        lines = content.count(b"\n", 0, len(mark) + error.start) + 1
        where = f"{name}:{lines}" if encoding == "utf-8" else name
        raise DataError(f"{where}: is not {encoding.upper()}; save the file as UTF-8") from error


def open_regular(path: str) -> BinaryIO:
    """Open a regular file to read; a FIFO or a device is never waited for.

    Raises:
        OSError: the file cannot be opened or is no regular file.
    """
    file = open(path, "rb", buffering=0, opener=open_without_waiting)  # noqa: SIM115  (the caller closes it)
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(None, "is not a regular file")
    return file


def open_without_waiting(path: str, flags: int) -> int:
    """Open a file for `open(..., opener=...)`: a pipe in its place is not waited for."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
