"""Make the files of this folder and the table of what they show: `python -m tests.corpus.make`.

Every file shows the same upright picture of four quadrants (tests/pictures.py), stored in a way that some reader of
pictures got wrong. `answers.tsv` has one line a file that a person can read: its size, how many pictures it has, the
colours of its quadrants as a viewer shows them, when it was taken and by what, and what is special about it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, PngImagePlugin

from tests.index_store.photos.test_colour import (
    DEEP,
    GREY_QUADRANTS,
    PROFILES,
    SRGB_XYZ,
    grey_numbers,
    hdr,
    profile,
    tiff,
    to_light,
)
from tests.index_store.photos.test_content_decides import with_brands
from tests.pictures import QUADRANTS, SIZE, dng, exif_of, lying, quadrants, saved

HERE = Path(__file__).parent
HEAD = "file\twidth\theight\tpictures\tquadrants\ttaken\tcamera\twhat is special about it\n"
NAMES = {QUADRANTS: "red green blue yellow", GREY_QUADRANTS: "black dark light white"}
"""The two sets of quadrants by the words that stand for them in the table; black, dark, light, white are greys."""
ABOUT = {"make": "Canon", "model": "Canon EOS R5", "taken": "2021:06:14 12:30:00"}

Entry = tuple[str, bytes, str, int]


def oriented() -> Iterator[Entry]:
    """Yield one file of each format that lies, and says so."""
    formats = {
        "JPEG": ("jpg", {"quality": 90}),
        "PNG": ("png", {}),
        "WEBP": ("webp", {"lossless": True}),
        "HEIF": ("heic", {"quality": 95}),
        "AVIF": ("avif", {"quality": 95}),
    }
    for number, (family, (suffix, options)) in enumerate(formats.items()):
        turn = 5 + number % 4
        content = saved(lying(turn), family, exif=exif_of(turn, **ABOUT), **options)
        yield f"{family.lower()}-orientation-{turn}.{suffix}", content, f"orientation {turn} in EXIF, date, camera", 1
    for turn in (3, 6):
        content = saved(lying(turn), "TIFF", tiffinfo={274: turn})
        yield f"tiff-orientation-{turn}.tif", content, f"orientation {turn}, which Pillow applies by itself", 1
    content = saved(
        lying(8), "MPO", save_all=True, append_images=[lying(8).convert("L").convert("RGB")], exif=exif_of(8)
    )
    yield "mpo-orientation-8.jpg", content, "two photos in one JPEG, the second is grey", 2


def jpeg_xl() -> Iterator[Entry]:
    """Yield JPEG XL files, for which the extra `jxl` has to be installed."""
    import pillow_jxl  # noqa: F401  registers itself

    content = saved(lying(1), "JXL", lossless=True, exif=exif_of(6, **ABOUT))
    yield "jpeg-xl.jxl", content, "stands upright, whatever its EXIF data say; date, camera", 1
    with tempfile.NamedTemporaryFile(suffix=".jpg") as file:
        file.write(saved(lying(6), "JPEG", quality=90, exif=exif_of(6)))
        file.flush()
        with Image.open(file.name) as jpeg:
            made = saved(jpeg, "JXL", lossless_jpeg=True)
    yield "jpeg-xl-made-of-a-jpeg.jxl", made, "holds a JPEG of orientation 6", 1


def coloured() -> Iterator[Entry]:
    """Yield files whose numbers are not sRGB."""
    for name, (icc, to_numbers) in PROFILES.items():
        stored = Image.fromarray(to_numbers(np.asarray(quadrants(), float)).round().astype(np.uint8))
        file = name.split(",")[0].replace(" ", "-").replace(".", "-")
        yield f"profile-{file}.png", saved(stored, "PNG", icc_profile=icc), f"ICC profile: {name}", 1
    for family, suffix in (("AVIF", "avif"), ("HEIF", "heic"), ("PNG", "png")):
        for transfer, name in ((16, "pq"), (18, "hlg")):
            yield f"hdr-{name}.{suffix}", hdr(family, transfer), f"HDR by {name.upper()}, primaries of BT.2020", 1
    linear = Image.fromarray((255 * to_light(np.asarray(quadrants(), float))).round().astype(np.uint8))
    linear.putalpha(255)
    yield (
        "profile-linear-alpha.webp",
        saved(linear, "WEBP", lossless=True, icc_profile=profile(b"RGB ", SRGB_XYZ, 1.0, "linear")),
        "linear, with an alpha channel",
        1,
    )


def grey() -> Iterator[Entry]:
    """Yield grey files of more than eight bits, and such with a grey profile."""
    for name, content in DEEP.items():
        yield f"grey-{name.replace(' ', '-').replace(',', '')}.tif", content, f"grey, {name}", 1
    numbers = grey_numbers(1, "<f4")
    numbers[:3, :3], numbers[:4, 60:] = np.nan, 40.0
    yield (
        "grey-float-with-nan-and-highlights.tif",
        tiff(numbers, 32, sample_format=3),
        "float with NaN, and some of 40",
        1,
    )
    light = (to_light(np.asarray(quadrants(GREY_QUADRANTS).convert("L"), float)) * 65535).astype(np.uint16)
    yield (
        "grey-linear-profile-16-bits.png",
        saved(Image.fromarray(light), "PNG", icc_profile=profile(b"GRAY", (), 1.0, "grey")),
        "16 bits, a linear grey profile",
        1,
    )
    yield (
        "grey-16-bits.pgm",
        b"P5 96 64 65535\n" + grey_numbers(65535, ">u2").tobytes(),
        "portable greymap of 16 bits",
        1,
    )


def named_wrongly() -> Iterator[Entry]:
    """Yield files that their names or first brands speak wrongly of."""
    jpeg = saved(quadrants(), "JPEG", quality=90)
    yield "jpeg-named.nef", jpeg, "a JPEG named like camera RAW", 1
    yield "heic-named.jpg", saved(quadrants(), "HEIF", quality=95), "HEIC named like a JPEG", 1
    yield (
        "avif-under-mif1.heic",
        with_brands(saved(quadrants(), "AVIF", quality=95), b"mif1", [b"mif1", b"avif", b"miaf"]),
        "AVIF under the brand mif1",
        1,
    )
    white = quadrants(((250, 250, 250),) * 4).resize((24, 16))
    for suffix in ("kdc", "tif"):
        yield (
            f"raw-behind-a-thumbnail.{suffix}",
            dng(quadrants(), thumbnail=white, taken="2021:06:14 12:30:00"),
            "camera RAW in TIFF; its first picture is a white thumbnail",
            1,
        )


def broken() -> Iterator[Entry]:
    """Yield files with broken metadata, or without their last bytes."""
    yield (
        "exif-that-is-no-tiff.jpg",
        saved(quadrants(), "JPEG", dpi=(72, 72), quality=90, exif=b"Exif\0\0MM\x13*\0\0\0\x08\0\0"),
        "an EXIF block that is no TIFF",
        1,
    )
    text = PngImagePlugin.PngInfo()
    text.add_text("workflow", "node " * 400_000, zip=True)
    yield (
        "two-megabytes-of-text.png",
        saved(lying(6), "PNG", pnginfo=text, exif=exif_of(6)),
        "2 MB of compressed text, orientation 6",
        1,
    )
    yield "no-end-marker.jpg", saved(quadrants(), "JPEG", quality=90)[:-2], "a JPEG without its end marker", 1
    yield (
        "date-of-zeros.jpg",
        saved(quadrants(), "JPEG", quality=90, exif=exif_of(1, taken="0000:00:00 00:00:00")),
        "a date of zeros",
        1,
    )
    yield (
        "profile-of-noise.jpg",
        saved(quadrants(), "JPEG", quality=90, icc_profile=b"\x8a" * 500),
        "a profile that is none",
        1,
    )


def moving() -> Iterator[Entry]:
    """Yield files of several pictures; the first is the one with the four colours."""
    others = [quadrants(((number * 60,) * 3,) * 4) for number in (1, 2, 3)]
    for family, suffix in (
        ("GIF", "gif"),
        ("WEBP", "webp"),
        ("PNG", "apng.png"),
        ("TIFF", "tif"),
        ("AVIF", "avif"),
        ("HEIF", "heic"),
    ):
        options = (
            {"lossless": True}
            if family == "WEBP"
            else {"compression": "tiff_lzw"}
            if family == "TIFF"
            else {"quality": 90}
            if family in {"AVIF", "HEIF"}
            else {}
        )
        yield (
            f"four-pictures.{suffix}",
            saved(quadrants(), family, save_all=True, append_images=others, **options),
            "four pictures in one file",
            4,
        )


def main() -> None:
    """Write the files and the table."""
    lines = [HEAD]
    for entries in (oriented, jpeg_xl, coloured, grey, named_wrongly, broken, moving):
        for name, content, special, pictures in entries():
            (HERE / name).write_bytes(content)
            about = "2021-06-14T12:30:00" if "date, camera" in special or name.startswith("raw-") else ""
            camera = "Canon EOS R5" if "date, camera" in special else "Hand 1" if name.startswith("raw-") else ""
            colours = NAMES[GREY_QUADRANTS if entries is grey else QUADRANTS]
            lines.append("\t".join([name, *map(str, SIZE), str(pictures), colours, about, camera, special]) + "\n")
    (HERE / "answers.tsv").write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
