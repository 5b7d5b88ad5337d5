"""The three standard streams, made safe: they may be closed, full, left by their reader, or of a narrow encoding."""

from __future__ import annotations

import errno
import io
import os
import select
import sys
from contextlib import suppress
from typing import IO, TYPE_CHECKING

from imgsearch_cli.escaping import printable
from index_store.errors import ImgsearchError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class ReaderGone(BaseException):
    """The reader of standard output went away; no Exception, because click and rich end with 1 on a BrokenPipeError."""


class OutputError(ImgsearchError):
    """Standard output cannot be written."""


def prepare_streams() -> None:
    """Replace the standard streams; called once, before anything is written.

    A closed one becomes the null device, so that no file of the store gets its number. Characters that the encoding of
    a stream lacks are written as escapes.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
    if sys.stdin is None:
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115  (as long as the process)
    sys.stdout = _text_stream(_Results(1, "w", closefd=False), sys.stdout)
    sys.stderr = _text_stream(_Messages(2, "w", closefd=False), sys.stderr)


def say(message: str) -> None:
    """Write a line for people to standard error."""
    with suppress(OSError):
        sys.stderr.write(f"{printable(message)}\n")
        sys.stderr.flush()


def _text_stream(raw: io.FileIO, replaced: IO[str] | None) -> io.TextIOWrapper:
    encoding = getattr(replaced, "encoding", None) or "utf-8"
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding, "backslashreplace", line_buffering=raw.isatty())


class _Patient(io.FileIO):
    """A stream that waits where another program has made its descriptor non-blocking."""

    def write(self, data: ReadableBuffer, /) -> int:
        count: int | None
        while (count := super().write(data)) is None:
            select.select([], [self], [])
        return count


class _Results(_Patient):
    """Standard output; once it has failed it takes everything in silence, so that a failure is reported once."""

    _failed = False

    def write(self, data: ReadableBuffer, /) -> int:
        if self._failed:
            return memoryview(data).nbytes
        try:
            return super().write(data)
        except OSError as error:
            self._failed = True
            if error.errno == errno.EPIPE:
                raise ReaderGone from error
            raise OutputError(f"standard output: {(error.strerror or str(error)).lower()}") from error


class _Messages(_Patient):
    """Standard error, whose failures change no result: there is no other place where they could be reported."""

    def write(self, data: ReadableBuffer, /) -> int:
        with suppress(OSError):
            return super().write(data)
        return memoryview(data).nbytes
