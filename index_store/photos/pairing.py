"""Recognise files that belong to one photo: a camera's RAW file and its JPEG, sidecars, the video of a Live Photo."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Container, Sequence
from contextlib import suppress
from datetime import datetime, timedelta

from index_store.records import PhotoFile
from index_store.user_text import open_regular

DEVELOPED_SUFFIXES = frozenset([".jpg", ".jpeg", ".jpe", ".heic", ".heif", ".hif"])
"""What cameras and phones write next to a RAW file."""

SIDECAR_SUFFIXES = frozenset([".xmp", ".aae", ".thm", ".pp3", ".dop", ".rpp"])
"""Notes about a photo, in a file of its own; never a photo."""

_VIDEO_SUFFIXES = frozenset([".mov", ".mp4"])

_WRITTEN_TOGETHER_NS = 2_000_000_000
"""The times of files that were written together differ by at most two seconds, the step of FAT on memory cards."""

_SAME_MOMENT_NS = 60_000_000_000
"""Where files name no moment, a minute is allowed: copies get the time of the copying."""

_SAME_SHOT = timedelta(seconds=10)
"""Phones write down for the developed picture when it was ready, some seconds after the RAW file."""

_PHONE_ENDING = re.compile(r"(\.RAW-\d+)?(\.MP)?(\.COVER|\.ORIGINAL)?$")
"""What phones add to a name: `X.RAW-01.COVER.jpg` and `X.RAW-02.ORIGINAL.dng` are one, `X.MP.jpg` and `X.dng` too."""

_HEAD_BYTES = 128 << 10
_MOST_MOMENTS = 20
_MOMENT = re.compile(rb"(?:19|20)\d\d:[01]\d:[0-3]\d [0-2]\d:[0-5]\d:[0-5]\d")
"""How EXIF writes a time, in whatever container."""


def paired_raw(files: Sequence[PhotoFile], raw: Collection[str], known: Container[str]) -> set[str]:
    """Return those of the `raw` paths whose developed picture of the same name and moment is among `files`.

    Of pairs that an earlier run judged, of which it stored in `known` the developed picture alone, nothing is read.
    """
    if not raw:
        return set()
    developed = {
        _shot(file.image_id): file
        for file in files
        if file.image_id not in raw and os.path.splitext(file.image_id)[1].lower() in DEVELOPED_SUFFIXES
    }
    pairs = ((file, developed.get(_shot(file.image_id))) for file in files if file.image_id in raw)
    return {file.image_id for file, other in pairs if other is not None and _same_moment(file, other, known)}


def belongs_to_a_photo(path: str, photos: Container[str]) -> bool:
    """Return whether a file is a sidecar, or a video named like one of `photos`, paths without their suffix."""
    stem, suffix = os.path.splitext(path)
    return suffix.lower() in SIDECAR_SUFFIXES or (suffix.lower() in _VIDEO_SUFFIXES and stem in photos)


def _same_moment(raw: PhotoFile, developed: PhotoFile, known: Container[str]) -> bool:
    apart = abs(raw.mtime_ns - developed.mtime_ns)
    if apart <= _WRITTEN_TOGETHER_NS and developed.image_id in known and raw.image_id not in known:
        return True
    of_raw, of_developed = _moments(raw.image_id), _moments(developed.image_id)
    if of_raw and of_developed:
        return any(abs(one - other) <= _SAME_SHOT for one in of_raw for other in of_developed)
    return apart <= _SAME_MOMENT_NS


def _shot(path: str) -> str:
    """Return the path without what tells the files of one shot apart."""
    return _PHONE_ENDING.sub("", os.path.splitext(path)[0])


def _moments(path: str) -> list[datetime]:
    """Return the times that a file names near its beginning; none where it cannot be read."""
    try:
        with open_regular(path) as file:
            written = set(_MOMENT.findall(file.read(_HEAD_BYTES)))
    except OSError:
        return []
    moments = []
    for text in sorted(written)[:_MOST_MOMENTS]:
        with suppress(ValueError):  # such as the 31st of February
            moments.append(datetime.strptime(text.decode(), "%Y:%m:%d %H:%M:%S"))
    return moments
