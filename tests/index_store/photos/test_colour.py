"""Colours as a viewer shows them: the four quadrants come out in the colours that they were painted in."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from index_store.photos.colour import SDR_WHITE_NITS, Colours, to_srgb
from index_store.photos.open import open_photo
from index_store.records import PhotoInput
from tests.pictures import QUADRANTS, difference, middles, quadrants, saved

SQUASHED = PhotoInput(32)
GREYS = (0, 64, 160, 255)
GREY_QUADRANTS = tuple((grey,) * 3 for grey in GREYS)


def open_bytes(tmp_path, content: bytes, name: str):
    (tmp_path / name).write_bytes(content)
    return open_photo(str(tmp_path / name), SQUASHED).pixels


def to_light(numbers: np.ndarray) -> np.ndarray:
    """Return linear light, 0 to 1, of sRGB numbers, 0 to 255 (IEC 61966-2-1)."""
    share = numbers / 255.0
    return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)


def profile(space: bytes, primaries: tuple[tuple[float, float, float], ...], gamma: float, name: str) -> bytes:
    """Return an ICC profile of version 2 with a curve of one gamma; without primaries a grey one."""
    white = (0.9642, 1.0, 0.8249)
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"
    described = b"desc\0\0\0\0" + struct.pack(">I", len(name) + 1) + name.encode() + b"\0" + bytes(78)
    tags = [(b"desc", described), (b"wtpt", _xyz(white)), (b"cprt", b"text\0\0\0\0none\0")]
    if primaries:
        tags += [(tag, _xyz(value)) for tag, value in zip((b"rXYZ", b"gXYZ", b"bXYZ"), primaries, strict=True)]
        tags += [(tag, curve) for tag in (b"rTRC", b"gTRC", b"bTRC")]
    else:
        tags.append((b"kTRC", curve))
    table, data, at = struct.pack(">I", len(tags)), b"", 128 + 4 + 12 * len(tags)
    for tag, value in tags:
        table += tag + struct.pack(">II", at + len(data), len(value))
        data += value + bytes(-len(value) % 4)
    size = at + len(data)
    header = struct.pack(">I4sI4s4s4s", size, b"none", 0x02400000, b"mntr", space, b"XYZ ") + bytes(12) + b"acsp"
    header = header.ljust(64, b"\0") + struct.pack(">I", 0) + _xyz(white)[8:]
    return header.ljust(128, b"\0") + table + data


def _xyz(value: tuple[float, float, float]) -> bytes:
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(number * 65536) for number in value))


SRGB_XYZ = ((0.4361, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141))
"""The primaries of sRGB, adapted to D50 (IEC 61966-2-1, Bradford)."""
SWAPPED = (SRGB_XYZ[1], SRGB_XYZ[2], SRGB_XYZ[0])
PROFILES = {
    "linear, with sRGB in its name": (profile(b"RGB ", SRGB_XYZ, 1.0, "linear sRGB"), lambda c: 255 * to_light(c)),
    "gamma 1.8": (profile(b"RGB ", SRGB_XYZ, 1.8, "gamma 1.8"), lambda c: 255 * to_light(c) ** (1 / 1.8)),
    "green, blue and red changed places": (
        profile(b"RGB ", SWAPPED, 2.2, "sRGB swapped"),
        lambda c: 255 * (to_light(c) ** (1 / 2.2))[..., [1, 2, 0]],
    ),
}


@pytest.mark.parametrize("name", PROFILES)
@pytest.mark.parametrize("family", ["JPEG", "PNG", "WEBP", "TIFF", "HEIF", "AVIF"])
def test_a_profile_is_applied_whatever_its_name(tmp_path, name, family):
    icc, to_numbers = PROFILES[name]
    stored = Image.fromarray(to_numbers(np.asarray(quadrants(), float)).round().astype(np.uint8))
    options = {"quality": 98} if family in {"JPEG", "HEIF", "AVIF", "WEBP"} else {}
    pixels = open_bytes(tmp_path, saved(stored, family, icc_profile=icc, **options), "a." + family.lower())
    assert difference(pixels) < 8


def test_srgb_itself_is_left_as_it_is(tmp_path):
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    assert np.array_equal(open_bytes(tmp_path, saved(Image.fromarray(noise), "PNG", icc_profile=icc), "a.png"), noise)


@pytest.mark.parametrize("mode", ["L", "LA", "I;16"])
def test_a_grey_profile_is_applied(tmp_path, mode):
    icc = profile(b"GRAY", (), 1.0, "linear grey")
    numbers = np.asarray(quadrants([(grey,) * 3 for grey in GREYS]).convert("L"), float)
    light = to_light(numbers)
    stored = Image.fromarray(
        (light * 65535).astype(np.uint16) if mode == "I;16" else (light * 255).round().astype(np.uint8)
    )
    if mode == "LA":
        stored.putalpha(255)
    assert difference(open_bytes(tmp_path, saved(stored, "PNG", icc_profile=icc), "a.png"), GREY_QUADRANTS) < 8


def test_a_profile_for_colours_on_a_grey_picture_is_applied(tmp_path):
    icc = profile(b"RGB ", SRGB_XYZ, 1.0, "linear")
    light = to_light(np.asarray(quadrants(GREY_QUADRANTS).convert("L"), float))
    stored = Image.fromarray((light * 255).round().astype(np.uint8))
    assert (
        difference(open_bytes(tmp_path, saved(stored, "JPEG", icc_profile=icc, quality=98), "a.jpg"), GREY_QUADRANTS)
        < 8
    )


def tiff(numbers: np.ndarray, bits: int, photometric: int = 1, sample_format: int = 1) -> bytes:
    """Return an uncompressed grey TIFF, little-endian, of samples as they lie in `numbers`."""
    height, width = numbers.shape[:2]
    data = numbers.tobytes()
    if bits == 12:  # two samples in three bytes
        flat = numbers.astype(np.uint32).reshape(-1, 2)
        data = (
            np.stack([flat[:, 0] >> 4, (flat[:, 0] & 15) << 4 | flat[:, 1] >> 8, flat[:, 1] & 255], 1)
            .astype(np.uint8)
            .tobytes()
        )
    tags = [(256, width), (257, height), (258, bits), (259, 1), (262, photometric), (273, 0), (277, 1), (278, height)]
    tags += [(279, len(data)), (339, sample_format)]
    start = 8 + 2 + 12 * len(tags) + 4
    content = b"II*\0" + struct.pack("<LH", 8, len(tags))
    for tag, value in tags:
        kind = 4 if tag in {256, 257, 273, 278, 279} else 3
        content += struct.pack("<HHLL", tag, kind, 1, start if tag == 273 else value)
    return content + struct.pack("<L", 0) + data


def grey_numbers(full: float, kind: str) -> np.ndarray:
    greys = np.asarray(quadrants(GREY_QUADRANTS).convert("L"), float)
    return (greys / 255 * full).astype(kind)


DEEP = {
    "16 bits": tiff(grey_numbers(65535, "<u2"), 16),
    "16 bits, white is zero": tiff(65535 - grey_numbers(65535, "<u2"), 16, photometric=0),
    "8 bits, white is zero": tiff(255 - grey_numbers(255, "u1"), 8, photometric=0),
    "12 bits": tiff(grey_numbers(4095, "<u2"), 12),
    "float of 0 to 1": tiff(grey_numbers(1, "<f4"), 32, sample_format=3),
    "float of 0 to 255": tiff(grey_numbers(255, "<f4"), 32, sample_format=3),
}


@pytest.mark.parametrize("name", DEEP)
def test_deep_greys_come_out_as_they_were_painted(tmp_path, name):
    assert difference(open_bytes(tmp_path, DEEP[name], "a.tif"), GREY_QUADRANTS) < 8


def test_a_float_picture_with_highlights_above_one_stays_bright(tmp_path):
    numbers = grey_numbers(1, "<f4")
    numbers[:4, 60:] = 40.0
    pixels = open_bytes(tmp_path, tiff(numbers, 32, sample_format=3), "a.tif")
    assert difference(pixels, GREY_QUADRANTS) < 8


def test_numbers_that_are_none_are_black_and_the_rest_stays(tmp_path):
    numbers = grey_numbers(1, "<f4")
    numbers[:3, :3], numbers[3:6, :3] = np.nan, np.inf
    pixels = open_bytes(tmp_path, tiff(numbers, 32, sample_format=3), "a.tif")
    assert difference(pixels, GREY_QUADRANTS) < 8
    assert pixels[0, 0].max() < 10


def test_a_dark_picture_of_sixteen_bits_stays_dark(tmp_path):
    # 200 of 65535 is nearly black, however little else there is
    pixels = open_bytes(tmp_path, saved(Image.fromarray(np.full((32, 32), 200, np.uint16)), "PNG"), "a.png")
    assert pixels.max() <= 2


def test_a_portable_greymap_of_sixteen_bits(tmp_path):
    content = b"P5 96 64 65535\n" + grey_numbers(65535, ">u2").tobytes()
    assert difference(open_bytes(tmp_path, content, "a.pgm"), GREY_QUADRANTS) < 8


def test_lab_becomes_srgb(tmp_path):
    lab = ImageCms.profileToProfile(
        quadrants(), ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
    )
    assert difference(open_bytes(tmp_path, saved(lab, "TIFF"), "a.tif")) < 8


def test_alpha_is_blended_after_the_profile(tmp_path):
    icc = profile(b"RGB ", SRGB_XYZ, 1.0, "linear")
    stored = Image.fromarray((255 * to_light(np.asarray(quadrants(), float))).round().astype(np.uint8))
    stored.putalpha(128)
    pixels = open_bytes(tmp_path, saved(stored, "PNG", icc_profile=icc), "a.png")
    assert difference(pixels, [[(number * 128 + 255 * 127) // 255 for number in c] for c in QUADRANTS]) < 3


def pq(light: np.ndarray) -> np.ndarray:
    """Return PQ numbers, 0 to 1, of light in proportion to SDR white (SMPTE ST 2084, inverse EOTF)."""
    power = (np.clip(light, 0, None) * SDR_WHITE_NITS / 10_000) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375


def hlg(light: np.ndarray) -> np.ndarray:
    """Return HLG numbers of light in proportion to SDR white on a screen of 1,000 nits (ITU-R BT.2100)."""
    shown = np.clip(light, 0, None) * SDR_WHITE_NITS / 1000
    luma = shown @ (0.2627, 0.6780, 0.0593)
    scene = shown * np.maximum(luma, 1e-6)[..., None] ** (1 / 1.2 - 1)
    return np.where(
        scene <= 1 / 12, np.sqrt(3 * scene), 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073
    )


TO_2020 = np.asarray(((0.6274, 0.3293, 0.0433), (0.0691, 0.9195, 0.0114), (0.0164, 0.0880, 0.8956)))
CURVES = {16: pq, 18: hlg}


def hdr(family: str, transfer: int, light: np.ndarray | None = None) -> bytes:
    """Return an HDR file of the quadrants, with primaries of BT.2020; the numbers have 8 bits."""
    light = to_light(np.asarray(quadrants(), float)) if light is None else light
    numbers = CURVES[transfer](light @ TO_2020.T)
    stored = Image.fromarray((np.clip(numbers, 0, 1) * 255).round().astype(np.uint8))
    if family == "PNG":
        content = saved(stored, "PNG")
        chunk = b"cICP" + bytes([9, transfer, 0, 1])
        return content[:33] + struct.pack(">I", 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) + content[33:]
    options = {"quality": 98, "subsampling": "4:4:4"} if family == "AVIF" else {"quality": -1, "chroma": 444}
    content = saved(stored, family, **options)
    at = content.find(b"colrnclx")
    assert at > 0
    return content[: at + 8] + struct.pack(">HH", 9, transfer) + content[at + 12 :]


@pytest.mark.parametrize("transfer", [16, 18], ids=["PQ", "HLG"])
@pytest.mark.parametrize("family", ["AVIF", "HEIF", "PNG"])
def test_what_hdr_shows_up_to_white_comes_out_as_in_sdr(tmp_path, family, transfer):
    assert difference(open_bytes(tmp_path, hdr(family, transfer), "a." + family.lower())) < 8


@pytest.mark.parametrize("transfer", [16, 18], ids=["PQ", "HLG"])
def test_highlights_above_white_keep_their_order_and_the_rest_its_tone(tmp_path, transfer):
    light = np.zeros((64, 96, 3))
    light[:32, :48], light[:32, 48:], light[32:, :48], light[32:, 48:] = 0.2, 0.5, 1.5, 4.0
    greys = [colour[0] for colour in middles(open_bytes(tmp_path, hdr("AVIF", transfer, light), "a.avif"))]
    assert abs(greys[0] - 124) < 8 and abs(greys[1] - 188) < 8  # sRGB of .2 and .5, below the knee
    assert greys[1] < greys[2] < greys[3]
    assert greys[3] > 235


def test_display_p3_by_code_points_is_converted():
    # the red of sRGB in Display P3, by Apple's and the W3C's tables: color(display-p3 .9176 .2003 .1386)
    shown = to_srgb(Image.new("RGB", (4, 4), (234, 51, 35)), Colours(primaries=12, transfer=13))
    assert np.abs(np.asarray(shown)[0, 0].astype(int) - (255, 0, 0)).max() <= 3


def test_the_gamma_of_a_png_is_applied(tmp_path):
    stored = Image.fromarray((255 * to_light(np.asarray(quadrants(), float))).round().astype(np.uint8))
    content = saved(stored, "PNG")
    chunk = b"gAMA" + struct.pack(">I", 100_000)
    content = content[:33] + struct.pack(">I", 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) + content[33:]
    assert difference(open_bytes(tmp_path, content, "a.png")) < 8


def test_cmyk_without_a_profile(tmp_path):
    picture = Image.new("CMYK", (32, 32), (0, 255, 255, 0))
    red = open_bytes(tmp_path, saved(picture, "TIFF"), "a.tif")[16, 16]
    assert red[0] > 200 and red[1] < 60 and red[2] < 60
