"""Embed photos with CLIP as index does, against the library's own loop: `python -m benchmarks.foreign`.

CLIP ViT-B/32 has random weights where no folder is named: time and memory are those of the published ones.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

from PIL import Image

from benchmarks.rows import Row, show
from benchmarks.speed import peak_megabytes
from index_store.encoders.registry import encoder_card, load_photo_encoder
from index_store.machine import usable_cores
from index_store.photos.decoder_workers import Decoders
from index_store.records import EncodingJob, PhotoFile

BLOCK = 32
"""Photos that are embedded in turn by one and by the other, so that a busy spell of the machine meets both."""

Embed = Callable[[Sequence[Path]], None]


def as_index_does(model: Path) -> Iterator[Embed]:
    """Yield what decodes in worker processes, for the encoder alone, and embeds."""
    card = encoder_card(str(model))
    encoder = load_photo_encoder(card)
    with closing(Decoders(usable_cores())) as decoders:

        def embed(photos: Sequence[Path]) -> None:
            jobs = [EncodingJob(PhotoFile(str(path), path.stat().st_size, path.stat().st_mtime_ns)) for path in photos]
            encoder.encode_photos([found.pixels for _, found in decoders.ahead(jobs, card.photo_input)])

        yield embed


def as_the_library_does(model: Path) -> Iterator[Embed]:
    """Yield what opens photos with Pillow and gives them to sentence-transformers."""
    from index_store.encoders.torchvision_shim import declare_missing_operators

    declare_missing_operators()
    from sentence_transformers import SentenceTransformer

    library = SentenceTransformer(str(model), device="cpu", local_files_only=True)

    def embed(photos: Sequence[Path]) -> None:
        pictures = [Image.open(path).convert("RGB") for path in photos]
        library.encode(pictures, batch_size=BLOCK, normalize_embeddings=True, show_progress_bar=False)

    yield embed


WAYS = {"index": as_index_does, "library": as_the_library_does}


def blocks(photos: Sequence[Path]) -> list[Sequence[Path]]:
    return [photos[start : start + BLOCK] for start in range(0, len(photos), BLOCK)]


def in_turn(model: Path, photos: Sequence[Path]) -> dict[str, float]:
    """Return the seconds that each way takes for all photos; the first block warms up and is not counted."""
    opened = {name: way(model) for name, way in WAYS.items()}
    ways = {name: next(way) for name, way in opened.items()}
    seconds = dict.fromkeys(ways, 0.0)
    for number, block in enumerate([photos[:BLOCK], *blocks(photos)]):
        for name in sorted(ways, reverse=bool(number % 2)):
            started = time.perf_counter()
            ways[name](block)
            seconds[name] += time.perf_counter() - started if number else 0.0
    for way in opened.values():
        way.close()  # type: ignore[attr-defined]
    return seconds


def main() -> None:
    """Measure, and show the rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/with_sense/train_images"))
    parser.add_argument("--model", type=Path, help="a folder of CLIP or SigLIP")
    parser.add_argument("--photos", type=int, default=1000)
    parser.add_argument("--json", type=Path, help="also write the rows as JSON lines")
    parser.add_argument("--alone", choices=sorted(WAYS), help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    photos = sorted(chosen.data.iterdir())[: chosen.photos]
    if chosen.alone:
        for embed in WAYS[chosen.alone](chosen.model):
            for block in blocks(photos):
                embed(block)
        return
    with tempfile.TemporaryDirectory() as work:
        model = chosen.model or _random_clip(Path(work) / "clip")
        seconds = in_turn(model, photos)
        given = ["--model", str(model), "--data", str(chosen.data), "--photos", str(chosen.photos)]
        peak = {
            name: peak_megabytes([sys.executable, "-m", "benchmarks.foreign", "--alone", name, *given]) for name in WAYS
        }
    rate = {name: len(photos) / taken for name, taken in seconds.items()}
    what = f"of {len(photos)} photos by CLIP ViT-B/32"
    rows = [
        Row(
            f"embedding {what}, as index does / sentence-transformers alone",
            rate["index"] / rate["library"],
            f"{rate['index']:.1f} photos/s",
            f"{rate['library']:.1f} photos/s",
            0.95,
            1.0,
            True,
        ),
        Row(
            f"peak memory {what}, with the decoders / sentence-transformers alone",
            peak["index"] / peak["library"],
            f"{peak['index']:.0f} MB",
            f"{peak['library']:.0f} MB",
            1.25,
            1.0,
            False,
        ),
    ]
    show(rows, chosen.json)


def _random_clip(folder: Path) -> Path:
    code = "import sys; from pathlib import Path; from tests.index_store.true_clip import make_true_clip as m; "
    subprocess.run([sys.executable, "-c", f"{code}m(Path(sys.argv[1]), 32)", str(folder)], check=True)
    return folder


if __name__ == "__main__":
    main()
