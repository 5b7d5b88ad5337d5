"""Read what a file says about its picture, each part by itself, so that a broken one costs nothing but itself."""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import TypeVar

from PIL import Image

from index_store.photos.colour import Colours
from index_store.photos.file_formats import boxes, jpeg_segments, png_chunks, riff_chunks, tiff_directories

_MAKE, _MODEL, _ORIENTATION, _EXIF_DIRECTORY, _TAKEN = 271, 272, 274, 34665, 36867
_MOST_CAMERA_LETTERS = 80
_FIRST_PHOTO = 1826
_EXIF_HEAD = 14
"""The bytes before the first directory of an EXIF block."""
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

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Metadata:
    """What a file says about its picture; `faults` names the parts that are broken and count as absent."""

    orientation: int = 1
    taken: str | None = None
    camera: str = ""
    colours: Colours = field(default_factory=Colours)
    faults: tuple[str, ...] = ()

    @property
    def sideways(self) -> bool:
        """Whether width and height change places when the picture is turned upright."""
        return self.orientation in {5, 6, 7, 8}

    def turn(self, picture: Image.Image) -> Image.Image:
        """Return the picture upright."""
        return picture.transpose(_UPRIGHT[self.orientation]) if self.orientation in _UPRIGHT else picture


def read_metadata(picture: Image.Image, content: bytes, family: str) -> Metadata:
    """Read the metadata of a picture that has been loaded: then Pillow has dropped an orientation that it applied."""
    faults: list[str] = []

    def read(part: str, reader: Callable[[], _T], absent: _T) -> _T:
        try:
            return reader()
        except Exception:  # readers of untrusted blocks raise nearly everything; all of it means "not there"
            faults.append(part)
            return absent

    exif = read("EXIF", picture.getexif, Image.Exif())
    turned_already = family in {"HEIF", "JXL"} and not getattr(picture, "jpeg", False)
    orientation = 1 if turned_already else read("orientation", lambda: int(exif.get(_ORIENTATION, 1)), 1)
    block = content if family == "TIFF" else picture.info.get("exif") or b""
    taken = read("date", lambda: day_and_time(block), None) if len(block) > _EXIF_HEAD else None
    camera = read("camera", lambda: maker_and_model(exif), "")
    colours = read("colours", lambda: _colours(picture, content, family), Colours())
    return Metadata(orientation, taken, camera, colours, tuple(faults))


def raw_exif(content: bytes) -> Image.Exif:
    """Return the EXIF data of a camera RAW file that is a TIFF inside, whatever its maker wrote into its head."""
    exif = Image.Exif()
    if content[:2] in (b"II", b"MM"):
        number = b"*\x00" if content[:2] == b"II" else b"\x00*"
        exif.load_from_fp(io.BytesIO(content[:2] + number + content[4:]))
    return exif


def day_and_time(block: bytes) -> str | None:
    """Return when a photo was taken by a block of EXIF, or a whole TIFF, in ISO 8601 without a time zone.

    Only the day where there is no time; None where nothing is said, or what is no date. The one tag is looked up here,
    since Pillow reads all of them, which takes longer than to find out all else about an ordinary photo.
    """
    block = block.removeprefix(b"Exif\x00\x00")
    order = {b"II": "<", b"MM": ">"}.get(block[:2])
    if order is None or block[2:4] in (b"+\x00", b"\x00+"):  # a TIFF of more than 4 GB has other offsets
        return None
    first = struct.unpack_from(order + "I", block, 4)[0]
    at = _entry(block, order, first, _EXIF_DIRECTORY)
    if at is None:
        return None
    at = _entry(block, order, struct.unpack_from(order + "I", block, at + 8)[0], _TAKEN)
    if at is None:
        return None
    count, value_at = struct.unpack_from(order + "II", block, at + 4)
    match = _DAY_AND_TIME.match(block[value_at : value_at + min(count, 40)])
    return _iso(*map(int, match.groups(b"-1"))) if match else None


def _entry(block: bytes, order: str, directory: int, tag: int) -> int | None:
    """Return where the entry of a tag lies in a directory of a TIFF, or None."""
    count = struct.unpack_from(order + "H", block, directory)[0]
    for at in range(directory + 2, directory + 2 + 12 * min(count, 512), 12):
        if struct.unpack_from(order + "H", block, at)[0] == tag:
            return at
    return None


