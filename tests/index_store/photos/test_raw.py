"""Camera RAW: a small DNG made by hand, developed by rawpy where that extra is installed."""

from __future__ import annotations

import io
import struct
import sys

import numpy as np
import pytest
from PIL import Image

from index_store.errors import PhotoError
from index_store.photos.open import MAX_PIXELS, open_photo
from index_store.photos.raw import develop
from index_store.records import PhotoInput

SIDE = 64
_BYTE, _ASCII, _SHORT, _LONG, _RATIONAL, _SIGNED = 1, 2, 3, 4, 5, 10


def dng(colour: tuple[int, int, int]) -> bytes:
    """Return a DNG of one colour: 16-bit numbers behind a Bayer pattern, a TIFF with the tags that LibRaw asks for."""
    cells = np.empty((SIDE, SIDE), dtype="<u2")
    cells[0::2, 0::2], cells[1::2, 1::2] = colour[0] * 256, colour[2] * 256
    cells[0::2, 1::2] = cells[1::2, 0::2] = colour[1] * 256
    matrix = [(int(number == place), 1) for number in range(3) for place in range(3)]
    tags: list[tuple[int, int, int, bytes]] = [
        (254, _LONG, 1, struct.pack("<L", 0)),
        (256, _LONG, 1, struct.pack("<L", SIDE)),
        (257, _LONG, 1, struct.pack("<L", SIDE)),
        (258, _SHORT, 1, struct.pack("<H", 16)),
        (259, _SHORT, 1, struct.pack("<H", 1)),
        (262, _SHORT, 1, struct.pack("<H", 32803)),
        (271, _ASCII, 5, b"Test\0"),
        (272, _ASCII, 5, b"Test\0"),
        (273, _LONG, 1, b"DATA"),
        (277, _SHORT, 1, struct.pack("<H", 1)),
        (278, _LONG, 1, struct.pack("<L", SIDE)),
        (279, _LONG, 1, struct.pack("<L", cells.nbytes)),
        (33421, _SHORT, 2, struct.pack("<2H", 2, 2)),
        (33422, _BYTE, 4, bytes([0, 1, 1, 2])),
        (50706, _BYTE, 4, bytes([1, 4, 0, 0])),
        (50708, _ASCII, 5, b"Test\0"),
        (50717, _LONG, 1, struct.pack("<L", 65535)),
        (50721, _SIGNED, 9, b"".join(struct.pack("<2l", *pair) for pair in matrix)),
        (50728, _RATIONAL, 3, struct.pack("<6L", 1, 1, 1, 1, 1, 1)),
    ]
    behind = 8 + 2 + 12 * len(tags) + 4
    long_values = b"".join(value + b"\0" * (len(value) % 2) for *_, value in tags if len(value) > 4)
    data_at = behind + len(long_values)
    directory, at = struct.pack("<H", len(tags)), behind
    for tag, kind, count, given in tags:
        value = struct.pack("<L", data_at) if given == b"DATA" else given
        if len(value) > 4:
            directory += struct.pack("<HHLL", tag, kind, count, at)
            at += len(value) + len(value) % 2
        else:
            directory += struct.pack("<HHL", tag, kind, count) + value.ljust(4, b"\0")
    return b"II*\0" + struct.pack("<L", 8) + directory + struct.pack("<L", 0) + long_values + cells.tobytes()


def test_a_raw_file_is_developed_and_keeps_its_hue(tmp_path):
    pytest.importorskip("rawpy", reason="the extra raw is not installed")
    (tmp_path / "green.dng").write_bytes(dng((20, 180, 20)))
    opened = open_photo(str(tmp_path / "green.dng"), PhotoInput(16))
    red, green, blue = opened.pixels[8, 8].tolist()
    assert green > red + 40
    assert green > blue + 40
    assert (opened.width, opened.height) == (SIDE, SIDE)


def test_the_preview_that_the_camera_embedded_comes_first(monkeypatch):
    rawpy = pytest.importorskip("rawpy", reason="the extra raw is not installed")
    preview = io.BytesIO()
    Image.new("RGB", (40, 30), "blue").save(preview, "JPEG")
    thumbnail = rawpy.Thumbnail(rawpy.ThumbFormat.JPEG, preview.getvalue())
    asked = rawpy.RawPy

    class WithPreview(asked):
        def extract_thumb(self) -> object:
            return thumbnail

    monkeypatch.setattr(rawpy, "imread", lambda file: _opened(WithPreview(), file))
    assert develop(dng((20, 180, 20)), 30, MAX_PIXELS).picture == preview.getvalue()
    assert develop(dng((20, 180, 20)), 33, MAX_PIXELS).picture.startswith(b"P6 64 64 ")


def _opened(raw, file):
    raw.open_buffer(file)
    return raw


def test_what_is_no_raw_file_is_refused(tmp_path):
    pytest.importorskip("rawpy", reason="the extra raw is not installed")
    (tmp_path / "a.nef").write_bytes(b"II*\0" + b"\1" * 500)
    with pytest.raises(PhotoError, match="^cannot be developed: "):
        open_photo(str(tmp_path / "a.nef"), PhotoInput(16))


def test_without_the_extra_a_raw_file_is_named_with_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "rawpy", None)
    (tmp_path / "a.cr2").write_bytes(dng((20, 180, 20)))
    with pytest.raises(PhotoError, match=r"is a camera RAW file; to read it, pip install 'imgsearch-cli\[raw\]'"):
        open_photo(str(tmp_path / "a.cr2"), PhotoInput(16))
