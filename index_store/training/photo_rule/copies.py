"""Alter photos as their copies on the web are: mirrored, resized by a few pixels, saved again as JPEG.

A rule that learns from a photo and its copy alike gives both about the same probability. A small piece of a photo that
shows nobody shows nobody either: lawns, gravel and walls, which data sets of things and places lack.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from index_store.photos.open import open_photo, to_picture
from index_store.records import PhotoInput
from index_store.scratch import scratch_folder

if TYPE_CHECKING:
    from index_store.encoders.protocols import Pixels

WHOLE = PhotoInput(4096, squash=False, for_people=True)
"""A photo in its own size; nothing that rules are trained on is larger."""

QUALITIES = (60, 95)
PIECE = 0.3
"""The side of a piece, as a share of the photo's."""

RESIZED = 0.02
"""A copy's sides are at most by this share longer or shorter, each by itself."""


def altered_pixels(path: Path, wanted: PhotoInput) -> Pixels:
    """Return the pixels of a copy of a photo: mirrored, resized, saved again; the same photo gives the same copy.

    Raises:
        PhotoError: the photo cannot be opened.
    """
    width_share, height_share, quality_share = _shares_of(path.name)
    picture = to_picture(open_photo(str(path), WHOLE).pixels)
    size = tuple(
        max(1, round(side * (1 + RESIZED * (2 * share - 1))))
        for side, share in zip(picture.size, (width_share, height_share), strict=True)
    )
    copy = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT).resize((size[0], size[1]), Image.Resampling.BICUBIC)
    least, most = QUALITIES
    with scratch_folder() as folder:
        saved = Path(folder, "copy.jpg")
        copy.save(saved, quality=round(least + (most - least) * quality_share))
        return open_photo(str(saved), wanted).pixels


def piece_pixels(path: Path, wanted: PhotoInput) -> Pixels:
    """Return the pixels of a square piece of a photo, enlarged; the same photo gives the same piece.

    Raises:
        PhotoError: the photo cannot be opened.
    """
    across, down, _ = _shares_of(path.name)
    picture = to_picture(open_photo(str(path), PhotoInput(wanted.side)).pixels)
    side = max(1, round(PIECE * wanted.side))
    left, top = (round(share * (wanted.side - side)) for share in (across, down))
    piece = picture.crop((left, top, left + side, top + side))
    return np.asarray(piece.resize(picture.size, Image.Resampling.BICUBIC))


def _shares_of(name: str) -> tuple[float, float, float]:
    """Return three numbers in [0, 1] that hang on a name alone."""
    digest = hashlib.sha256(name.encode()).digest()
    first, second, third = (int.from_bytes(digest[start : start + 4], "big") / 2**32 for start in (8, 12, 16))
    return first, second, third
