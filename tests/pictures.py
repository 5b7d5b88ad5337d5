"""The picture that tests of formats show: four quadrants of known colours, upright and in sRGB."""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence

import numpy as np
from PIL import Image

SIZE = (96, 64)
QUADRANTS = ((220, 30, 30), (30, 160, 60), (30, 60, 200), (240, 220, 40))
"""Top left, top right, bottom left, bottom right: red, green, blue, yellow."""

ORIENTED = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""EXIF orientation -> what was done to the upright picture to store it so; EXIF 2.3 tells how it lies."""


def quadrants(colours: Sequence[tuple[int, ...]] = QUADRANTS, size: tuple[int, int] = SIZE) -> Image.Image:
    """Return the picture."""
    width, height = size
    numbers = np.empty((height, width, len(colours[0])), dtype=np.uint8)
    halves = (slice(0, height // 2), slice(height // 2, height)), (slice(0, width // 2), slice(width // 2, width))
    for place, colour in enumerate(colours):
        numbers[halves[0][place // 2], halves[1][place % 2]] = colour
    return Image.fromarray(numbers)


def lying(orientation: int) -> Image.Image:
    """Return the picture as a camera stores it that writes this orientation."""
    operation = ORIENTED[orientation]
    return quadrants() if operation is None else quadrants().transpose(operation)


def exif_of(orientation: int | None = None, **tags: object) -> bytes:
    """Return an EXIF block with an orientation and, by name, make, model and taken."""
    exif = Image.Exif()
    if orientation is not None:
        exif[274] = orientation
    if "make" in tags:
        exif[271] = tags["make"]
    if "model" in tags:
        exif[272] = tags["model"]
    if "taken" in tags:
        exif.get_ifd(34665)[36867] = tags["taken"]
    return exif.tobytes()


def middles(pixels: np.ndarray) -> list[list[int]]:
    """Return the colour in the middle of each quadrant."""
    height, width = pixels.shape[:2]
    return [
        pixels[int(height * y) - 1 : int(height * y) + 2, int(width * x) - 1 : int(width * x) + 2]
        .reshape(-1, 3)
        .mean(axis=0)
        .round()
        .astype(int)
        .tolist()
        for y in (0.25, 0.75)
        for x in (0.25, 0.75)
    ]


def difference(pixels: np.ndarray, colours: Sequence[Sequence[int]] = QUADRANTS) -> float:
    """Return the mean difference of the quadrants' middles to the colours that they should have, of 255."""
    return float(np.abs(np.asarray(middles(pixels), float) - np.asarray(colours, float)).mean())


_BYTE, _ASCII, _SHORT, _LONG, _RATIONAL, _SIGNED = 1, 2, 3, 4, 5, 10
RAW_SIDES = (96, 64)


def dng(picture: Image.Image, orientation: int = 1, taken: str = "", thumbnail: Image.Image | None = None) -> bytes:
    """Return a DNG whose sensor saw a picture, a TIFF with the tags that LibRaw asks for, little-endian.

    With a thumbnail the first directory holds that, uncompressed, and the RAW picture lies in a directory inside it.
    """
    light = (np.asarray(picture.convert("RGB"), dtype=np.float64) / 255) ** 2.2 * 65535
    height, width = light.shape[:2]
    cells = np.empty((height, width), dtype="<u2")
    cells[0::2, 0::2], cells[1::2, 1::2] = light[0::2, 0::2, 0], light[1::2, 1::2, 2]
    cells[0::2, 1::2], cells[1::2, 0::2] = light[0::2, 1::2, 1], light[1::2, 0::2, 1]
    # XYZ of D65 to linear sRGB: the colours of the sensor are those of a screen
    to_camera = (3.2406, -1.5372, -0.4986, -0.9689, 1.8758, 0.0415, 0.0557, -0.2040, 1.0570)
    matrix = b"".join(struct.pack("<2l", round(number * 10_000), 10_000) for number in to_camera)
    names = [(271, _ASCII, 9, b"Hand Ltd\0"), (272, _ASCII, 7, b"Hand 1\0")]
    dated = [(36867, _ASCII, 20, taken.encode() + b"\0")] if taken else []
    about = [
        (274, _SHORT, 1, struct.pack("<H", orientation)),
        (50706, _BYTE, 4, bytes([1, 4, 0, 0])),
        (50708, _ASCII, 7, b"Hand 1\0"),
        (50721, _SIGNED, 9, matrix),
        (50728, _RATIONAL, 3, struct.pack("<6L", 1, 1, 1, 1, 1, 1)),
    ]
    raw = [
        *_strip(width, height, 16, 32803, 1, cells.nbytes, subfile=0),
        (33421, _SHORT, 2, struct.pack("<2H", 2, 2)),
        (33422, _BYTE, 4, bytes([0, 1, 1, 2])),
        (50717, _LONG, 1, struct.pack("<L", 65535)),
    ]
    if thumbnail is None:
        return _tiff([[*raw, *names, *about]], [cells.tobytes()], dated)
    small = thumbnail.convert("RGB").tobytes()
    first = [*_strip(*thumbnail.size, 8, 2, 3, len(small), subfile=1), *names, *about]
    return _tiff([first, raw], [small, cells.tobytes()], dated)


