from __future__ import annotations

import io
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image

from index_store.photos.open import open_photo
from index_store.photos.read import read_photo_file
from index_store.photos.thumbnails import LARGE_SIDE, SMALL_SIDE, Thumbnails
from index_store.records import PhotoInput


@pytest.fixture
def thumbnails():
    made = Thumbnails(2)
    yield made
    made.close()


def stored(*paths: Path) -> tuple[str, list[str]]:
    """Return the content of the files, which is the same, and their paths."""
    return read_photo_file(str(paths[0]))[0].content_hash or "", [str(path) for path in paths]


def picture(jpeg: bytes | None) -> Image.Image:
    assert jpeg is not None
    return Image.open(io.BytesIO(jpeg))


@pytest.mark.parametrize(
    ("size", "small", "large"),
    [
        ((3000, 2000), (360, 240), (1600, 1067)),
        ((2000, 3000), (240, 360), (1067, 1600)),
        ((40, 30), (40, 30), (40, 30)),
        ((9000, 20), (360, 1), (1600, 4)),
    ],
)
@pytest.mark.parametrize("name", ["photo.jpg", "photo.png"])
def test_a_picture_fits_into_its_side_and_is_never_enlarged(thumbnails, paint, name, size, small, large):
    photo = stored(paint(name, "blue", size))
    assert picture(thumbnails.jpeg(*photo, SMALL_SIDE)).size == small
    assert picture(thumbnails.jpeg(*photo, LARGE_SIDE)).size == large


def test_it_stands_upright_and_says_nothing_of_place_and_camera(thumbnails, paint):
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "Secret Cameras"
    made = thumbnails.jpeg(*stored(paint("photo.jpg", "red", (400, 200), exif=exif)))
    assert picture(made).size == (180, 360)
    assert b"Secret" not in (made or b"")
    assert not picture(made).getexif()


def test_a_file_that_shows_another_picture_now_is_not_shown(thumbnails, paint):
    photo = stored(paint("photo.png", "red"))
    paint("photo.png", "lime")
    assert thumbnails.jpeg(*photo) is None


def test_of_several_copies_one_that_still_holds_the_photo_is_taken(thumbnails, paint):
    gone, other, good = (paint(name, "red") for name in ("a.png", "b.png", "c.png"))
    photo = stored(gone, other, good)
    gone.unlink()
    paint("b.png", "lime")
    assert picture(thumbnails.jpeg(*photo)).getpixel((0, 0))[0] > 200


def test_what_is_no_file_or_no_photo_is_none(thumbnails, paint, tmp_path):
    photo = stored(paint("photo.png", "red"))
    (tmp_path / "photo.png").write_bytes(b"no photo")
    assert thumbnails.jpeg(*photo) is None
    (tmp_path / "photo.png").unlink()
    os.mkfifo(tmp_path / "photo.png")
    assert thumbnails.jpeg(*photo) is None


def test_small_ones_are_kept_until_they_are_forgotten(thumbnails, paint, tmp_path):
    photo = stored(paint("photo.png", "red"))
    made = thumbnails.jpeg(*photo)
    (tmp_path / "photo.png").unlink()
    assert thumbnails.jpeg(*photo) == made
    thumbnails.forget(photo[0])
    assert thumbnails.jpeg(*photo) is None


def test_several_threads_get_their_own_pictures(thumbnails, paint):
    photos = [stored(paint(f"{side}.png", "red", (side, 10))) for side in range(20, 32)]
    with ThreadPoolExecutor(6) as threads:
        sizes = [picture(jpeg).size for jpeg in threads.map(thumbnails.jpeg, *zip(*photos, strict=True))]
    assert sizes == [(side, 10) for side in range(20, 32)]


def test_for_people_the_first_picture_of_a_file_is_enough(tmp_path):
    frames = [Image.new("RGB", (64, 48), colour) for colour in ("red", "lime", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert len(open_photo(str(tmp_path / "a.gif"), PhotoInput(32)).frames) == 2
    assert open_photo(str(tmp_path / "a.gif"), PhotoInput(32, for_people=True)).frames == ()
