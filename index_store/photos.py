"""Find photos below a folder, fingerprint them, and open them as upright RGB pixels.

The only importer of Pillow.
"""

from __future__ import annotations

import hashlib
import io
import os
import stat
import struct
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageCms, UnidentifiedImageError

from index_store.errors import PhotoError, PhotoUnreadableError
from index_store.records import PhotoFile, Skipped

if TYPE_CHECKING:
    from index_store.encoders.protocols import PhotoInput, Pixels

PHOTO_SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"})
"""Names that announce a photo: such a file that is none is reported, another is passed over."""

PHOTO_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")
"""The decoders that untrusted files may reach; MPO, a JPEG with more pictures behind the first, is opened as JPEG."""

MAX_PIXELS = 100_000_000
"""Photos of which more pixels would have to be decoded are refused: 100 megapixels are 300 MB as RGB."""

MAX_FILE_BYTES = 1 << 30
"""Files above one GiB are refused unread."""

_MAGIC = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")
_BMP_HEADER_SIZES = frozenset({12, 40, 52, 56, 64, 108, 124})
_SNIFFED_BYTES = 18

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


@dataclass(frozen=True, slots=True)
class OpenedPhoto:
    """A decoded photo: `pixels` as the encoder wants them; `width` and `height` of the upright original."""

    file: PhotoFile
    pixels: Pixels
    width: int
    height: int


@dataclass(slots=True)
class Found:
    """What lies below the searched paths, sorted by path; `unreadable` folders may hide photos that still exist."""

    files: list[PhotoFile] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)


def find_photos(root: str, *, hidden: bool = False) -> Found:
    """Find the photos at or below `root`, an absolute path, by content where the name does not tell.

    Links to files are followed, links to folders are not (a link to itself would have no end). Nothing is raised for
    what cannot be read: it is listed in the result.
    """
    found = Found()
    if os.path.isfile(root):
        _consider(root, found)
    else:
        _search_folder(root, found, hidden)
    found.files.sort(key=lambda photo: photo.image_id)
    return found


def _search_folder(folder: str, found: Found, hidden: bool) -> None:
    waiting = [folder]
    while waiting:
        folder = waiting.pop()
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.name.startswith(".") and not hidden:
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    elif not (entry.is_symlink() and os.path.isdir(entry.path)):
                        _consider(entry.path, found)
        except OSError as error:
            found.unreadable.append(folder)
            found.skipped.append(Skipped(folder, f"cannot be listed: {_os_reason(error)}"))


def _consider(path: str, found: Found) -> None:
    announced = os.path.splitext(path)[1].lower() in PHOTO_SUFFIXES
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            if announced:
                found.skipped.append(Skipped(path, "is not a regular file"))
            return
        if announced or _starts_like_a_photo(path):
            found.files.append(PhotoFile(path, status.st_size, status.st_mtime_ns))
    except OSError as error:
        if announced:
            found.unreadable.append(path)
            found.skipped.append(Skipped(path, _os_reason(error)))


def _starts_like_a_photo(path: str) -> bool:
    with open(path, "rb") as file:
        head = file.read(_SNIFFED_BYTES)
    if head.startswith(_MAGIC) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP"):
        return True
    # "BM" alone would also match texts that begin with "BMW": the size of the second header settles it
    return (
        head[:2] == b"BM" and len(head) == _SNIFFED_BYTES and struct.unpack_from("<I", head, 14)[0] in _BMP_HEADER_SIZES
    )


def hash_file(path: str) -> str:
    """Return the fingerprint of a file's content: BLAKE2b, 128 bits, as hexadecimal digits.

    Raises:
        PhotoUnreadableError: the file cannot be read.
    """
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, _new_digest).hexdigest()
    except OSError as error:
        raise PhotoUnreadableError(_os_reason(error)) from error


def open_photo(path: str, wanted: PhotoInput) -> OpenedPhoto:
    """Read and decode one photo: first frame, upright, in sRGB, transparency over white, resized as wanted.

    The returned `file` has the content hash, so that a file is read once.

    Raises:
        PhotoError: the file cannot be read or decoded, is too large, or changed while it was read.
    """
    file, content = _read(path)
    try:
        with Image.open(io.BytesIO(content), formats=PHOTO_FORMATS) as picture:
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
        raise PhotoUnreadableError(_os_reason(error)) from error
    if len(content) != before.st_size or after.st_mtime_ns != before.st_mtime_ns:
        raise PhotoUnreadableError("changed while it was read; the next run takes it up")
    content_hash = _new_digest(content).hexdigest()
    return PhotoFile(path, before.st_size, before.st_mtime_ns, content_hash), content


def _shrink(picture: Image.Image, wanted: PhotoInput) -> Image.Image:
    whole = picture.width * picture.height
    # JPEG can be decoded at 1/2, 1/4 or 1/8 for a fraction of the time; twice the wanted side keeps what bicubic needs
    picture.draft(None, (2 * wanted.side, 2 * wanted.side))
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


def _new_digest(content: bytes = b"") -> hashlib.blake2b:
    return hashlib.blake2b(content, digest_size=16)


def _os_reason(error: OSError) -> str:
    return (error.strerror or type(error).__name__).lower()


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
