"""Broken metadata costs nothing but itself, and a picture that is cut short is taken as far as it goes."""

from __future__ import annotations

import io
import random
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin

from index_store.errors import PhotoError
from index_store.photos.file_formats import boxes, jpeg_segments, png_chunks, riff_chunks
from index_store.photos.open import open_photo
from index_store.records import PhotoInput
from tests.pictures import difference, exif_of, lying, quadrants, saved

WHOLE = PhotoInput(32)
EXIF = exif_of(None, make="Canon", model="Canon EOS R5", taken="2021:06:14 12:30:00")
ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><r/></x:xmpmeta>'


def opened(tmp_path, content: bytes, name: str):
    (tmp_path / name).write_bytes(content)
    return open_photo(str(tmp_path / name), WHOLE)


def noise(chance: random.Random, length: int) -> bytes:
    return chance.randbytes(length)


def jpeg_blocks(content: bytes) -> list[tuple[int, int]]:
    return [(at + 4, end) for marker, at, end in jpeg_segments(content) if 0xE0 <= marker <= 0xED or marker == 0xFE]


def png_blocks(content: bytes) -> list[tuple[int, int]]:
    kept = {b"IHDR", b"PLTE", b"IDAT", b"IEND"}
    return [(at + 8, end - 4) for kind, at, end in png_chunks(content) if kind not in kept]


def webp_blocks(content: bytes) -> list[tuple[int, int]]:
    return [
        (at + 8, min(end, len(content)))
        for kind, at, end in riff_chunks(content)
        if kind in {b"EXIF", b"ICCP", b"XMP "}
    ]


def tiff_blocks(content: bytes) -> list[tuple[int, int]]:
    with Image.open(io.BytesIO(content)) as picture:
        count = len(picture.tag_v2)
    start = int.from_bytes(content[4:8], "little")
    found = []
    for at in range(start + 2, start + 2 + 12 * count, 12):
        tag, kind, amount, value = struct.unpack_from("<HHLL", content, at)
        if tag in {34675, 700, 34665, 270, 33432}:
            size = amount * {1: 1, 2: 1, 7: 1, 4: 4}[kind]
            found.append((value, value + size) if size > 4 else (at + 2, at + 12))
    return found


def heif_blocks(content: bytes) -> list[tuple[int, int]]:
    """Return where the EXIF block and the profile lie."""
    found = []
    at = content.find(b"colrprof")
    if at > 0:
        found.append((at + 8, at - 4 + int.from_bytes(content[at - 4 : at])))
    block = EXIF.removeprefix(b"Exif\0\0")
    place = content.find(block[:20])
    assert place > 0
    found.append((place, place + len(block)))
    return found


def jpeg_2000_blocks(content: bytes) -> list[tuple[int, int]]:
    return [(start, end) for kind, start, end in boxes(content) if kind in {b"uuid", b"xml "}]


def with_text() -> PngImagePlugin.PngInfo:
    text = PngImagePlugin.PngInfo()
    text.add_text("workflow", "x" * 50)
    text.add_itxt("Title", "a title", zip=True)
    text.add_text("parameters", "y" * 50, zip=True)
    return text


LOSSLESS = {
    "JPEG": (
        "a.jpg",
        jpeg_blocks,
        {"exif": EXIF, "icc_profile": ICC, "xmp": XMP, "comment": b"hello", "dpi": (72, 72)},
    ),
    "PNG": ("a.png", png_blocks, {"exif": EXIF, "icc_profile": ICC, "pnginfo": with_text(), "dpi": (72, 72)}),
    "WEBP": ("a.webp", webp_blocks, {"exif": EXIF, "icc_profile": ICC, "xmp": XMP, "lossless": True}),
    "TIFF": ("a.tif", tiff_blocks, {"exif": EXIF, "icc_profile": ICC}),
    "HEIF": ("a.heic", heif_blocks, {"exif": EXIF, "icc_profile": ICC, "quality": 90}),
    "AVIF": ("a.avif", heif_blocks, {"exif": EXIF, "icc_profile": ICC, "quality": 90}),
}


