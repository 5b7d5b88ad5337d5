"""Open the photos of answers, and read the pictures that callers give from Python."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable
from contextlib import closing
from typing import TYPE_CHECKING

from PIL import Image

from index_store.errors import PhotoError, UsageError
from index_store.photos.decoder_workers import Decoder
from index_store.photos.file_system import absolute
from index_store.photos.thumbnails import Thumbnails
from index_store.scratch import scratch_folder

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from index_store.records import Match, PhotoInput

    Pixels = NDArray[np.uint8]
    Given = str | os.PathLike[str] | bytes | Image.Image

LARGEST_SIDE = 4096
"""A worker sends at most 256 MiB of pixels."""


def open_match(match: Match) -> Image.Image:
    """Return the photo of a match; see `Match.open`."""
    if match.withheld:
        raise PhotoError("the photo is withheld")
    with closing(Thumbnails()) as thumbnails:
        picture = thumbnails.picture(match.content_hash, match.paths, LARGEST_SIDE)
    if picture is None:
        raise PhotoError(f"{match.path}: is gone, or has changed since it was indexed")
    return picture


def given_photo(photo: Given) -> str | bytes:
    """Return a photo that a caller gives as `Question.like` takes it: the place of a file, or its content."""
    if isinstance(photo, bytes):
        return photo
    if isinstance(photo, Image.Image):
        return _content(photo)
    return absolute(os.path.expanduser(os.fspath(photo)))


def given_pixels(photos: Iterable[Given], wanted: PhotoInput) -> list[Pixels]:
    """Decode photos that a caller gives, as an encoder wants them.

    Raises:
        UsageError: one of them cannot be decoded.
        DecoderError: no decoder can be started.
    """
    with closing(Decoder()) as decoder, scratch_folder() as folder:
        return [_pixels(decoder, given_photo(photo), os.path.join(folder, "photo"), wanted) for photo in photos]


def _pixels(decoder: Decoder, photo: str | bytes, scratch: str, wanted: PhotoInput) -> Pixels:
    path = photo if isinstance(photo, str) else scratch
    if isinstance(photo, bytes):
        with open(scratch, "wb") as file:
            file.write(photo)
    try:
        return decoder.decode(path, wanted).pixels
    except PhotoError as error:
        raise UsageError(f"{photo if isinstance(photo, str) else 'the photo'}: {error}") from error


def _content(picture: Image.Image) -> bytes:
    """Return a picture of Pillow as the content of a PNG, with its orientation and its colours."""
    content = io.BytesIO()
    plain = picture if picture.mode in {"1", "L", "LA", "P", "RGB", "RGBA"} else picture.convert("RGB")
    profile = picture.info.get("icc_profile") if plain is picture else None
    plain.save(content, "PNG", exif=picture.getexif(), icc_profile=profile)
    return content.getvalue()
