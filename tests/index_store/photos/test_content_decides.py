"""What a file is, its content decides: not its name, nor the first brand that it bears."""

from __future__ import annotations

import io
import struct
import sys

import numpy as np
import pytest
from PIL import Image

from index_store.errors import PhotoError
from index_store.photos.file_formats import HEAD_BYTES, family_of, raw_signs
from index_store.photos.open import open_photo
from index_store.records import PhotoInput
from tests.pictures import SIZE, difference, dng, exif_of, middles, quadrants, saved

WANTED = PhotoInput(32)
BRIGHT = quadrants(((240, 240, 240),) * 4)


@pytest.mark.parametrize("suffix", ["nef", "cr2", "dng", "kdc", "png", "heic", "txt"])
@pytest.mark.parametrize("family", ["JPEG", "PNG", "WEBP", "HEIF", "AVIF"])
def test_a_picture_under_another_name_is_opened_as_what_it_is(tmp_path, family, suffix):
    (tmp_path / f"a.{suffix}").write_bytes(saved(quadrants(), family))
    opened = open_photo(str(tmp_path / f"a.{suffix}"), WANTED)
    assert (opened.width, opened.height) == SIZE
    assert difference(opened.pixels) < 8


def test_a_tiff_under_the_name_of_a_camera_is_opened_as_tiff(tmp_path):
    (tmp_path / "a.nef").write_bytes(saved(quadrants(), "TIFF"))
    assert difference(open_photo(str(tmp_path / "a.nef"), WANTED).pixels) < 1


@pytest.mark.parametrize("suffix", ["dng", "kdc", "dcr", "erf", "3fr", "iiq", "gpr", "tif", "jpg", "bin"])
@pytest.mark.parametrize("thumbnail", [None, BRIGHT.resize((24, 16))], ids=["plain", "behind a thumbnail"])
def test_camera_raw_under_any_name_is_developed_and_its_thumbnail_is_not_taken(tmp_path, suffix, thumbnail):
    pytest.importorskip("rawpy", reason="the extra raw is not installed")
    (tmp_path / f"a.{suffix}").write_bytes(dng(quadrants(), thumbnail=thumbnail))
    opened = open_photo(str(tmp_path / f"a.{suffix}"), WANTED)
    assert (opened.width, opened.height) == SIZE
    assert np.ptp(middles(opened.pixels), axis=0).min() > 100, "the thumbnail is white"


def test_raw_without_the_extra_is_named_whatever_its_suffix(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "rawpy", None)
    (tmp_path / "a.tif").write_bytes(dng(quadrants()))
    with pytest.raises(PhotoError, match=r"^is a camera RAW file; to read it, pip install 'imgsearch-cli\[raw\]'$"):
        open_photo(str(tmp_path / "a.tif"), WANTED)


def with_brands(content: bytes, major: bytes, compatible: list[bytes]) -> bytes:
    """Return a HEIF or AVIF file with other brands, at the same length as before."""
    length = int.from_bytes(content[:4])
    room = (length - 16) // 4
    assert len(compatible) <= room
    brands = b"".join(compatible + [compatible[-1]] * (room - len(compatible)))
    return content[:8] + major + content[12:16] + brands + content[length:]


@pytest.mark.parametrize(
    ("family", "major", "compatible"),
    [
        ("AVIF", b"mif1", [b"mif1", b"avif", b"miaf"]),
        ("AVIF", b"miaf", [b"avif"]),
        ("AVIF", b"avif", [b"mif1"]),
        ("AVIF", b"mif1", [b"mif1"]),  # no brand tells: what codec is inside does
        ("HEIF", b"mif1", [b"mif1", b"heic"]),
        ("HEIF", b"mif1", [b"mif1"]),
        ("HEIF", b"heic", [b"mif1", b"heic"]),
    ],
)
def test_all_brands_are_read(tmp_path, family, major, compatible):
    content = with_brands(saved(quadrants(), family), major, compatible)
    assert family_of(content[:HEAD_BYTES]) == family
    (tmp_path / "a.heic").write_bytes(content)
    assert difference(open_photo(str(tmp_path / "a.heic"), WANTED).pixels) < 8


@pytest.mark.parametrize("brand", [b"isom", b"qt  ", b"mp42", b"M4A "])
def test_films_and_music_are_no_photos(tmp_path, brand):
    (tmp_path / "a.heic").write_bytes(struct.pack(">I", 24) + b"ftyp" + brand + bytes(4) + brand * 2 + bytes(200))
    with pytest.raises(PhotoError, match="^is not a photo in a format that can be read$"):
        open_photo(str(tmp_path / "a.heic"), WANTED)


