"""Open photos as upright sRGB pixels of the size that an encoder wants."""

from __future__ import annotations

import io
import threading
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageFile

from index_store.errors import PhotoError
from index_store.photos.colour import smooth_mode, to_srgb
from index_store.photos.file_formats import HEAD_BYTES, family_of, is_cut_short, jxl_size, raw_signs
from index_store.photos.frames import count_of, further, has_unseen_track, is_absent, is_preview
from index_store.photos.metadata import (
    Metadata,
    day_and_time,
    maker_and_model,
    raw_exif,
    read_metadata,
    without_metadata,
)
from index_store.photos.raw import NotRawError, develop
from index_store.photos.read import named_like_raw, read_photo_file
from index_store.records import OpenedPhoto

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from index_store.records import PhotoInput

    Pixels = NDArray[np.uint8]
    _Forms = tuple[Pixels, ...]
    """A picture as the encoder wants it and, where a second tower looks too, as that one does."""

MAX_PIXELS = 100_000_000
"""Photos of which more pixels would have to be decoded are refused: 100 megapixels are 300 MB as RGB."""

LEAST_SHARE = 0.5
"""A picture that is cut short is taken from this share of its rows upwards."""

MOST_ELONGATED = 32
"""Of a strip longer than 32 : 1 the middle is taken, where the aspect ratio is kept; that moves it by half a pixel."""

CUT_SHORT = "is cut short"

Image.MAX_IMAGE_PIXELS = None  # replaced by MAX_PIXELS, which looks at what would really be decoded
warnings.filterwarnings("ignore", module=r"PIL\.")  # broken EXIF blocks and the like: the picture is what counts
_setting_pillow = threading.Lock()


@dataclass(frozen=True, slots=True)
class _Seen:
    """What was decoded of a file: see `OpenedPhoto`."""

    forms: _Forms
    width: int
    height: int
    metadata: Metadata
    frames: tuple[_Forms, ...] = ()
    unseen: bool = False
    share: float = 1.0


def open_photo(path: str, wanted: PhotoInput) -> OpenedPhoto:
    """Read and decode one photo: upright, in sRGB, transparency over white, resized as wanted, with further frames.

    The returned `file` has the content hash, so that a file is read once.

    Raises:
        PhotoError: the file cannot be read or decoded, is too large, or changed while it was read.
    """
    file, content = read_photo_file(path)
    try:
        seen = _see_any(path, content, wanted)
    except MemoryError as error:
        raise PhotoError("needs more memory than a decoder may have") from error
    note = "" if seen.share == 1.0 else f"{CUT_SHORT}: what is there, {int(100 * seen.share)} % of it, was taken"
    faults = f"its {', '.join(seen.metadata.faults)} cannot be read" if seen.metadata.faults else ""
    about = seen.metadata.taken, seen.metadata.camera
    first, *second = zip(seen.forms, *seen.frames, strict=True)
    return OpenedPhoto(
        file,
        first[0],
        seen.width,
        seen.height,
        *about,
        frames=first[1:],
        unseen=seen.unseen,
        note=note,
        faults=faults,
        second_form=second[0] if second else (),
    )


def to_picture(pixels: Pixels) -> Image.Image:
    """Return pixels of shape (height, width, 3), RGB, as a picture of Pillow, which some encoders take only."""
    return Image.fromarray(pixels)


def _see_any(path: str, content: bytes, wanted: PhotoInput) -> _Seen:
    """Decode by content; the name counts only where the content leaves open whether it is camera RAW."""
    family = family_of(content[:HEAD_BYTES])
    if family in {"RAW", None}:
        return _see_raw(content, wanted)
    if family == "TIFF":
        signs = raw_signs(content)
        if signs == "sure":
            return _see_raw(content, wanted)
        if signs == "maybe" or named_like_raw(path):
            return _see_raw_or_tiff(content, wanted)
    return _see(content, family or "", wanted)


def _see_raw_or_tiff(content: bytes, wanted: PhotoInput) -> _Seen:
    try:
        return _see_raw(content, wanted)
    except NotRawError as not_raw:  # a TIFF that begins with a small copy of its picture, or has a camera's name
        try:
            return _see(content, "TIFF", wanted)
        except PhotoError:
            raise not_raw from None


def _see_raw(content: bytes, wanted: PhotoInput) -> _Seen:
    developed = develop(content, wanted.longest, MAX_PIXELS)
    family = "PPM" if developed.picture.startswith(b"P6") else "JPEG"
    seen = _see(developed.picture, family, wanted, orientation=developed.orientation)
    metadata = seen.metadata
    try:
        exif = raw_exif(content)
        about = day_and_time(content) or metadata.taken, maker_and_model(exif) or metadata.camera
        metadata = replace(metadata, taken=about[0], camera=about[1])
    except Exception:  # what the preview says is taken then
        metadata = replace(metadata, faults=(*metadata.faults, "EXIF"))
    return replace(seen, width=developed.width, height=developed.height, metadata=metadata)


