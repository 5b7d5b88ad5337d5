from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest
from PIL import Image

from index_store.photos import pairing
from index_store.photos.find import RAW_SUFFIXES, find_photos
from index_store.records import FindOptions

MINUTE = 60 * 10**9


@pytest.fixture
def shot(tmp_path: Path):
    """Return a function that writes files as a camera does: with a moment in their EXIF block, or without."""

    def shot(name: str, moment: str | None = None, written_ns: int = 10**18) -> Path:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        if path.suffix.lower() in RAW_SUFFIXES:
            path.write_bytes(b"II*\0" + b"\0" * 300 + (moment or "").encode() + b"\0" * 300)
        else:
            exif = Image.Exif()
            if moment:
                exif.get_ifd(0x8769)[0x9003] = moment
            Image.new("RGB", (8, 8)).save(path, "JPEG", exif=exif)
        os.utime(path, ns=(written_ns, written_ns))
        return path

    return shot


def names(root: Path, known: frozenset[str] = frozenset(), **options: object) -> list[str]:
    found = find_photos(str(root), FindOptions(**options), known=known)
    return [os.path.relpath(photo.image_id, root) for photo in found.files]


@pytest.mark.parametrize("raw", ["IMG_1.CR2", "IMG_1.nef", "IMG_1.DNG", "IMG_1.arw"])
@pytest.mark.parametrize("developed", ["IMG_1.JPG", "IMG_1.jpeg", "IMG_1.HEIC"])
def test_raw_beside_a_picture_of_the_same_name_and_moment_is_one_photo(tmp_path, shot, raw, developed):
    shot(raw, "2024:05:01 10:00:00"), shot(developed, "2024:05:01 10:00:00", 10**18 + 500 * MINUTE)
    shot("IMG_2.JPG"), shot("IMG_10.JPG")
    found = find_photos(str(tmp_path))
    assert developed in names(tmp_path) and raw not in names(tmp_path)
    assert found.passed_over.paired == 1
    assert {raw, developed} <= set(names(tmp_path, keep_raw=True))
    assert find_photos(str(tmp_path), FindOptions(keep_raw=True)).passed_over.paired == 0


@pytest.mark.parametrize(
    ("raw", "developed", "apart", "one"),
    [
        ("2024:05:01 10:00:00", "2024:05:01 10:00:00", 900 * MINUTE, True),  # edited, or copied without its time
        ("2024:05:01 10:00:00", "2024:05:01 10:00:07", 900 * MINUTE, True),  # a phone, that developed for a while
        ("2024:02:31 10:00:00", None, 0, True),  # no day at all
        ("2024:05:01 10:00:00", "2023:08:09 10:00:00", 0, False),  # the counter of the camera began again
        (None, "2024:05:01 10:00:00", MINUTE // 2, True),
        (None, None, 0, True),
        (None, None, 2 * MINUTE, False),
        ("2024:05:01 10:00:00", None, 2 * MINUTE, False),
    ],
)
def test_the_moment_is_that_of_the_shot_else_that_of_the_files(tmp_path, shot, raw, developed, apart, one):
    shot("a.cr2", raw), shot("a.jpg", developed, 10**18 + apart)
    assert names(tmp_path) == (["a.jpg"] if one else ["a.cr2", "a.jpg"])


@pytest.mark.parametrize(
    ("raw", "developed"),
    [
        ("PXL_1.RAW-02.ORIGINAL.dng", "PXL_1.RAW-01.COVER.jpg"),
        ("PXL_1.RAW-02.ORIGINAL.dng", "PXL_1.RAW-01.MP.COVER.jpg"),
        ("PXL_1.dng", "PXL_1.MP.jpg"),
    ],
)
def test_the_names_that_phones_give_to_one_shot_are_known(tmp_path, shot, raw, developed):
    shot(raw), shot(developed)
    assert names(tmp_path) == [developed]


def test_two_raw_files_of_one_picture_are_that_picture(tmp_path, shot):
    shot("a.dng"), shot("a.orf"), shot("a.jpeg")
    assert names(tmp_path) == ["a.jpeg"]


def test_files_of_other_folders_or_names_are_no_pair(tmp_path, shot):
    shot("a/1.cr2"), shot("b/1.jpg"), shot("a/2.jpg"), shot("a/1 edited.jpg")
    assert "a/1.cr2" in names(tmp_path)


def test_a_pair_that_is_stored_as_one_photo_is_not_read_again(tmp_path, shot, monkeypatch):
    shot("a.cr2", "2024:05:01 10:00:00"), shot("a.jpg", "2024:05:01 10:00:00")
    monkeypatch.setattr(pairing, "_moments", lambda path: pytest.fail(f"{path} was read"))
    assert names(tmp_path, frozenset([str(tmp_path / "a.jpg")])) == ["a.jpg"]


def test_without_the_extra_raw_files_are_counted_and_what_is_stored_of_them_stays(tmp_path, shot, monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "rawpy" else real(name))
    for number in range(5):
        shot(f"{number}.cr2")
    shot("pair.cr2"), shot("pair.jpg")
    shot("photo.jpg").rename(tmp_path / "photo.nef")
    found = find_photos(str(tmp_path))
    assert [Path(photo.image_id).name for photo in found.files] == ["pair.jpg", "photo.nef"]
    assert (found.passed_over.raw, found.passed_over.paired, found.skipped) == (5, 1, [])
    assert [Path(path).name for path in found.unreadable] == [f"{number}.cr2" for number in range(5)]


@pytest.mark.parametrize("name", ["IMG_1.MOV", "IMG_1.mp4", "IMG_1.xmp", "IMG_1.JPG.xmp", "IMG_1.AAE"])
def test_what_belongs_to_a_photo_is_neither_an_error_nor_counted(tmp_path, shot, name):
    shot("IMG_1.JPG")
    (tmp_path / name).write_bytes(b"\0\0\0\x14ftypqt  " + b"\0" * 40)
    found = find_photos(str(tmp_path))
    assert ([Path(photo.image_id).name for photo in found.files], found.skipped) == (["IMG_1.JPG"], [])
    assert found.passed_over.formats == {}


def test_pictures_in_formats_that_are_not_read_are_counted_by_suffix(tmp_path, shot):
    for name in ("a.xcf", "b.XCF", "c.psd", "d.svg", "movie.mkv", "notes.txt"):
        (tmp_path / name).write_bytes(b"something else altogether")
    shot("really.jpg").rename(tmp_path / "really.psd")
    (tmp_path / "hidden").mkdir()
    (tmp_path / "hidden/x.psd").write_bytes(b"something else altogether")
    found = find_photos(str(tmp_path), FindOptions(exclude=("hidden",)))
    assert found.passed_over.formats == {".xcf": 2, ".psd": 1, ".svg": 1}
    assert [Path(photo.image_id).name for photo in found.files] == ["really.psd"]
