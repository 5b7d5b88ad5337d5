from __future__ import annotations

import io
import os
from pathlib import Path

import fsspec
import numpy as np
import pytest
from PIL import Image

from index_store.errors import UsageError
from index_store.photos.pictures import given_photo, given_pixels
from index_store.records import PhotoInput

SQUARE = PhotoInput(8)


def test_names_are_absolute_and_the_home_folder_is_known(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert given_photo("~/a.png") == given_photo(Path("~/a.png")) == str(tmp_path / "a.png")
    assert given_photo("a.png") == os.path.abspath("a.png")
    assert given_photo(b"content") == b"content"


def test_an_address_that_a_caller_names_is_read():
    with io.BytesIO() as file:
        Image.new("RGB", (16, 16), "red").save(file, "PNG")
        fsspec.filesystem("memory").pipe_file("memory://given/a.png", file.getvalue())
    [pixels] = given_pixels(["memory://given/a.png"], SQUARE)
    assert pixels.tolist() == [[[255, 0, 0]] * 8] * 8


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "LAB", "F", "I", "I;16"])
def test_pictures_of_every_mode_are_taken(mode):
    source = Image.new("RGB", (16, 16), "white")
    picture = (
        Image.new("I;16", (16, 16), 65535)
        if mode == "I;16"
        else source.convert("F" if mode == "F" else mode)
        if mode != "LAB"
        else Image.new("LAB", (16, 16), (255, 128, 128))
    )
    (pixels,) = given_pixels([picture], SQUARE)
    assert (pixels.shape, pixels.dtype) == ((8, 8, 3), np.uint8)


def test_a_picture_is_seen_as_its_file_is_with_its_orientation(paint):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = paint("a.png", "red", (64, 32), exif=exif)
    with Image.open(path) as picture:
        picture.paste("blue", (0, 0, 32, 32))
        picture.save(path, exif=exif)
    with Image.open(path) as picture:
        from_file, from_picture = given_pixels([str(path), picture], SQUARE)
    assert (from_file == from_picture).all()
    assert tuple(from_file[0, 0]) == (0, 0, 255)
    assert tuple(from_file[7, 0]) == (255, 0, 0)


def test_names_contents_and_pictures_may_be_mixed(paint):
    path = paint("a.png", "blue")
    with Image.open(path) as picture:
        pixels = given_pixels([str(path), path, path.read_bytes(), picture], SQUARE)
    assert all((each == pixels[0]).all() for each in pixels)


@pytest.mark.parametrize("photo", ["/nowhere/a.png", b"", b"no photo"])
def test_what_is_no_photo_is_named(photo):
    with pytest.raises(UsageError, match="/nowhere/a.png" if isinstance(photo, str) else "the photo"):
        given_pixels([photo], SQUARE)