def _see(content: bytes, family: str, wanted: PhotoInput, orientation: int | None = None) -> _Seen:
    """Decode a file; where that fails, without its metadata; where that fails too, what there is of it.

    Raises:
        PhotoError: not even half of the picture can be decoded, or it is too large.
    """
    try:
        return _look(content, family, wanted, orientation)
    except (PhotoError, MemoryError):
        raise
    except Exception as error:  # decoders of untrusted files raise nearly everything; all of it means "a bad photo"
        first = error
    for keep_needed in (True, False):
        try:
            bare = without_metadata(content, family, keep_needed=keep_needed)
            seen = None if bare is None or bare == content else _look(bare, family, wanted, orientation)
        except (PhotoError, MemoryError):
            raise
        except Exception:  # then it is not the metadata
            continue
        if seen is not None:
            return replace(seen, metadata=replace(seen.metadata, faults=("metadata",)))
    try:
        return _look(content, family, wanted, orientation, broken=True)
    except (PhotoError, MemoryError):
        raise
    except Exception:
        raise PhotoError(_reason(first, content, family)) from first


def _reason(error: Exception, content: bytes, family: str) -> str:
    """Say in our own words why nothing can be decoded; those of the libraries speak of bytes and codes."""
    if is_cut_short(content, family) or "truncated" in str(error).lower():
        return CUT_SHORT
    return f"is damaged, or a kind of {family} that cannot be read"


def _look(
    content: bytes, family: str, wanted: PhotoInput, orientation: int | None = None, *, broken: bool = False
) -> _Seen:
    """Decode a file; with `broken`, take what there is of the first picture."""
    with _open(content + b"\xff\xd9" if broken and family == "JPEG" else content, family) as picture:
        size = picture.size
        whole, share = _load_what_is_there(picture, family, wanted) if broken else (_load(picture, wanted), 1.0)
        if family != "JPEG":  # Pillow has turned a TIFF by now; a JPEG may have been loaded at a smaller scale
            size = picture.size
        metadata = read_metadata(picture, content, family)
        if orientation is not None:
            metadata = replace(metadata, orientation=orientation)
        forms = _forms(whole, metadata, wanted)
        width, height = size[::-1] if metadata.sideways else size
        if broken:
            return _Seen(forms, width, height, metadata, (), count_of(picture) > 1, share)
        frames, unseen = _further(picture, content, family, wanted, forms, metadata)
    return _Seen(forms, width, height, metadata, frames, unseen)


def _open(content: bytes, family: str) -> Image.Image:
    if family == "HEIF":
        import pillow_heif  # late: 20 MB of codecs that most folders do not need

        pillow_heif.register_heif_opener(thumbnails=False)
    if family == "AVIF" and content[8:12] not in (b"avif", b"avis"):
        content = content[:8] + b"avif" + content[12:]  # Pillow asks for the first brand
    if family == "JXL":
        _check_size(*jxl_size(content)[:2])  # the plugin decodes at once
        try:
            import pillow_jxl  # noqa: F401  late: an extra, which registers itself
        except ImportError as error:
            raise PhotoError("is a JPEG XL file; to read it, pip install 'imgsearch-cli[jxl]'") from error
    return Image.open(io.BytesIO(content), formats=(family,))


def _load(picture: Image.Image, wanted: PhotoInput) -> Image.Image:
    """Decode the frame that is open, a JPEG at the smallest scale that holds the wanted side."""
    whole = picture.size
    # JPEG can be decoded at 1/2, 1/4 or 1/8 without its high frequencies in a fraction of the time; bicubic has less
    # to shrink then, and photos are found as before (docs/scaling.md)
    picture.draft(None, (wanted.longest, wanted.longest))
    progressive = bool(picture.info.get("progressive") or picture.info.get("progression"))
    # a progressive JPEG keeps all coefficients of the whole picture in memory, whatever the scale
    _check_size(*(whole if progressive else picture.size), whole)
    picture.load()
    return picture


def _check_size(width: int, height: int, whole: tuple[int, int] | None = None) -> None:
    if width * height > MAX_PIXELS:
        across, down = whole or (width, height)
        megapixels = f"{across * down / 1e6:.0f} megapixels"
        raise PhotoError(f"has {megapixels}, more than the {MAX_PIXELS / 1e6:.0f} that are decoded")


