"""Training reads photos as indexing does, and can make photos of several sets alike."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs torch")

from PIL import Image

from index_store.errors import DataError
from index_store.photos.open import open_photo
from index_store.records import PhotoInput
from index_store.training.encoder.photo_views import load_view

SIDE = 32


def halves() -> Image.Image:
    """Make a photo that is red on the left and blue on the right."""
    pixels = np.zeros((40, 60, 3), dtype=np.uint8)
    pixels[:, :30, 0] = pixels[:, 30:, 2] = 220
    return Image.fromarray(pixels)


def sideways(path: Path) -> Path:
    """Write the photo turned, with the EXIF orientation that turns it back."""
    exif = Image.Exif()
    exif[0x0112] = 6
    halves().transpose(Image.Transpose.ROTATE_90).save(path, exif=exif, quality=95)
    return path


def transparent(path: Path) -> Path:
    picture = halves().convert("RGBA")
    picture.putalpha(0)
    picture.save(path)
    return path


def heic(path: Path) -> Path:
    pillow_heif = pytest.importorskip("pillow_heif", reason="HEIC needs pillow-heif")
    pillow_heif.from_pillow(halves()).save(path, quality=90)
    return path


@pytest.mark.parametrize(("make", "name"), [(sideways, "a.jpg"), (transparent, "b.png"), (heic, "c.heic")])
def test_a_plain_view_is_what_indexing_sees(tmp_path, make, name):
    path = make(tmp_path / name)
    indexed = open_photo(str(path), PhotoInput(SIDE)).pixels
    assert np.array_equal(load_view(path, SIDE, view=0, seed=0), indexed)
    assert np.array_equal(load_view(path, SIDE, view=1, seed=0), indexed[:, ::-1])
    assert load_view(path, SIDE, view=2, seed=0).shape == (SIDE, SIDE, 3)


def test_a_turned_photo_is_upright_and_a_transparent_one_lies_on_white(tmp_path):
    turned = load_view(sideways(tmp_path / "a.jpg"), SIDE, view=0, seed=0).astype(int)
    assert turned[:, :12, 0].min() > 180 > 60 > turned[:, 20:, 0].max()
    assert load_view(transparent(tmp_path / "b.png"), SIDE, view=0, seed=0).min() == 255


def test_a_file_that_is_no_photo_is_named_in_one_line(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"no photo")
    with pytest.raises(DataError, match=r"a\.jpg: is not a photo in a format that can be read"):
        load_view(tmp_path / "a.jpg", SIDE, view=0, seed=0)


def sharpness(pixels: np.ndarray) -> float:
    greys = pixels.astype(float).mean(axis=2)
    return float(np.abs(np.diff(greys, axis=1)).mean())


def test_sets_cannot_be_told_by_their_sharpness(tmp_path):
    """A sharp photo and one of 128 pixels are as sharp as each other in views that are made alike."""
    noise = np.random.default_rng(0).integers(0, 256, (512, 512, 3), dtype=np.uint8)
    small = Image.fromarray(noise).resize((128, 128), Image.Resampling.BICUBIC)
    fine = small.resize((512, 512), Image.Resampling.LANCZOS)
    blurred, sharp = [], []
    for number in range(12):
        for values, photo in ((blurred, small), (sharp, fine)):
            photo.save(tmp_path / f"{number}.png")
            values.append(sharpness(load_view(tmp_path / f"{number}.png", 260, view=0, seed=0, alike=True)))
    assert np.mean(sharp) == pytest.approx(np.mean(blurred), rel=0.15)
    assert len(set(sharp)) == len(sharp)  # each photo has its own resolution
    Image.fromarray(noise).save(tmp_path / "0.png")
    plain = sharpness(load_view(tmp_path / "0.png", 260, view=0, seed=0))
    assert sharpness(load_view(tmp_path / "0.png", 260, view=0, seed=0, alike=True)) < 0.8 * plain


def test_views_that_are_alike_are_the_same_each_time(tmp_path):
    halves().save(tmp_path / "a.png")
    for view in range(3):
        first, again = (load_view(tmp_path / "a.png", SIDE, view, seed=1, alike=True) for _ in range(2))
        assert np.array_equal(first, again)