def _strip(
    width: int, height: int, bits: int, photometric: int, samples: int, size: int, subfile: int
) -> list[tuple[int, int, int, bytes]]:
    return [
        (254, _LONG, 1, struct.pack("<L", subfile)),
        (256, _LONG, 1, struct.pack("<L", width)),
        (257, _LONG, 1, struct.pack("<L", height)),
        (258, _SHORT, samples, struct.pack("<H", bits) * samples),
        (259, _SHORT, 1, struct.pack("<H", 1)),
        (262, _SHORT, 1, struct.pack("<H", photometric)),
        (273, _LONG, 1, b"DATA"),
        (277, _SHORT, 1, struct.pack("<H", samples)),
        (278, _LONG, 1, struct.pack("<L", height)),
        (279, _LONG, 1, struct.pack("<L", size)),
    ]


def _tiff(
    directories: list[list[tuple[int, int, int, bytes]]],
    pictures: list[bytes],
    dated: list[tuple[int, int, int, bytes]],
) -> bytes:
    """Lay out a TIFF: the first directory, the others inside it (tag 330), an EXIF directory, values, pictures."""
    first, *inside = directories
    first = [
        *first,
        *([(330, _LONG, len(inside), b"INSIDE")] if inside else []),
        *([(34665, _LONG, 1, b"EXIF")] if dated else []),
    ]
    laid = [sorted(part) for part in (first, *inside, dated) if part]
    places, at = [], 8
    for part in laid:
        places.append(at)
        at += (
            2 + 12 * len(part) + 4 + sum(len(v) + len(v) % 2 for *_, v in part if len(v) > 4 and v not in (b"INSIDE",))
        )
    data_at = []
    for picture in pictures:
        data_at.append(at)
        at += len(picture)
    names = {b"EXIF": places[-1], b"INSIDE": places[1] if len(places) > 1 else 0}
    content = b"II*\0" + struct.pack("<L", 8)
    for number, (part, place) in enumerate(zip(laid, places, strict=True)):
        values, value_at = b"", place + 2 + 12 * len(part) + 4
        content += struct.pack("<H", len(part))
        for tag, kind, count, given in part:
            value = struct.pack("<L", data_at[number]) if given == b"DATA" else given
            value = struct.pack("<L", names[given]) if given in names else value
            if len(value) > 4:
                content += struct.pack("<HHLL", tag, kind, count, value_at)
                values += value + b"\0" * (len(value) % 2)
                value_at += len(value) + len(value) % 2
            else:
                content += struct.pack("<HHL", tag, kind, count) + value.ljust(4, b"\0")
        content += struct.pack("<L", 0) + values
    return content + b"".join(pictures)


def saved(picture: Image.Image, family: str, **options: object) -> bytes:
    """Return a file of a picture by Pillow's name of its format."""
    buffer = io.BytesIO()
    if family == "HEIF":
        import pillow_heif

        pillow_heif.register_heif_opener()
    picture.save(buffer, family, **options)
    return buffer.getvalue()
