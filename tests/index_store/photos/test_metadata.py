"""When and with what a photo was taken, as far as its file says."""

from __future__ import annotations

import pytest

from index_store.photos.open import open_photo
from index_store.records import PhotoInput
from tests.pictures import dng, exif_of, quadrants, saved

WANTED = PhotoInput(8)


def about(tmp_path, content: bytes) -> tuple[str | None, str]:
    (tmp_path / "a").write_bytes(content)
    opened = open_photo(str(tmp_path / "a"), WANTED)
    return opened.taken, opened.camera


@pytest.mark.parametrize(
    ("written", "taken"),
    [
        ("2021:06:14 12:30:00", "2021-06-14T12:30:00"),
        ("2021-06-14 12:30:00", "2021-06-14T12:30:00"),
        ("2021-06-14T12:30:00+02:00", "2021-06-14T12:30:00"),
        ("2021:06:14 12:30:00\0", "2021-06-14T12:30:00"),
        ("2021:06:14", "2021-06-14"),
        ("2021:06:14   :  :  ", "2021-06-14"),
        ("2021:06:14 25:61:00", "2021-06-14"),
        ("0000:00:00 00:00:00", None),
        ("    :  :     :  :  ", None),
        ("2021:13:41 12:30:00", None),
        ("0001:01:01 00:00:00", None),
        ("yesterday", None),
        ("", None),
        ("\u0662\u0660\u0662\u0661:\u0660\u0666:\u0661\u0664 12:30:00", None),
    ],
)
def test_the_day_and_time_a_photo_was_taken(tmp_path, written, taken):
    assert about(tmp_path, saved(quadrants(), "JPEG", exif=exif_of(taken=written)))[0] == taken


@pytest.mark.parametrize(
    ("make", "model", "camera"),
    [
        ("Canon", "Canon EOS R5", "Canon EOS R5"),
        ("NIKON CORPORATION", "NIKON D90", "NIKON D90"),
        ("samsung", "SM-G991B", "samsung SM-G991B"),
        ("Apple", "iPhone 13", "Apple iPhone 13"),
        ("Apple\0\0\0", " iPhone 13 \n", "Apple iPhone 13"),
        ("Evil\x1b[31m", "line\ntwo", "Evil [31m line two"),
        ("", "iPhone", "iPhone"),
        ("Sony", "", "Sony"),
        ("x" * 200, "y", "x" * 80),
    ],
)
def test_the_camera_in_one_line(tmp_path, make, model, camera):
    assert about(tmp_path, saved(quadrants(), "PNG", exif=exif_of(make=make, model=model)))[1] == camera


@pytest.mark.parametrize("family", ["JPEG", "PNG", "WEBP", "HEIF", "AVIF", "MPO"])
def test_every_format_with_exif_says_both(tmp_path, family):
    exif = exif_of(6, make="Canon", model="Canon EOS R5", taken="2021:06:14 12:30:00")
    assert about(tmp_path, saved(quadrants(), family, exif=exif)) == ("2021-06-14T12:30:00", "Canon EOS R5")


def test_a_raw_file_says_both(tmp_path):
    pytest.importorskip("rawpy", reason="the extra raw is not installed")
    expected = ("2021-06-14T12:30:00", "Hand Ltd Hand 1")
    given = about(tmp_path, dng(quadrants(), taken="2021:06:14 12:30:00"))
    assert given == (expected[0], "Hand 1")


def test_a_file_without_metadata_says_nothing(tmp_path):
    assert about(tmp_path, saved(quadrants(), "JPEG")) == (None, "")