_DAY_AND_TIME = re.compile(rb"\s*(\d{4})[:/-](\d\d)[:/-](\d\d)(?![:\d])(?:[ T]+([01]\d|2[0-3]):([0-5]\d):([0-5]\d))?")
"""As EXIF writes it, and as some programs do."""


def _iso(year: int, month: int, day: int, hour: int, minute: int, second: int) -> str | None:
    try:
        if year < _FIRST_PHOTO:
            return None
        if hour < 0:
            return date(year, month, day).isoformat()
        return datetime(year, month, day, hour, minute, second).isoformat()
    except ValueError:
        return None


def maker_and_model(exif: Image.Exif) -> str:
    """Return make and model in one line of at most 80 printable characters, the make once; "" where unknown."""
    make, model = (_printable(exif.get(tag)) for tag in (_MAKE, _MODEL))
    first = make.split(" ")[0].casefold()
    if not first or model.casefold().split(" ")[0] == first:
        return model[:_MOST_CAMERA_LETTERS].rstrip()
    return f"{make} {model}".strip()[:_MOST_CAMERA_LETTERS].rstrip()


def _printable(value: object) -> str:
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value or "")
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def _colours(picture: Image.Image, content: bytes, family: str) -> Colours:
    info = picture.info
    profile = info.get("icc_profile") or None
    if profile:
        return Colours(profile=bytes(profile))
    if family in {"AVIF", "HEIF"} and (points := _heif_code_points(content)):
        return Colours(primaries=points[0], transfer=points[1])
    if family == "PNG":
        for kind, start, _ in png_chunks(content):
            if kind == b"cICP":
                return Colours(primaries=content[start + 8], transfer=content[start + 9])
            if kind == b"IDAT":
                break
        if "gamma" in info and "srgb" not in info:
            return Colours(gamma=float(info["gamma"]))
    return Colours()


def _heif_code_points(content: bytes) -> tuple[int, int] | None:
    """Return the primaries and the transfer of the main picture of a HEIF or AVIF file, where they are written."""
    meta = _box(content, b"meta", 0, len(content))
    if meta is None:
        return None
    inner = (meta[0] + 4, meta[1])
    main = _main_item(content, inner)
    properties = _box(content, b"iprp", *inner)
    if main is None or properties is None:
        return None
    listed = _box(content, b"ipco", *properties)
    described = list(boxes(content, *listed)) if listed else []
    for kind, start, end in boxes(content, *properties):
        if kind == b"ipma":
            for index in _properties_of(content[start:end], main):
                name, at, _ = described[index - 1] if 0 < index <= len(described) else (b"", 0, 0)
                if name == b"colr" and content[at : at + 4] == b"nclx":
                    primaries, transfer = struct.unpack_from(">HH", content, at + 4)
                    return primaries, transfer
    return None


def _box(content: bytes, kind: bytes, start: int, end: int) -> tuple[int, int] | None:
    return next(((at, till) for name, at, till in boxes(content, start, end) if name == kind), None)


def _main_item(content: bytes, meta: tuple[int, int]) -> int | None:
    place = _box(content, b"pitm", *meta)
    if place is None:
        return None
    return int.from_bytes(content[place[0] + 4 : place[0] + (6 if content[place[0]] == 0 else 8)])


def _properties_of(table: bytes, item: int) -> list[int]:
    """Return the numbers, from 1, of the properties of an item, out of the content of a box `ipma`."""
    version, wide = table[0], table[3] & 1
    count, at = struct.unpack_from(">I", table, 4)[0], 8
    for _ in range(count):
        number = struct.unpack_from(">H" if version < 1 else ">I", table, at)[0]
        at += 2 if version < 1 else 4
        amount, at = table[at], at + 1
        found = [
            int.from_bytes(table[place : place + 1 + wide]) for place in range(at, at + amount * (1 + wide), 1 + wide)
        ]
        at += amount * (1 + wide)
        if number == item:
            return [value & (0x7FFF if wide else 0x7F) for value in found]
    return []


