from __future__ import annotations

import hashlib
import os
import tracemalloc

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps
from PIL.JpegImagePlugin import JpegImageFile

from index_store.errors import PhotoError, PhotoUnreadableError
from index_store.photos.hashing import MAX_FILE_BYTES, hash_file
from index_store.photos.open import MAX_PIXELS, open_photo
from index_store.records import PhotoInput

SQUASHED = PhotoInput(side=16)


def test_exif_orientation_is_applied_to_pixels_and_size(tmp_path):
    # stored lying: left half red, right half blue; orientation 6 says "turn clockwise to see it", so red comes on top
    lying = Image.new("RGB", (64, 32), "red")
    lying.paste("blue", (32, 0, 64, 32))
    exif = Image.Exif()
    exif[0x0112] = 6
    lying.save(tmp_path / "a.png", exif=exif)
    opened = open_photo(str(tmp_path / "a.png"), SQUASHED)
    assert (opened.width, opened.height) == (32, 64)
    assert opened.pixels[0].tolist() == [[255, 0, 0]] * 16
    assert opened.pixels[15].tolist() == [[0, 0, 255]] * 16


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_agrees_with_pillow(tmp_path, orientation):
    from PIL import ImageOps

    noise = np.random.default_rng(1).integers(0, 256, (24, 24, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "a.png"
    Image.fromarray(noise).save(path, exif=exif)
    with Image.open(path) as picture:
        expected = np.asarray(ImageOps.exif_transpose(picture))
    assert np.array_equal(open_photo(str(path), PhotoInput(side=24)).pixels, expected)


def test_keeping_the_aspect_ratio_makes_the_shorter_side_fit(paint):
    opened = open_photo(str(paint("a.png", size=(64, 32))), PhotoInput(side=16, squash=False))
    assert opened.pixels.shape == (16, 32, 3)
    # 42.7 is rounded down, as by CLIP's own processor
    assert open_photo(str(paint("b.png", size=(60, 80))), PhotoInput(32, squash=False)).pixels.shape == (42, 32, 3)


@pytest.mark.parametrize("size", [(1, 3001), (3001, 1), (320, 10)], ids=str)
def test_of_a_long_strip_the_middle_is_taken_where_the_aspect_ratio_is_kept(tmp_path, size):
    """Else 1 x 30,000 pixels would become gigabytes, of which an encoder looks at the middle."""
    picture, short = Image.new("RGB", size, "red"), min(size)
    left, top = ((side - 3 * short) // 2 if side > short else 0 for side in size)
    picture.paste("blue", (left, top, min(left + 3 * short, size[0]), min(top + 3 * short, size[1])))
    picture.save(tmp_path / "strip.png")
    pixels = open_photo(str(tmp_path / "strip.png"), PhotoInput(side=16, squash=False)).pixels
    assert pixels.shape == ((512, 16, 3) if size[1] > size[0] else (16, 512, 3))
    ends = pixels[0, 0].tolist(), pixels[-1, -1].tolist()
    assert (pixels[pixels.shape[0] // 2, pixels.shape[1] // 2].tolist(), *ends) == ([0, 0, 255], *[[255, 0, 0]] * 2)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_photo_is_the_upright_one_pixel_by_pixel(tmp_path, orientation):
    noise = Image.fromarray(np.random.default_rng(2).integers(0, 256, (90, 70, 3), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    noise.save(tmp_path / "turned.png", exif=exif)
    with Image.open(tmp_path / "turned.png") as picture:
        ImageOps.exif_transpose(picture).save(tmp_path / "upright.png")
    for wanted in (PhotoInput(side=32), PhotoInput(side=32, squash=False)):
        turned, upright = (open_photo(str(tmp_path / f"{name}.png"), wanted) for name in ("turned", "upright"))
        assert np.array_equal(turned.pixels, upright.pixels)


def test_palette_with_transparency_lies_on_white(tmp_path):
    picture = Image.new("P", (8, 8), 0)
    picture.putpalette([255, 0, 0] + [0, 0, 0] * 255)
    picture.save(tmp_path / "a.png", transparency=0)
    assert open_photo(str(tmp_path / "a.png"), SQUASHED).pixels.tolist() == [[[255, 255, 255]] * 16] * 16


def test_alpha_is_blended_over_white(tmp_path):
    Image.new("RGBA", (8, 8), (0, 0, 0, 128)).save(tmp_path / "a.png")
    assert open_photo(str(tmp_path / "a.png"), SQUASHED).pixels[3, 3].tolist() == [127, 127, 127]


def test_cmyk_becomes_rgb(tmp_path):
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "a.jpg")
    red, green, blue = open_photo(str(tmp_path / "a.jpg"), SQUASHED).pixels[3, 3]
    assert red > 200 and green < 60 and blue < 60


@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_sixteen_bit_greys_are_scaled_and_not_clipped(tmp_path, suffix):
    greys = np.full((8, 8), 32768, dtype=np.uint16)
    greys[0, 0] = 65535
    Image.fromarray(greys).save(tmp_path / f"a.{suffix}")
    assert open_photo(str(tmp_path / f"a.{suffix}"), PhotoInput(side=8)).pixels[6, 6].tolist() == [127, 127, 127]


def test_an_animation_gives_its_first_frame(tmp_path):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("lime", "red", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert open_photo(str(tmp_path / "a.gif"), SQUASHED).pixels[0, 0].tolist() == [0, 255, 0]


def test_a_colour_profile_is_converted_to_srgb(tmp_path):
    # L*a*b* has no file form that is common; a profile of another kind shows that it is read: sRGB values stay
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes().replace(b"sRGB", b"xRGB")
    Image.new("RGB", (8, 8), (200, 100, 50)).save(tmp_path / "a.png", icc_profile=profile)
    assert np.abs(open_photo(str(tmp_path / "a.png"), SQUASHED).pixels[0, 0].astype(int) - [200, 100, 50]).max() <= 1


def test_a_broken_colour_profile_does_no_harm(tmp_path):
    Image.new("RGB", (8, 8), (200, 100, 50)).save(tmp_path / "a.png", icc_profile=b"no profile")
    assert open_photo(str(tmp_path / "a.png"), SQUASHED).pixels[0, 0].tolist() == [200, 100, 50]


def test_the_opened_file_carries_the_hash_of_its_content(paint):
    path = paint("a.jpg")
    expected = hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()
    assert open_photo(str(path), SQUASHED).file.content_hash == expected == hash_file(str(path))


def test_what_is_no_regular_file_is_refused_and_never_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.jpg")
    with pytest.raises(PhotoError, match="^is not a regular file$"):
        open_photo(str(tmp_path / "a.jpg"), SQUASHED)


@pytest.mark.parametrize("size", [MAX_FILE_BYTES + 1, 2 << 40])
def test_a_file_that_is_too_large_is_refused_unread(tmp_path, size):
    with open(tmp_path / "a.jpg", "wb") as file:
        file.write(b"\xff\xd8\xff")
        file.truncate(size)
    with pytest.raises(PhotoError, match="^is larger than 1024 MiB$"):
        open_photo(str(tmp_path / "a.jpg"), SQUASHED)


def test_a_large_file_that_does_not_begin_like_a_photo_is_refused_after_its_first_bytes(tmp_path):
    with open(tmp_path / "a.jpg", "wb") as file:
        file.truncate(MAX_FILE_BYTES)
    tracemalloc.start()
    try:
        with pytest.raises(PhotoError, match="^is not a photo in a format that can be read$"):
            open_photo(str(tmp_path / "a.jpg"), SQUASHED)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("target", ["/proc/self/pagemap", "/proc/self/mem", "/dev/zero", "/dev/urandom"])
def test_links_to_files_of_the_kernel_are_refused(tmp_path, target):
    if not os.path.exists(target):
        pytest.skip(f"this system has no {target}")
    (tmp_path / "a.jpg").symlink_to(target)
    with pytest.raises(PhotoError):
        open_photo(str(tmp_path / "a.jpg"), SQUASHED)


def test_an_empty_file_is_refused(tmp_path):
    (tmp_path / "a.jpg").touch()
    with pytest.raises(PhotoError, match="^is an empty file$"):
        open_photo(str(tmp_path / "a.jpg"), SQUASHED)


def test_a_text_called_jpg_is_refused(tmp_path):
    (tmp_path / "a.jpg").write_text("shopping list")
    with pytest.raises(PhotoError, match="^is not a photo in a format that can be read$"):
        open_photo(str(tmp_path / "a.jpg"), SQUASHED)


def test_a_decompression_bomb_is_refused_before_it_is_decoded(tmp_path):
    bomb = tmp_path / "bomb.png"
    Image.new("1", (20_000, 10_000)).save(bomb)
    with pytest.raises(PhotoError, match=r"^has 200 megapixels, more than the 100 that are decoded$"):
        open_photo(str(bomb), SQUASHED)
    assert MAX_PIXELS == 100_000_000


def test_a_huge_jpeg_is_decoded_at_a_reduced_scale(tmp_path):
    Image.new("L", (12_000, 10_000), 90).save(tmp_path / "huge.jpg")
    opened = open_photo(str(tmp_path / "huge.jpg"), SQUASHED)
    assert (opened.width, opened.height, opened.pixels[0, 0].tolist()) == (12_000, 10_000, [90, 90, 90])


@pytest.mark.parametrize(
    ("size", "scaled"),
    [((80, 60), (80, 60)), ((80, 64), (40, 32)), ((300, 250), (75, 63)), ((400, 256), (50, 32))],
)
def test_a_jpeg_is_decoded_at_the_smallest_scale_that_holds_the_wanted_side(tmp_path, monkeypatch, size, scaled):
    Image.new("RGB", size, "red").save(tmp_path / "a.jpg")
    seen: list[tuple[int, int]] = []
    load = JpegImageFile.load
    monkeypatch.setattr(JpegImageFile, "load", lambda picture: (seen.append(picture.size), load(picture))[1])
    opened = open_photo(str(tmp_path / "a.jpg"), PhotoInput(32, squash=True))
    assert (seen[0], opened.pixels.shape, (opened.width, opened.height)) == (scaled, (32, 32, 3), size)


def test_a_missing_file_is_unreadable_not_bad(tmp_path):
    with pytest.raises(PhotoUnreadableError, match="^no such file or directory$"):
        open_photo(str(tmp_path / "a.jpg"), SQUASHED)