@pytest.mark.parametrize("family", LOSSLESS)
def test_noise_in_any_block_of_metadata_leaves_the_pixels(tmp_path, family):
    name, blocks_of, options = LOSSLESS[family]
    content = saved(quadrants(), family, **options)
    meant = opened(tmp_path, content, name).pixels
    places = blocks_of(content)
    assert len(places) >= 2, "the file has no metadata to break"
    chance = random.Random(family)
    for number in range(60):
        broken = bytearray(content)
        hit = places if number % 3 == 0 else [places[number % len(places)]]
        for start, end in hit:
            # from a random place in the block on, so that heads that are right with broken rests come up too
            begin = start if number % 2 else chance.randrange(start, end)
            broken[begin:end] = noise(chance, end - begin)
        shown = opened(tmp_path, bytes(broken), name)
        # a profile whose tail alone is noise may still be one, of slightly other colours
        assert np.abs(shown.pixels.astype(int) - meant).mean() < 3, (number, hit)
        assert (shown.width, shown.height) == (96, 64)


@pytest.mark.parametrize(
    "exif",
    [
        b"Exif\0\0MM\x13*\0\0\0\x08\0\0",
        b"Exif\0\0",
        b"Exif\0\0II*\0\xff\xff\xff\xff",
        b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + b"\x12\x01\x03\0\xff\xff\xff\xff" * 40,
        b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x02\0\0\0\x04abc\0\0\0\0\0",
        b"",
    ],
)
@pytest.mark.parametrize(
    ("family", "name"), [("JPEG", "a.jpg"), ("PNG", "a.png"), ("WEBP", "a.webp"), ("AVIF", "a.avif")]
)
def test_an_exif_block_that_is_none_costs_nothing_but_itself(tmp_path, family, name, exif):
    options = {"dpi": (72, 72)} if family == "JPEG" else {"lossless": True} if family == "WEBP" else {}
    placeholder = exif_of(None, make="Canon", model="Canon EOS R5", taken="2021:06:14 12:30:00")
    content = saved(quadrants(), family, exif=placeholder, **options)
    block = placeholder.removeprefix(b"Exif\0\0")
    given = exif.removeprefix(b"Exif\0\0")[: len(block)].ljust(len(block), b"\0")
    assert content.count(block) == 1
    broken = content.replace(block, given)
    if family == "PNG":
        broken = with_checksums(broken)
    shown = opened(tmp_path, broken, name)
    assert difference(shown.pixels) < 8
    assert (shown.taken, shown.camera) == (None, "")


def with_checksums(content: bytes) -> bytes:
    """Return a PNG whose chunks have the checksums that belong to them."""
    parts = [content[:8]]
    for _, at, end in png_chunks(content):
        body = content[at + 4 : end - 4]
        parts.append(content[at : at + 4] + body + struct.pack(">I", zlib.crc32(body)))
    return b"".join(parts)


@pytest.mark.parametrize("kind", ["tEXt", "zTXt", "iTXt"])
def test_a_png_with_two_megabytes_of_text_opens_with_its_orientation(tmp_path, kind):
    text = PngImagePlugin.PngInfo()
    letters = "workflow " * 250_000
    if kind == "iTXt":
        text.add_itxt("workflow", letters, zip=True)
    else:
        text.add_text("workflow", letters, zip=kind == "zTXt")
    shown = opened(tmp_path, saved(lying(6), "PNG", pnginfo=text, exif=exif_of(6)), "a.png")
    assert difference(shown.pixels) < 1
    assert (shown.width, shown.height) == (96, 64)


def test_what_is_broken_is_named_for_those_who_ask(tmp_path):
    content = saved(quadrants(), "JPEG", exif=b"Exif\0\0MM\x13*\0\0\0\x08\0\0", dpi=(72, 72))
    assert opened(tmp_path, content, "a.jpg").faults == "its EXIF cannot be read"
    assert opened(tmp_path, saved(quadrants(), "JPEG"), "b.jpg").faults == ""


