"""What photos of different sizes cost an index run: `python -m benchmarks.large_photos PHOTOS [--json FILE]`.

PHOTOS is a folder of real photos. Those of 0.2 and of 12 megapixels are the same pictures scaled, so that a decoder of
JPEG has real content to work on.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

from PIL import Image

from benchmarks.rows import Row, show
from benchmarks.speed import IMGSEARCH, index_throughput, peak_megabytes

ORDINARY = (516, 388)
LARGE = (4000, 3000)
HUGE = (16_000, 12_500)


def main() -> None:
    """Measure throughput on photos of two sizes, and memory over many photos and beside a huge one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--ordinary", type=int, default=1_000)
    parser.add_argument("--large", type=int, default=500)
    parser.add_argument("--many", type=int, default=10_000)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    originals = sorted(path for path in chosen.photos.iterdir() if path.suffix.lower() == ".jpg")
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        rows = [
            throughput(originals, work / "ordinary", ORDINARY, chosen.ordinary, (0.85, 0.95)),
            throughput(originals, work / "large", LARGE, chosen.large, (0.45, 0.80)),
            *memory(originals, work, chosen.many),
        ]
        show(rows, chosen.json)


def throughput(
    originals: list[Path], photos: Path, size: tuple[int, int], count: int, marks: tuple[float, float]
) -> Row:
    """Time an index run over photos of a size, made in the folder `photos`, against the tower alone."""
    photos.mkdir()
    for number, original in enumerate((originals * count)[:count]):
        with Image.open(original) as picture:
            picture.convert("RGB").resize(size, Image.Resampling.BICUBIC).save(photos / f"{number}.jpg", quality=90)
    row = index_throughput(photos, photos.parent)[0]
    name = f"index throughput, {count} photos of {size[0] * size[1] / 1e6:.1f} megapixels / the photo tower alone"
    return Row(name, row.value, row.measured, row.baseline, *marks, True)


def memory(originals: list[Path], work: Path, count: int) -> list[Row]:
    """Measure the peak memory of an index run over many photos, and over some with a huge one among them."""
    many, few = work / "many", work / "few"
    many.mkdir()
    few.mkdir()
    for number in range(count):
        original = originals[number % len(originals)]
        shutil.copyfile(original, many / f"{number:05}.jpg")
        with (many / f"{number:05}.jpg").open("ab") as file:
            file.write(b"%d" % number)  # behind the end of the picture: another content, so it is embedded again
    for original in originals[:100]:
        shutil.copyfile(original, few / original.name)
    with Image.open(originals[0]) as picture:
        picture.convert("RGB").resize(HUGE).save(few / "huge.jpg", quality=90)

    def peak(folder: Path) -> float:
        return peak_megabytes([IMGSEARCH, "-q", "index", str(folder), "--store", str(work / f"store-{folder.name}")])

    over_many, beside_huge = peak(many), peak(few)
    unchanged = f"{peak(few):.0f} MB where nothing changed"
    return [
        Row(
            f"peak memory, index over {count:,} photos, MB",
            over_many,
            f"{over_many:.0f} MB",
            unchanged,
            600,
            400,
            False,
        ),
        Row(
            "peak memory, 200 megapixels among 100 photos, MB",
            beside_huge,
            f"{beside_huge:.0f} MB",
            unchanged,
            900,
            500,
            False,
        ),
    ]


if __name__ == "__main__":
    main()
