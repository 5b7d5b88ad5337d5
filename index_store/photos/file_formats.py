"""Tell what a file is by its content, where its parts lie, and whether its end is missing.

Names and the first brand of a file are not asked: a JPEG may be called .nef, and AVIF files come under the brand mif1.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

HEAD_BYTES = 4096
"""What `family_of` needs of a file."""

_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_HEVC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"})
_HEIF_BRANDS = _HEVC_BRANDS | {b"mif1", b"msf1", b"mif2", b"miaf", b"jpeg", b"avci", b"vvic", b"j2ki"}
_RAW_HEADS = (
    *(b"FUJIFILMCCD-RAW", b"IIRO", b"IIRS", b"MMOR", b"IIU\x00", b"II\x1a\x00\x00\x00HEAPCCDR", b"\x00MRM", b"FOVb"),
    b"ARECOYK",
)
_HEADS = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"\x00\x00\x00\x0cjP  \r\n\x87\n", "JPEG2000"),
    (b"\xff\x4f\xff\x51", "JPEG2000"),
    (b"\x00\x00\x00\x0cJXL \r\n\x87\n", "JXL"),
    (b"\xff\x0a", "JXL"),
    (b"BM", "BMP"),
)
_TIFF_HEADS = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")
_PNM_HEAD = re.compile(rb"P[1-6fF][\s#]")


def family_of(head: bytes) -> str | None:
    """Return the format that the first `HEAD_BYTES` of a file announce, by Pillow's names, or None for no photo.

    "RAW" is camera RAW of its own kind; RAW inside TIFF is "TIFF" here, and `raw_signs` tells it apart.
    """
    if head.startswith(_RAW_HEADS):
        return "RAW"
    for start, name in _HEADS:
        if head.startswith(start):
            return name
    if head.startswith(_TIFF_HEADS):
        return "TIFF"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head[4:8] == b"ftyp":
        return _family_by_brands(head)
    return "PPM" if _PNM_HEAD.match(head) else None


def _family_by_brands(head: bytes) -> str | None:
    length = min(int.from_bytes(head[:4]), len(head))
    first = head[8:12]
    brands = {head[at : at + 4] for at in range(16, length - 3, 4)} | {first}
    if b"crx " in brands:
        return "RAW"
    if first in _HEVC_BRANDS:
        return "HEIF"
    if brands & _AVIF_BRANDS:
        return "AVIF"
    if not brands & _HEIF_BRANDS:
        return None
    return "AVIF" if not brands & _HEVC_BRANDS and b"av01" in head else "HEIF"


@dataclass(frozen=True, slots=True)
class Directory:
    """A directory of a TIFF file: where its entries lie, and the first number of each tag that holds numbers."""

    entries_at: tuple[int, ...]
    numbers: dict[int, int] = field(default_factory=dict)


_MOST_DIRECTORIES = 64
_MOST_ENTRIES = 1024
_SUB_DIRECTORIES = 330
_NUMBER_FORMATS = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q"}
"""TIFF type -> its form in struct: BYTE, SHORT, LONG, IFD, LONG8."""


def tiff_directories(content: bytes) -> list[Directory]:
    """Return the directories of a TIFF file, those of its pages first and then those inside them; [] where broken."""
    if content[:4] not in _TIFF_HEADS:
        return []
    order = "<" if content[:2] == b"II" else ">"
    big = content[2:4] in (b"+\x00", b"\x00+")
    found, waiting, seen = list[Directory](), [(8, 8) if big else (4, 4)], set[int]()
    inside: list[int] = []
    while (waiting or inside) and len(found) < _MOST_DIRECTORIES:
        try:
            if waiting:
                at, width = waiting.pop()
                offset = struct.unpack_from(order + ("Q" if width == 8 else "I"), content, at)[0]
            else:
                offset = inside.pop(0)
            if offset == 0 or offset in seen:
                continue
            seen.add(offset)
            directory, following, parts = _directory(content, order, offset, big=big)
        except struct.error:
            continue
        found.append(directory)
        inside += parts
        if following:
            waiting.append((following, 8 if big else 4))
    return found


def _directory(content: bytes, order: str, offset: int, *, big: bool) -> tuple[Directory, int, list[int]]:
    """Return a directory, where the offset of the next page is written, and the offsets of those inside it."""
    count = struct.unpack_from(order + ("Q" if big else "H"), content, offset)[0]
    if count > _MOST_ENTRIES:
        raise struct.error("not a directory")
    start, size = (offset + 8, 20) if big else (offset + 2, 12)
    places, numbers, parts = list[int](), dict[int, int](), list[int]()
    for at in range(start, start + count * size, size):
        tag, kind, amount = struct.unpack_from(order + ("HHQ" if big else "HHI"), content, at)
        places.append(at)
        form = _NUMBER_FORMATS.get(kind)
        if form is None or amount == 0:
            numbers.setdefault(tag, 0)
            continue
        room, value_at = (8, at + 12) if big else (4, at + 8)
        if amount * struct.calcsize(form) > room:
            value_at = struct.unpack_from(order + ("Q" if big else "I"), content, value_at)[0]
        taken = min(amount, _MOST_DIRECTORIES) if tag == _SUB_DIRECTORIES else 1
        with_values = struct.unpack_from(f"{order}{taken}{form}", content, value_at)
        numbers[tag] = int(with_values[0])
        if tag == _SUB_DIRECTORIES:
            parts += with_values
    return Directory(tuple(places), numbers), start + count * size, parts


_SUBFILE, _BITS, _COMPRESSION, _PHOTOMETRIC, _MAKE, _DNG_VERSION = 254, 258, 259, 262, 271, 50706
_RAW_PHOTOMETRICS = frozenset({32803, 34892})
"""Colour filter array, and linear RAW (DNG 1.6, chapter 2)."""
_RAW_COMPRESSIONS = frozenset({32767, 32769, 32770, 34713, 65000, 65535})
"""Those of Sony, Epson, Samsung, Nikon, Kodak and Pentax."""


def raw_signs(content: bytes) -> str:
    """Return whether a TIFF is camera RAW: "sure", "maybe" (a maker's file that begins with a thumbnail), or ""."""
    if content[8:10] == b"CR" or content[8:12] in (b"IIII", b"MMMM"):  # Canon's CR2, Phase One's IIQ
        return "sure"
    directories = [directory.numbers for directory in tiff_directories(content)]
    for numbers in directories:
        if numbers.get(_PHOTOMETRIC) in _RAW_PHOTOMETRICS or numbers.get(_COMPRESSION) in _RAW_COMPRESSIONS:
            return "sure"
    if not directories or _MAKE not in directories[0]:
        return ""
    if _DNG_VERSION in directories[0]:
        return "sure"
    return "maybe" if directories[0].get(_SUBFILE, 0) & 1 else ""


def boxes(content: bytes, start: int = 0, end: int | None = None) -> Iterator[tuple[bytes, int, int]]:
    """Yield (kind, start of its content, end) of the boxes of an ISO base media file; the last may end behind `end`."""
    end = len(content) if end is None else end
    while start + 8 <= end:
        length, kind, head = int.from_bytes(content[start : start + 4]), content[start + 4 : start + 8], 8
        if length == 1:
            length, head = int.from_bytes(content[start + 8 : start + 16]), 16
        elif length == 0:
            length = end - start
        if length < head:
            return
        yield kind, start + head, start + length
        start += length


def png_chunks(content: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield (kind, start of the whole chunk, end) of a PNG file; the last may end behind the file."""
    at = 8
    while at + 8 <= len(content):
        length = int.from_bytes(content[at : at + 4])
        yield content[at + 4 : at + 8], at, at + 12 + length
        at += 12 + length


def riff_chunks(content: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield (kind, start of the whole chunk, end) of a RIFF file; the last may end behind the file."""
    at = 12
    while at + 8 <= len(content):
        length = int.from_bytes(content[at + 4 : at + 8], "little")
        yield content[at : at + 4], at, at + 8 + length + length % 2
        at += 8 + length + length % 2


def jpeg_segments(content: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield (marker, start of the whole segment, end) of a JPEG file's segments up to its first scan."""
    at = 2
    while at + 4 <= len(content) and content[at] == 0xFF:
        marker = content[at + 1]
        if marker == 0xFF:  # filling
            at += 1
            continue
        end = at + 2 + int.from_bytes(content[at + 2 : at + 4])
        yield marker, at, end
        if marker == 0xDA:
            return
        at = end


class _Bits:
    """Reads numbers out of bytes, the lowest bit of the first byte first."""

    def __init__(self, content: bytes) -> None:
        self._bits, self._at = int.from_bytes(content, "little"), 0

    def take(self, count: int) -> int:
        value = (self._bits >> self._at) & ((1 << count) - 1)
        self._at += count
        return value

    def size(self) -> int:
        """Read a number in one of the four widths of JPEG XL's sizes, one added."""
        return self.take((9, 13, 18, 30)[self.take(2)]) + 1


_JXL_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))


def jxl_size(content: bytes) -> tuple[int, int, bool]:
    """Return width, height and whether a JPEG XL file is an animation (ISO/IEC 18181-1, annexes A and D)."""
    stream = content[:64]
    if content[:2] != b"\xff\x0a":
        places = ((start + (4 if kind == b"jxlp" else 0)) for kind, start, _ in boxes(content) if kind[:3] == b"jxl")
        stream = next((content[at : at + 64] for at in places if content[at : at + 2] == b"\xff\x0a"), b"")
    bits = _Bits(stream[2:])
    width, height = _jxl_pair(bits)
    animated = False
    if not bits.take(1) and bits.take(1):  # not all of the metadata by default, and more than the usual fields
        bits.take(3)  # orientation
        if bits.take(1):
            _jxl_pair(bits)  # the size that it is meant to be shown in
        animated = not bits.take(1) and bool(bits.take(1))  # no preview, whose header would come between
    return width, height, animated


def _jxl_pair(bits: _Bits) -> tuple[int, int]:
    small = bits.take(1)
    height = 8 * (bits.take(5) + 1) if small else bits.size()
    ratio = bits.take(3)
    if ratio:
        across, down = _JXL_RATIOS[ratio - 1]
        return height * across // down, height
    return (8 * (bits.take(5) + 1) if small else bits.size()), height


def is_cut_short(content: bytes, family: str) -> bool:
    """Return whether the end of a file is missing, as far as its parts say how long they are."""
    match family:
        case "JPEG":
            *_, (_, _, header_end) = [(0, 0, 2), *jpeg_segments(content)]
            return content.find(b"\xff\xd9", header_end) < 0
        case "PNG":
            parts = list(png_chunks(content))
            return not parts or parts[-1][2] > len(content) or parts[-1][0] != b"IEND"
        case "WEBP":
            return int.from_bytes(content[4:8], "little") + 8 > len(content)
        case "HEIF" | "AVIF":
            return any(end > len(content) for _, _, end in boxes(content))
        case "JPEG2000":
            return content.rfind(b"\xff\xd9") < 0
        case "GIF":
            return not content.rstrip(b"\x00").endswith(b";")
        case "BMP":
            return int.from_bytes(content[2:6], "little") > len(content)
        case _:
            return False
