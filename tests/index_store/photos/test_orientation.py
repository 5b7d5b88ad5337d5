"""One upright picture, eight orientations, every format that has them: the same pixels and the same size."""

from __future__ import annotations

import numpy as np
import pytest

from index_store.photos.open import open_photo
from index_store.records import PhotoInput
from tests.pictures import QUADRANTS, SIZE, difference, dng, exif_of, lying, saved

LOSSY = {"quality": 95}
FORMATS = {
    "JPEG": ("jpg", {"quality": 95, "subsampling": 0}),
    "PNG": ("png", {}),
    "WEBP": ("webp", {"lossless": True}),
    "TIFF": ("tif", {"compression": "tiff_lzw"}),
    "HEIF": ("heic", {"quality": -1}),
    "AVIF": ("avif", LOSSY),
    "MPO": ("jpg", {"quality": 95, "save_all": True}),
}


def check(path, orientation):
    opened = open_photo(str(path), PhotoInput(32, squash=False))
    assert (opened.width, opened.height) == SIZE
    assert opened.pixels.shape == (32, 48, 3)
    assert difference(opened.pixels) < 8


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("family", FORMATS)
def test_a_picture_stands_upright_whatever_its_orientation(tmp_path, family, orientation):
    suffix, options = FORMATS[family]
    picture = lying(orientation)
    if family == "MPO":
        options = options | {"append_images": [picture]}
    if family == "TIFF":
        options = options | {"tiffinfo": {274: orientation}}
    else:
        options = options | {"exif": exif_of(orientation)}
    (tmp_path / f"a.{suffix}").write_bytes(saved(picture, family, **options))
    check(tmp_path / f"a.{suffix}", orientation)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_raw_file_stands_upright_whatever_its_orientation(tmp_path, orientation):
    pytest.importorskip("rawpy", reason="the extra raw is not installed")
    (tmp_path / "a.dng").write_bytes(dng(lying(orientation), orientation))
    opened = open_photo(str(tmp_path / "a.dng"), PhotoInput(32, squash=False))
    assert (opened.width, opened.height) == SIZE
    # a developed picture has other tones: the place of each colour is what counts
    from tests.pictures import middles

    for shown, meant in zip(middles(opened.pixels), QUADRANTS, strict=True):
        nearest = min(QUADRANTS, key=lambda colour: np.abs(np.subtract(colour, shown)).sum())
        assert nearest == meant


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("recompressed", [False, True])
def test_a_jpeg_xl_stands_upright_whatever_its_orientation(tmp_path, orientation, recompressed):
    pytest.importorskip("pillow_jxl", reason="the extra jxl is not installed")
    from PIL import Image

    picture, exif = lying(orientation), exif_of(orientation)
    if recompressed:
        (tmp_path / "a.jpg").write_bytes(saved(picture, "JPEG", quality=95, subsampling=0, exif=exif))
        with Image.open(tmp_path / "a.jpg") as jpeg:
            jpeg.save(tmp_path / "a.jxl", lossless_jpeg=True)
    else:
        # the codestream stands upright, and its EXIF data still say how it once lay
        picture = lying(1)
        picture.save(tmp_path / "a.jxl", exif=exif, lossless=True)
    check(tmp_path / "a.jxl", orientation)