def photo(size=(640, 480)) -> Image.Image:
    chance = np.random.default_rng(3)
    numbers = chance.integers(0, 256, (size[1] // 8, size[0] // 8, 3), dtype=np.uint8)
    return Image.fromarray(numbers).resize(size, Image.Resampling.BICUBIC)


CUT = {
    "JPEG": {"quality": 90},
    "JPEG, progressive": {"quality": 90, "progressive": True},
    "PNG": {},
    "BMP": {},
}


@pytest.mark.parametrize("name", CUT)
@pytest.mark.parametrize("share", [0.9, 0.7])
def test_a_picture_without_its_end_is_taken_as_far_as_it_goes(tmp_path, name, share):
    family = name.split(",")[0]
    content = saved(photo(), family, **CUT[name])
    wanted = PhotoInput(64, squash=True)
    path = tmp_path / f"a.{family.lower()}"
    path.write_bytes(content[: int(len(content) * share)])
    shown = open_photo(str(path), wanted)
    assert (shown.width, shown.height) == (640, 480)
    assert shown.note.startswith("is cut short: what is there, ")
    # no row is the grey or black of what is missing
    assert min(np.ptp(row.reshape(-1, 3), axis=0).max() for row in shown.pixels) > 20


@pytest.mark.parametrize("name", ["JPEG", "PNG", "BMP"])
def test_less_than_half_a_picture_is_skipped(tmp_path, name):
    content = saved(photo(), name, **CUT[name])
    with pytest.raises(PhotoError, match="^is cut short$"):
        opened(tmp_path, content[: len(content) // 3], f"a.{name.lower()}")


@pytest.mark.parametrize("tail", [2, 1, 20])
def test_a_jpeg_without_its_last_bytes_is_taken(tmp_path, tail):
    content = saved(photo(), "JPEG", quality=90)
    shown = opened(tmp_path, content[:-tail], "a.jpg")
    assert shown.note == "is cut short: what is there, 99 % of it, was taken"


def test_a_jpeg_that_is_white_below_and_has_lost_its_end_marker_is_taken_whole(tmp_path):
    picture = photo()
    picture.paste("white", (0, 100, 640, 480))
    shown = opened(tmp_path, saved(picture, "JPEG", quality=90)[:-2], "a.jpg")
    assert shown.pixels[-1].min() > 250
    assert "99 %" in shown.note


FAMILIES = {
    "JPEG": "a.jpg",
    "PNG": "a.png",
    "WEBP": "a.webp",
    "GIF": "a.gif",
    "BMP": "a.bmp",
    "TIFF": "a.tif",
    "HEIF": "a.heic",
    "AVIF": "a.avif",
    "JPEG2000": "a.jp2",
    "PPM": "a.ppm",
}


@pytest.mark.parametrize("family", FAMILIES)
def test_reasons_are_in_plain_words_wherever_a_file_is_cut(tmp_path, family):
    content = saved(photo((160, 120)), family)
    chance = random.Random(family)
    damaged = f"is damaged, or a kind of {family} that cannot be read"
    allowed = {"", "is cut short", "is not a photo in a format that can be read", damaged}
    for _ in range(25):
        length = chance.randrange(1, len(content))
        try:
            shown = opened(tmp_path, content[:length], FAMILIES[family])
            outcome = "", shown.width, shown.height
        except PhotoError as error:
            outcome = str(error), 160, 120
        assert outcome[0] in allowed
        assert outcome[1:] == (160, 120)


@pytest.mark.parametrize("family", ["WEBP", "HEIF", "AVIF", "TIFF", "JPEG2000"])
def test_formats_of_which_no_part_can_be_decoded_say_that_they_are_cut(tmp_path, family):
    content = saved(photo((160, 120)), family)
    with pytest.raises(PhotoError, match="^is cut short$"):
        opened(tmp_path, content[: len(content) // 3], FAMILIES[family])