def without_metadata(content: bytes, family: str, *, keep_needed: bool) -> bytes | None:
    """Return a file with its picture and without its metadata, or None where nothing can be taken away.

    With `keep_needed`, orientation and profile stay, which say how the picture is to be shown.
    """
    match family:
        case "JPEG":
            return _bare_jpeg(content, keep_needed=keep_needed)
        case "PNG":
            kept = _PNG_PICTURE_CHUNKS | (_PNG_NEEDED_CHUNKS if keep_needed else set())
            parts = (
                (kind in kept or not kind.isalpha() or kind[:1].isupper(), at, end)
                for kind, at, end in png_chunks(content)
            )
            return content[:8] + b"".join(content[at:end] for keep, at, end in parts if keep)
        case "WEBP":
            left = {b"XMP "} | (set() if keep_needed else {b"EXIF", b"ICCP"})
            body = b"".join(content[at:end] for kind, at, end in riff_chunks(content) if kind not in left)
            return b"RIFF" + (4 + len(body)).to_bytes(4, "little") + b"WEBP" + body
        case "TIFF":
            return _bare_tiff(content, keep_needed=keep_needed)
        case "AVIF" | "HEIF":
            return _bare_heif(content)
        case "JPEG2000":
            stream = next((content[at:end] for kind, at, end in boxes(content) if kind == b"jp2c"), None)
            return None if keep_needed or content[:4] == b"\xff\x4f\xff\x51" else stream
        case _:
            return None


_PNG_PICTURE_CHUNKS = frozenset({b"tRNS", b"acTL", b"fcTL", b"fdAT"})
"""Chunks that may be left out by their names, but without which the picture is another."""
_PNG_NEEDED_CHUNKS = frozenset({b"eXIf", b"iCCP", b"sRGB", b"cICP", b"gAMA"})


def _bare_jpeg(content: bytes, *, keep_needed: bool) -> bytes:
    parts, end = [content[:2]], 2
    for marker, at, end in jpeg_segments(content):
        start = content[at + 4 : at + 16]
        application = 0xE0 <= marker <= 0xEF or marker == 0xFE
        needed = marker == 0xEE or (keep_needed and start.startswith((b"Exif\x00\x00", b"ICC_PROFILE\x00", b"JFIF")))
        if not application or needed:
            parts.append(content[at:end])
    return b"".join(parts) + content[end:]


def _bare_heif(content: bytes) -> bytes | None:
    """Return the file with its EXIF and XMP items renamed to a kind that nobody knows, which is passed over."""
    meta = _box(content, b"meta", 0, len(content))
    table = _box(content, b"iinf", meta[0] + 4, meta[1]) if meta else None
    if table is None:
        return None
    bare = bytearray(content)
    for kind, start, _ in boxes(content, table[0] + (6 if content[table[0]] == 0 else 8), table[1]):
        at = start + (8 if content[start] < 3 else 10)
        if kind == b"infe" and content[at : at + 4] in (b"Exif", b"mime"):
            bare[at : at + 4] = b"skip"
    return bytes(bare)


_TIFF_PICTURE_TAGS = frozenset(
    (
        *(254, 255, 256, 257, 258, 259, 262, 263, 266, 273, 277, 278, 279, 280, 281, 284, 288, 289, 290, 291, 292, 293),
        *(317, 318, 319, 320, 321, 322, 323, 324, 325, 332, 334, 336, 338, 339, 340, 341, 347),
        *(512, 513, 514, 515, 517, 518, 519, 520, 521, 529, 530, 531, 532),
    )
)
"""The tags of TIFF 6.0 without which its pixels cannot be read."""


def _bare_tiff(content: bytes, *, keep_needed: bool) -> bytes | None:
    """Return the TIFF with every entry made empty that is not about its pixels; the places stay."""
    directories = tiff_directories(content)
    if not directories:
        return None
    order, big = ("<" if content[:2] == b"II" else ">"), content[2:4] in (b"+\x00", b"\x00+")
    bare, kept = bytearray(content), _TIFF_PICTURE_TAGS | ({_ORIENTATION, 34675} if keep_needed else set())
    for directory in directories:
        for at in directory.entries_at:
            if struct.unpack_from(order + "H", content, at)[0] not in kept:
                # tag 65000 and up are anybody's; type BYTE, one of them, value 0
                struct.pack_into(order + ("HHQQ" if big else "HHII"), bare, at, 65000, 1, 1, 0)
    return bytes(bare)