def test_the_preview_of_a_raw_file_is_taken_only_if_it_is_large_enough(tmp_path, monkeypatch):
    rawpy = pytest.importorskip("rawpy", reason="the extra raw is not installed")
    asked = rawpy.RawPy
    for size, taken in (((60, 40), True), ((45, 30), False)):
        preview = rawpy.Thumbnail(rawpy.ThumbFormat.JPEG, saved(BRIGHT.resize(size), "JPEG"))

        class WithPreview(asked):
            def extract_thumb(self, preview=preview) -> object:
                return preview

        def opened(file, kind=WithPreview):
            raw = kind()
            raw.open_buffer(file)
            return raw

        monkeypatch.setattr(rawpy, "imread", opened)
        (tmp_path / "a.dng").write_bytes(dng(quadrants()))
        photo = open_photo(str(tmp_path / "a.dng"), WANTED)
        assert (np.asarray(middles(photo.pixels)).min() > 200) == taken
        assert (photo.width, photo.height) == SIZE


@pytest.mark.parametrize(
    ("written", "flip", "size", "meant"),
    [
        (6, 6, (60, 40), 6),  # lies, and says how
        (None, 6, (60, 40), 6),  # lies, and says nothing: the photo says how
        (6, 6, (40, 60), 1),  # stands, whatever it says
        (None, 5, (60, 40), 8),
        (1, 6, (60, 40), 6),  # says that it stands, but lies where the photo stands
        (3, 3, (60, 40), 3),
        (None, 0, (60, 40), 1),
        (8, 5, (50, 50), 8),
    ],
)
def test_a_preview_stands_as_its_photo_does(written, flip, size, meant):
    from index_store.photos.raw import _Preview

    class Raw:
        class sizes:
            pass

    Raw.sizes.flip = flip
    width, height = (40, 60) if flip in {5, 6} else (60, 40)
    assert _Preview(b"", size, written).orientation(Raw, width, height) == meant


def test_a_photo_edited_elsewhere_is_no_raw_file():
    tiff = saved(quadrants(), "TIFF", tiffinfo={271: "Canon", 272: "Canon EOS R5"})
    assert raw_signs(tiff) == ""
    assert raw_signs(dng(quadrants())) == "sure"
    assert raw_signs(b"II*\0") == ""
    assert raw_signs(saved(quadrants(), "PNG")) == ""


def test_a_tiff_that_begins_with_a_small_copy_of_its_maker_is_still_opened(tmp_path):
    # a scanner's file: make, and a first page that is a reduced one, but no RAW picture
    buffer = io.BytesIO()
    quadrants().save(buffer, "TIFF", tiffinfo={254: 1, 271: "Epson"})
    assert raw_signs(buffer.getvalue()) == "maybe"
    (tmp_path / "a.tif").write_bytes(buffer.getvalue())
    assert difference(open_photo(str(tmp_path / "a.tif"), WANTED).pixels) < 1


@pytest.mark.parametrize(
    "content",
    [
        b"P1\n2 2\n1 0 0 1\n",
        b"P2 2 2 255 0 255 255 0",
        b"P3 2 2 255 0 0 0 255 255 255 255 255 255 0 0 0",
        b"P4\n8 2\n\x55\xaa",
        b"P5\n2 2\n255\n\x00\xff\xff\x00",
        b"P6\n2 2\n255\n" + bytes([0, 0, 0] + [255] * 6 + [0, 0, 0]),
    ],
)
def test_portable_anymaps_are_read(tmp_path, content):
    (tmp_path / "a.pnm").write_bytes(content)
    pixels = open_photo(str(tmp_path / "a.pnm"), WANTED).pixels
    assert (pixels.min(), pixels.max()) == (0, 255)


def test_a_jpeg_xl_without_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_jxl", None)
    (tmp_path / "a.jxl").write_bytes(b"\xff\x0a\xfa\x0b\x00" + bytes(60))
    with pytest.raises(PhotoError, match=r"^is a JPEG XL file; to read it, pip install 'imgsearch-cli\[jxl\]'$"):
        open_photo(str(tmp_path / "a.jxl"), WANTED)


@pytest.mark.parametrize("size", [(96, 64), (100, 50), (64, 64), (8, 8), (3000, 2000), (17, 301), (640, 360)])
@pytest.mark.parametrize("container", [False, True])
def test_the_size_of_a_jpeg_xl_is_read_before_it_is_decoded(size, container):
    pytest.importorskip("pillow_jxl", reason="the extra jxl is not installed")
    from index_store.photos.file_formats import jxl_size

    content = saved(Image.new("RGB", size), "JXL", use_container=container, exif=exif_of(1) if container else b"")
    assert jxl_size(content) == (*size, False)
