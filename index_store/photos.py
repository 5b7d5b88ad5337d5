"""Open photos as upright sRGB pixels of the size that an encoder wants.

The only importer of Pillow.
"""

from __future__ import annotations

import io
import os
import warnings
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageCms, UnidentifiedImageError

from index_store.errors import PhotoError, PhotoUnreadableError, os_reason
from index_store.finding import RAW_SUFFIXES
from index_store.hashing import MAX_FILE_BYTES, new_digest
from index_store.raw import develop
from index_store.records import OpenedPhoto, PhotoFile

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from index_store.encoders.protocols import PhotoInput

PHOTO_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "AVIF", "JPEG2000")
"""The decoders that untrusted files may reach; MPO, a JPEG with more pictures behind the first, is opened as JPEG."""

MAX_PIXELS = 100_000_000
"""Photos of which more pixels would have to be decoded are refused: 100 megapixels are 300 MB as RGB."""

_HEIF_HEADS = frozenset(b"ftyp" + brand for brand in (b"heic", b"heix", b"heim", b"heis", b"mif1", b"msf1"))
_EXIF_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation -> the transposition that turns the picture upright (EXIF 2.3, tag 274)."""
_SIDEWAYS = frozenset({5, 6, 7, 8})

Image.MAX_IMAGE_PIXELS = None  # replaced by MAX_PIXELS, which looks at what would really be decoded
warnings.filterwarnings("ignore", module=r"PIL\.")  # broken EXIF blocks and the like: the picture is what counts


def open_photo(path: str, wanted: PhotoInput) -> OpenedPhoto:
    """Read and decode one photo: first frame, upright, in sRGB, transparency over white, resized as wanted.

    The returned `file` has the content hash, so that a file is read once.

    Raises:
        PhotoError: the file cannot be read or decoded, is too large, or changed while it was read.
    """
    file, content = _read(path)
    try:
        with _open_picture(path, content) as picture:
            orientation = picture.getexif().get(_EXIF_ORIENTATION, 1)
            width, height = picture.size
            small = _shrink(picture, wanted)
            upright = _to_srgb(small, picture.info.get("icc_profile"))
    except PhotoError:
        raise
    except UnidentifiedImageError as error:
        raise PhotoError("is not a photo in a format that can be read") from error
    except Exception as error:  # decoders of untrusted files raise nearly everything; all of it means "a bad photo"
        raise PhotoError(f"cannot be decoded: {_one_line(error)}") from error
    if orientation in _UPRIGHT:
        upright = upright.transpose(_UPRIGHT[orientation])
    if orientation in _SIDEWAYS:
        width, height = height, width
    return OpenedPhoto(file, np.asarray(upright, dtype=np.uint8), width, height)


def to_picture(pixels: NDArray[np.uint8]) -> Image.Image:
    """Return pixels of shape (height, width, 3), RGB, as a picture of Pillow, which some encoders take only."""
    return Image.fromarray(pixels)


def _read(path: str) -> tuple[PhotoFile, bytes]:
    try:
        with open(path, "rb") as file:
            before = os.fstat(file.fileno())
            if before.st_size == 0:
                raise PhotoError("is an empty file")
            if before.st_size > MAX_FILE_BYTES:
                raise PhotoError(f"is larger than {MAX_FILE_BYTES >> 20} MiB")
            content = file.read(MAX_FILE_BYTES + 1)
            after = os.fstat(file.fileno())
    except OSError as error:
        raise PhotoUnreadableError(os_reason(error)) from error
    if len(content) != before.st_size or after.st_mtime_ns != before.st_mtime_ns:
        raise PhotoUnreadableError("changed while it was read; the next run takes it up")
    content_hash = new_digest(content).hexdigest()
    return PhotoFile(path, before.st_size, before.st_mtime_ns, content_hash), content


def _open_picture(path: str, content: bytes) -> Image.Image:
    formats: tuple[str, ...] = PHOTO_FORMATS
    if content[4:12] in _HEIF_HEADS:
        import pillow_heif  # late: 20 MB of codecs that most folders do not need

        pillow_heif.register_heif_opener(thumbnails=False)
        formats = ("HEIF",)
    elif os.path.splitext(path)[1].lower() in RAW_SUFFIXES:
        content, formats = develop(content), ("JPEG", "PPM")
    return Image.open(io.BytesIO(content), formats=formats)


def _shrink(picture: Image.Image, wanted: PhotoInput) -> Image.Image:
    whole = picture.width * picture.height
    # JPEG can be decoded at 1/2, 1/4 or 1/8 without its high frequencies in a fraction of the time; bicubic has less
    # to shrink then, and photos are found as before (docs/scaling.md)
    picture.draft(None, (wanted.side, wanted.side))
    progressive = bool(picture.info.get("progressive") or picture.info.get("progression"))
    # a progressive JPEG keeps all coefficients of the whole picture in memory, whatever the scale
    decoded = whole if progressive else picture.width * picture.height
    if decoded > MAX_PIXELS:
        raise PhotoError(f"has {whole / 1e6:.0f} megapixels, more than the {MAX_PIXELS / 1e6:.0f} that are decoded")
    size = _target_size(picture.width, picture.height, wanted)
    return _with_smooth_mode(picture).resize(size, Image.Resampling.BICUBIC, reducing_gap=3.0)


def _target_size(width: int, height: int, wanted: PhotoInput) -> tuple[int, int]:
    if wanted.squash:
        return wanted.side, wanted.side
    scale = wanted.side / min(width, height)
    return max(wanted.side, round(width * scale)), max(wanted.side, round(height * scale))


def _with_smooth_mode(picture: Image.Image) -> Image.Image:
    """Return the first frame in a mode that can be interpolated; palettes and bitmaps cannot."""
    if picture.mode.startswith("I") or picture.mode == "F":
        return _from_deep_greys(picture)
    if picture.mode in {"P", "PA"} or "transparency" in picture.info:
        return picture.convert("RGBA")
    if picture.mode == "1":
        return picture.convert("L")
    return picture


def _from_deep_greys(picture: Image.Image) -> Image.Image:
    """Scale 16-bit, 32-bit and floating point greys to 8 bits; Pillow's own conversion would clip them to white."""
    greys = np.asarray(picture, dtype=np.float32)
    top = float(greys.max(initial=0.0))
    full = 1.0 if top <= 1.0 else 255.0 if top <= 255.0 else 65535.0 if top <= 65535.0 else top
    return Image.fromarray((np.clip(greys / full, 0.0, 1.0) * 255.0).astype(np.uint8))


def _to_srgb(picture: Image.Image, profile: bytes | None) -> Image.Image:
    if picture.mode in {"RGBA", "LA"}:
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture.convert("RGBA")).convert("RGB")
    if profile and picture.mode in {"RGB", "CMYK"} and b"sRGB" not in profile:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            converted = ImageCms.profileToProfile(picture, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
        except (ImageCms.PyCMSError, OSError):
            converted = None  # a broken profile: the numbers are taken as sRGB, as browsers do
        if converted is not None:
            return converted
    return picture.convert("RGB")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
