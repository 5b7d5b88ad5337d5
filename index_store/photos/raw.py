"""Take the picture out of a camera RAW file: the embedded preview where it is large enough, else a development.

The only importer of rawpy, which comes with the extra `raw`.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from PIL import Image

from index_store.errors import PhotoError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_ORIENTATION = 274
_SIDEWAYS = 4
"""The bit of LibRaw's flip that says that width and height change places."""
_FLIP_TO_ORIENTATION = {3: 3, 5: 8, 6: 6}


@dataclass(frozen=True, slots=True)
class Developed:
    """A JPEG or PNM file made of a RAW file, and how it is turned upright; the size is that of the upright photo."""

    picture: bytes
    orientation: int
    width: int
    height: int


class NotRawError(PhotoError):
    """LibRaw does not know the file."""


def develop(content: bytes, side: int, most_pixels: int) -> Developed:
    """Return a picture out of a RAW file whose shorter side has at least `side` pixels, where the photo has so many.

    Raises:
        PhotoError: rawpy is not installed, or the file is damaged, or more than `most_pixels` would be decoded.
        NotRawError: the file is no RAW file that LibRaw knows.
    """
    try:
        import rawpy  # late: an extra, and 30 MB that only RAW files need
    except ImportError as error:
        raise PhotoError("is a camera RAW file; to read it, pip install 'imgsearch-cli[raw]'") from error
    try:
        raw = rawpy.imread(io.BytesIO(content))
    except rawpy.LibRawError as error:
        raise NotRawError(f"cannot be developed: {_words(error)}") from error
    with raw:
        width, height = _upright_size(raw)
        preview = _preview(raw, rawpy)
        if preview is not None and min(preview.size) >= min(side, width, height):
            return Developed(preview.content, preview.orientation(raw, width, height), width, height)
        half = min(width, height) >= 2 * side
        if width * height // (4 if half else 1) > most_pixels:
            raise PhotoError(f"has {width * height / 1e6:.0f} megapixels, more than can be developed")
        try:
            pixels: NDArray[np.uint8] = raw.postprocess(half_size=half, use_camera_wb=True)
        except rawpy.LibRawError as error:
            if preview is None:
                raise PhotoError(f"cannot be developed: {_words(error)}") from error
            return Developed(preview.content, preview.orientation(raw, width, height), width, height)
    shown_height, shown_width, _ = pixels.shape
    picture = b"P6 %d %d 255\n" % (shown_width, shown_height) + pixels.tobytes()
    return Developed(picture, 1, width, height)


@dataclass(frozen=True, slots=True)
class _Preview:
    content: bytes
    size: tuple[int, int]
    written: int | None

    def orientation(self, raw: Any, width: int, height: int) -> int:
        """Return how the preview is turned upright: as it says itself, else as the photo is.

        A preview that is upright already, though its EXIF data say otherwise, gives itself away by its shape.
        """
        photos = _FLIP_TO_ORIENTATION.get(raw.sizes.flip, 1)
        turn = photos if self.written is None else self.written
        if self.size[0] == self.size[1] or width == height:
            return turn
        sideways = turn in {5, 6, 7, 8}
        if (self.size[0] > self.size[1]) == (width > height):
            return 1 if sideways else turn
        return turn if sideways else photos


def _upright_size(raw: Any) -> tuple[int, int]:
    sizes = raw.sizes
    width, height = sizes.width, sizes.height
    if sizes.pixel_aspect < 1:
        height = round(height / sizes.pixel_aspect)
    elif sizes.pixel_aspect > 1:
        width = round(width * sizes.pixel_aspect)
    return (height, width) if sizes.flip & _SIDEWAYS else (width, height)


def _preview(raw: Any, rawpy: Any) -> _Preview | None:
    """Return the JPEG that the camera embedded, if there is a whole one."""
    try:
        found = raw.extract_thumb()
        if found.format != rawpy.ThumbFormat.JPEG:
            return None
        content = bytes(found.data)
        with Image.open(io.BytesIO(content), formats=("JPEG",)) as picture:
            size = picture.size
            try:
                written = picture.getexif().get(_ORIENTATION)
            except Exception:  # a broken EXIF block: the photo's own turn holds
                written = None
            if b"\xff\xd9" not in content[-1024:]:
                return None  # it is cut short
    except Exception:  # LibRaw's errors, Pillow's and whatever a broken preview brings: then there is none
        return None
    return _Preview(content, size, written if isinstance(written, int) else None)


def _words(error: Exception) -> str:
    text = error.args[0] if error.args else error
    return text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)
