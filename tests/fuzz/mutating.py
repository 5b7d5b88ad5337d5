"""Change bytes as a hostile hand would: valid files with a wrong part, and the checksums mended behind it."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable
from random import Random
from typing import Any

from index_store.photos.file_formats import boxes, family_of, jpeg_segments, png_chunks, riff_chunks, tiff_directories

_NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)

HOSTILE: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 2**31, 2**63 - 1, 2**64, -(2**63), 10**400, 1e308, float("nan"), float("inf"), 0.5),
    *("", " ", "x" * 5000, "../../etc/passwd", "/etc/passwd", "/", ".", "-rf", "a\nb", "\x1b[31mred\x1b[0m", "\x9b31m"),
    *("\u202egnp.exe", "[bold]b[/bold]", "[/x]", "\ud800", "\x00", "%s%n", "{0}", "http://127.0.0.1:9/", "caf\u00e9"),
    *([], {}, [[]], [None], {"a": {}}, [1, 2, 3], "[" * 2000, '{"a":' * 2000, "NaN", "Infinity"),
)
"""Values that programs trip over, for any field."""


def bytes_changed(content: bytes, chance: Random, most: int = 8) -> bytes:
    """Return the bytes with up to `most` changes: bits, numbers, runs, pieces left out, doubled, moved, the end cut."""
    changed = bytearray(content)
    for _ in range(chance.randint(1, most)):
        if not changed:
            return bytes(chance.randbytes(chance.randint(0, 32)))
        chance.choice(_CHANGES)(changed, chance)
    return bytes(changed)


def _bit(changed: bytearray, chance: Random) -> None:
    changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)


def _byte(changed: bytearray, chance: Random) -> None:
    changed[chance.randrange(len(changed))] = chance.randrange(256)


def _number(changed: bytearray, chance: Random) -> None:
    form = chance.choice(("<H", ">H", "<I", ">I"))
    size = struct.calcsize(form)
    if len(changed) >= size:
        at = chance.randrange(len(changed) - size + 1)
        struct.pack_into(form, changed, at, chance.choice(_NUMBERS) & (1 << 8 * size) - 1)


def _run(changed: bytearray, chance: Random) -> None:
    start, end = _span(changed, chance)
    changed[start:end] = bytes([chance.choice((0, 0xFF, chance.randrange(256)))]) * (end - start)


def _noise(changed: bytearray, chance: Random) -> None:
    start, end = _span(changed, chance)
    changed[start:end] = chance.randbytes(end - start)


def _left_out(changed: bytearray, chance: Random) -> None:
    start, end = _span(changed, chance)
    del changed[start:end]


def _doubled(changed: bytearray, chance: Random) -> None:
    start, end = _span(changed, chance)
    changed[start:start] = changed[start:end]


def _cut(changed: bytearray, chance: Random) -> None:
    del changed[chance.randrange(len(changed)) :]


_CHANGES: tuple[Callable[[bytearray, Random], None], ...] = (
    *(_bit, _byte, _byte, _number, _number, _number, _run, _noise, _left_out, _doubled, _cut),
)


def _span(changed: bytearray, chance: Random) -> tuple[int, int]:
    start = chance.randrange(len(changed))
    return start, min(len(changed), start + int(2 ** chance.uniform(0, 10)))


# -- photos ----------------------------------------------------------------------------------------------------------


def photo_changed(content: bytes, chance: Random) -> bytes:
    """Return a photo with changed bytes, or a changed part of its container with lengths and checksums mended."""
    pieces = pieces_of(content)
    if pieces is None or chance.random() < 0.4:
        return mended(bytes_changed(content, chance), chance.random() < 0.7)
    for _ in range(chance.randint(1, 3)):
        _change_pieces(pieces, chance)
    return joined(pieces, family_of(content[:64]) or "")


Pieces = list[tuple[bytes, bytes]]
"""Parts of a container, each with its name and what it holds; a part without a name is kept as it is."""


def pieces_of(content: bytes) -> Pieces | None:
    """Take a JPEG, PNG, WebP or HEIF file apart; None for other families, and for what cannot be taken apart."""
    family = family_of(content[:64])
    pieces: Pieces = []
    end = 0
    try:
        match family:
            case "JPEG":
                pieces.append((b"", content[:2]))
                end = 2
                for marker, at, end in jpeg_segments(content):
                    pieces.append((bytes([marker]), content[at + 4 : end]))
            case "PNG":
                pieces.append((b"", content[:8]))
                for kind, at, end in png_chunks(content):
                    body = content[at + 8 : end - 4]
                    pieces.append((kind, _inflated(body) if kind == b"IDAT" else body))
            case "WEBP":
                pieces.append((b"", content[:12]))
                for kind, at, end in riff_chunks(content):
                    pieces.append((kind, content[at + 8 : end]))
            case "HEIF" | "AVIF" | "JPEG2000":
                for kind, at, end in boxes(content):
                    pieces.append((kind, content[at:end]))
            case _:
                return None
    except (ValueError, IndexError, struct.error):
        return None
    return [*pieces, (b"", content[end:])]


def _inflated(body: bytes) -> bytes:
    try:
        return b"\0inflated" + zlib.decompress(body)
    except zlib.error:  # one of several chunks of one stream
        return body


def joined(pieces: Pieces, family: str) -> bytes:
    """Put a container together again, with the lengths and checksums that its parts need."""
    return b"".join(_part(name, body, family) for name, body in pieces)


def _part(name: bytes, body: bytes, family: str) -> bytes:
    if not name:
        return body
    if family == "JPEG":
        return b"\xff" + name + (min(len(body) + 2, 0xFFFF)).to_bytes(2) + body
    if family == "PNG":
        if body.startswith(b"\0inflated"):
            body = zlib.compress(body[9:], 1)
        return len(body).to_bytes(4) + name + body + zlib.crc32(name + body).to_bytes(4)
    if family == "WEBP":
        return name + len(body).to_bytes(4, "little") + body
    return (len(body) + 8).to_bytes(4) + name + body


def _change_pieces(pieces: Pieces, chance: Random) -> None:
    named = [place for place, (name, _) in enumerate(pieces) if name]
    if not named:
        return
    place = chance.choice(named)
    name, body = pieces[place]
    match chance.randrange(7):
        case 0 | 1 | 2:
            pieces[place] = (name, bytes_changed(body, chance, 4))
        case 3:
            pieces[place] = (name, chance.randbytes(len(body)))
        case 4:
            del pieces[place]
        case 5:
            pieces.insert(chance.choice(named), (name, body))
        case 6:
            pieces[place] = (bytes_changed(name, chance, 1)[: len(name)].ljust(len(name), b"x"), body)


def mended(content: bytes, wanted: bool) -> bytes:
    """Return a PNG with right checksums, so that a decoder reads on behind a changed byte; others as they are."""
    if not wanted or family_of(content[:64]) != "PNG":
        return content
    parts, at = [content[:8]], 8
    while at + 12 <= len(content):
        length = int.from_bytes(content[at : at + 4])
        end = at + 8 + length
        if end + 4 > len(content):
            break
        parts += [content[at:end], zlib.crc32(content[at + 4 : end]).to_bytes(4)]
        at = end + 4
    return b"".join(parts) + content[at:]


_METADATA_CHUNKS = (b"tEXt", b"zTXt", b"iTXt", b"eXIf", b"iCCP", b"tIME", b"pHYs", b"gAMA", b"cHRM")


def metadata_replaced(content: bytes, chance: Random) -> bytes | None:
    """Return a photo with each of its metadata blocks replaced by noise, or a block of noise put in; else None."""
    family = family_of(content[:64])
    if family == "TIFF":
        return _tiff_noise(content, chance)
    pieces = pieces_of(content) if family in {"JPEG", "PNG", "WEBP"} else None
    if pieces is None:
        return None
    noise = chance.randbytes(chance.choice((0, 1, 2, 6, 16, 200, 4000)))
    put_in = {
        "JPEG": [
            (b"\xe1", b"Exif\0\0" + noise),
            (b"\xe1", noise),
            (b"\xed", b"Photoshop 3.0\0" + noise),
            (b"\xfe", noise),
        ],
        "PNG": [(kind, noise) for kind in _METADATA_CHUNKS],
        "WEBP": [(b"EXIF", noise + b"\0" * (len(noise) % 2)), (b"XMP ", noise + b"\0" * (len(noise) % 2))],
    }[family or ""]
    old = {b"\xe1", b"\xed", b"\xfe", *_METADATA_CHUNKS, b"EXIF", b"XMP "}
    first = next(place for place, (name, _) in enumerate(pieces) if name)
    at = len(pieces) - 1 if family == "WEBP" else first + 1
    kept = [piece for piece in pieces[:at] if piece[0] not in old]
    return joined([*kept, chance.choice(put_in), *(p for p in pieces[at:] if p[0] not in old)], family or "")


def _tiff_noise(content: bytes, chance: Random) -> bytes | None:
    """Replace a tag that is not about pixels, by one of its kind with a wrong type, count or place."""
    order = "<" if content[:2] == b"II" else ">"
    if content[2:4] not in (b"*\0", b"\0*"):
        return None
    changed = bytearray(content)
    places = [
        at
        for directory in tiff_directories(content)
        for at in directory.entries_at
        if struct.unpack_from(order + "H", content, at)[0] in {270, 271, 272, 282, 283, 296, 305, 306, 315, 700, 34665}
    ]
    if not places:
        return None
    at = chance.choice(places)
    struct.pack_into(
        order + "HII", changed, at + 2, chance.randrange(20), chance.choice(_NUMBERS), chance.choice(_NUMBERS)
    )
    return bytes(changed)


# -- JSON ------------------------------------------------------------------------------------------------------------


def json_changed(value: Any, chance: Random) -> Any:
    """Return a value of JSON in which one place holds a hostile value, is left out, or is somewhere else."""
    copy = json.loads(json.dumps(value))
    places = list(_places(copy))
    if not places:
        return chance.choice(HOSTILE)
    # the outer places come first: a long list inside is one of them, whatever its length
    holder, key = chance.choice(places[: int(len(places) ** chance.random()) + 1])
    match chance.randrange(5):
        case 0:
            del holder[key]
        case 1 if isinstance(holder, list):
            holder.insert(key, chance.choice(HOSTILE))
        case _:
            holder[key] = chance.choice(HOSTILE)
    return copy


def json_bytes(value: Any, chance: Random) -> bytes:
    """Return changed JSON as bytes; now and then the bytes themselves are changed too."""
    text = json.dumps(json_changed(value, chance)).encode("utf-8", "surrogatepass")
    return bytes_changed(text, chance, 2) if chance.random() < 0.2 else text


def _places(value: Any) -> list[tuple[Any, Any]]:
    found: list[tuple[Any, Any]] = []
    waiting = [value]
    while waiting:
        holder = waiting.pop(0)
        pairs = holder.items() if isinstance(holder, dict) else enumerate(holder) if isinstance(holder, list) else ()
        for key, inner in pairs:
            found.append((holder, key))
            waiting.append(inner)
    return found
