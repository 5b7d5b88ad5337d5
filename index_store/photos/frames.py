"""Choose the pictures of a file that people would see besides the first: frames, pages, and further photos.

GIF, WebP, PNG and AVIF hold animations; TIFF holds pages; MPO holds the photo of the second eye, or another size of the
first, which viewers offer too and which counts; HEIF holds bursts. Not counted are what no viewer shows as a picture:
previews and masks among the pages of a TIFF, and thumbnails, depth maps and gain maps in HEIF and JPEG.
"""

from __future__ import annotations

from PIL import Image

from index_store.photos.file_formats import boxes
from index_store.records import MOST_FRAMES

MOST_FRAME_PIXELS = 1_500_000_000
"""Pixels that may be decoded to get at the frames: about ten seconds. Frames behind them stay unseen."""

_SEQUENTIAL = frozenset({"GIF", "PNG", "WEBP"})
"""Formats in which all frames before a frame have to be decoded."""
_SUBFILE_TAG = 254
_PREVIEW, _MASK = 1, 4


def chosen(count: int, most: int = MOST_FRAMES) -> list[int]:
    """Return the places of at most `most` out of `count` frames, evenly, the first and the last among them."""
    if count <= most:
        return list(range(count))
    return [round(place * (count - 1) / (most - 1)) for place in range(most)]


def count_of(picture: Image.Image) -> int:
    """Return how many frames a picture has; it is opened and stays at the frame where it is."""
    return int(getattr(picture, "n_frames", 1))


def further(picture: Image.Image, family: str) -> list[int | None]:
    """Return the places of the chosen frames besides the one that is open; None for those that cost too much."""
    first, area = picture.tell(), picture.width * picture.height
    reached = MOST_FRAME_PIXELS // max(area, 1)
    places = [place for place in chosen(count_of(picture)) if place != first]
    near = [place for place in places if place <= reached] if family in _SEQUENTIAL else places
    return [*near, *([None] if len(near) < len(places) else [])]


def is_preview(page: Image.Image, family: str) -> bool:
    """Return whether the page of a TIFF that is open is a small copy or a mask, which no viewer shows."""
    if family != "TIFF":
        return False
    return bool(int(getattr(page, "tag_v2", {}).get(_SUBFILE_TAG, 0) or 0) & (_PREVIEW | _MASK))


def is_absent(picture: Image.Image, family: str, content: bytes) -> bool:
    """Return whether the frame that is open is none: editors leave MPO's list of frames and drop the frames."""
    return family == "JPEG" and content[picture.offset : picture.offset + 3] != b"\xff\xd8\xff"  # type: ignore[attr-defined]


def has_unseen_track(content: bytes, family: str, count: int) -> bool:
    """Return whether a HEIF file holds a moving picture of which the decoder gives the first frame alone."""
    return family == "HEIF" and count == 1 and any(kind == b"moov" for kind, _, _ in boxes(content))