def _load_what_is_there(picture: Image.Image, family: str, wanted: PhotoInput) -> tuple[Image.Image, float]:
    """Decode what there is of a broken picture; return the rows that are there, and their share of all.

    Raises:
        PhotoError: it is less than half.
    """
    with _setting_pillow:  # Pillow has one switch for the whole process
        ImageFile.LOAD_TRUNCATED_IMAGES = True
        try:
            _load(picture, wanted)
        finally:
            ImageFile.LOAD_TRUNCATED_IMAGES = False
    numbers = np.asarray(picture)
    # decoders leave rows that are missing as they found them: Pillow's are zeros, libjpeg's a medium grey
    missing = 128 if family == "JPEG" else 0
    there = np.flatnonzero((numbers != missing).reshape(len(numbers), -1).any(axis=1))
    if there.size < LEAST_SHARE * len(numbers):
        raise PhotoError(CUT_SHORT)
    first, last = int(there[0]), int(there[-1]) + 1
    return picture.crop((0, first, picture.width, last)), min((last - first) / len(numbers), 0.99)


def _forms(picture: Image.Image, metadata: Metadata, wanted: PhotoInput) -> _Forms:
    # turned before it is resized, since rounding goes first across and then down
    upright = metadata.turn(smooth_mode(picture))
    inputs = (wanted,) if wanted.second is None else (wanted, wanted.second)
    return tuple(_pixels(upright, metadata, each) for each in inputs)


def _pixels(upright: Image.Image, metadata: Metadata, wanted: PhotoInput) -> Pixels:
    part = _middle(*upright.size, wanted)
    size = _target_size(part[2] - part[0], part[3] - part[1], wanted)
    small = upright.resize(size, Image.Resampling.BICUBIC, part, reducing_gap=3.0)
    return np.asarray(to_srgb(small, metadata.colours), dtype=np.uint8)


def _middle(width: int, height: int, wanted: PhotoInput) -> tuple[float, float, float, float]:
    """Return the part of a photo that is taken, as a box: all of it, but of a strip the middle.

    Where the aspect ratio is kept, a strip of 1 x 30,000 pixels would be enlarged to gigabytes; an encoder that keeps
    the ratio cuts its square out of the middle.
    """
    if wanted.squash or wanted.for_people:
        return 0, 0, width, height
    across, down = (max(0.0, (side - MOST_ELONGATED * min(width, height)) / 2) for side in (width, height))
    return across, down, width - across, height - down


def _target_size(width: float, height: float, wanted: PhotoInput) -> tuple[int, int]:
    if wanted.for_people:
        scale = min(1.0, wanted.side / max(width, height))
        return max(1, round(width * scale)), max(1, round(height * scale))
    if wanted.squash:
        return wanted.side, wanted.side
    # the longer side is rounded down, as CLIP's processor does: else 4 : 3 photos would be stretched by a pixel
    width, height = (int(wanted.side * side / min(width, height)) for side in (width, height))
    return width, height


def _further(
    picture: Image.Image, content: bytes, family: str, wanted: PhotoInput, first: _Forms, metadata: Metadata
) -> tuple[tuple[_Forms, ...], bool]:
    """Return the further frames that differ from the first, and whether there are some that cannot be looked at."""
    unseen = has_unseen_track(content, family, count_of(picture)) or (family == "JXL" and jxl_size(content)[2])
    if count_of(picture) == 1 or wanted.for_people:
        return (), unseen
    frames = [first]
    with _pixels_limited():
        for place in further(picture, family):
            try:
                if place is None:
                    unseen = True
                    break
                picture.seek(place)
                if is_preview(picture, family):
                    continue
                forms = _frame(picture, content, family, wanted, metadata)
            except Exception:  # decoders raise nearly everything: this frame has not been looked at
                unseen = unseen or not is_absent(picture, family, content)
                continue
            if not any(np.array_equal(forms[0], frame[0]) for frame in frames):
                frames.append(forms)
    return tuple(frames[1:]), unseen


def _frame(picture: Image.Image, content: bytes, family: str, wanted: PhotoInput, first: Metadata) -> _Forms:
    """Decode the frame that is open as the first one was."""
    if family == "JPEG":
        picture.decoderconfig = ()  # type: ignore[attr-defined]  # else the scale of the first frame stays
    _load(picture, wanted)
    own = read_metadata(picture, content, family) if family in {"JPEG", "TIFF"} else first
    turned = own if own.orientation != 1 else replace(own, orientation=first.orientation)
    return _forms(picture, turned, wanted)


@contextmanager
def _pixels_limited() -> Generator[None, None, None]:
    """Make Pillow itself refuse what is too large: a frame of an animation may be larger than the animation."""
    with _setting_pillow:
        Image.MAX_IMAGE_PIXELS = MAX_PIXELS // 2  # an error from twice as many on
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = None
