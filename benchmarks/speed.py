"""Cold queries, index throughput and memory, each against a baseline of the same run."""

from __future__ import annotations

import itertools
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from statistics import median

import numpy as np
import psutil

from benchmarks import by_hand
from benchmarks.rows import Row, alternate, wall_seconds

IMGSEARCH = str(Path(sys.executable).with_name("imgsearch"))
HERE = Path(__file__).parent
TIMES = 9


def cold_query(photos: Path, work: Path) -> list[Row]:
    """Time one query in a fresh process against opening the collection, and against the same written by hand."""
    store = str(work / "cold")
    subprocess.run([IMGSEARCH, "-q", "index", str(photos), "--store", store], check=True)
    texts = (f"dog on beach {number}" for number in itertools.count())

    def query() -> float:
        # a new text each time: the embedding of a repeated one is remembered
        return wall_seconds([IMGSEARCH, "query", next(texts), "--min-score", "0", "--store", store])

    ours, opening = alternate(
        query,
        lambda: wall_seconds([sys.executable, str(HERE / "open_chroma.py"), store]),
        TIMES,
    )
    paths = [str(path) for path in photos.iterdir()]
    by_hand.build(str(work / "by_hand"), paths)
    ours_again, hand = alternate(
        query,
        lambda: wall_seconds([sys.executable, "-m", "benchmarks.by_hand", str(work / "by_hand"), "dog on beach"]),
        5,
    )
    return [
        Row(
            f"cold query, {len(paths)} photos: wall / import chromadb and open the collection",
            ours / opening,
            f"{ours:.2f} s",
            f"{opening:.2f} s",
            0.60,
            0.45,
            False,
        ),
        Row(
            "by hand with sentence-transformers and chromadb / imgsearch query",
            hand / ours_again,
            f"{ours_again:.2f} s",
            f"{hand:.2f} s",
            4,
            8,
            True,
        ),
    ]


def index_throughput(photos: Path, work: Path) -> list[Row]:
    """Time an index run from finding the photos to the last row, against the tower on ready tensors."""
    from index_store.encoders.registry import load_photo_encoder
    from index_store.indexing.write import batch_size

    encoder = load_photo_encoder()
    side = encoder.photo_input.side
    ready = list(np.random.default_rng(0).integers(0, 256, (batch_size(), side, side, 3), dtype=np.uint8))
    count = len(list(photos.iterdir()))

    def tower() -> float:
        started = time.perf_counter()
        for _ in range(16):
            encoder.encode_photos(ready)
        return 16 * len(ready) / (time.perf_counter() - started)

    def indexing() -> float:
        store = work / f"throughput-{time.monotonic_ns()}"
        report = subprocess.run(
            [sys.executable, "-m", "benchmarks.index_once", str(photos), str(store)],
            check=True,
            capture_output=True,
            text=True,
        )
        return float(report.stdout)

    tower()
    ours, alone = alternate(indexing, tower, 3)
    return [
        Row(
            f"index throughput, {count} photos / the photo tower alone on ready tensors",
            ours / alone,
            f"{ours:.1f} photos/s",
            f"{alone:.1f} photos/s",
            0.70,
            0.90,
            True,
        )
    ]


def decoding(work: Path) -> list[Row]:
    """Time the decoding of a 12-megapixel JPEG at the scale that the encoder needs, against decoding all of it."""
    from PIL import Image

    from index_store.encoders.registry import encoder_card
    from index_store.photos.open import open_photo

    path = work / "large.jpg"
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    Image.fromarray(noise).resize((4000, 3000), Image.Resampling.BICUBIC).save(path, quality=92)
    wanted = encoder_card().photo_input

    def whole() -> None:
        with Image.open(path) as picture:
            picture.convert("RGB").resize((wanted.side, wanted.side), Image.Resampling.BICUBIC)

    full, ours = alternate(
        lambda: _milliseconds(whole, 5), lambda: _milliseconds(lambda: open_photo(str(path), wanted), 5), 3
    )
    small = work / "ordinary.jpg"
    exif = Image.Exif()
    exif[271], exif[272] = "Maker", "Model"
    exif.get_ifd(34665)[36867] = "2021:06:14 12:30:00"
    Image.fromarray(noise).resize((516, 388), Image.Resampling.BICUBIC).save(small, quality=90, exif=exif)

    def plain() -> None:
        with Image.open(small) as picture:
            picture.convert("RGB").resize((wanted.side, wanted.side), Image.Resampling.BICUBIC, reducing_gap=3.0)

    ordinary, alone = alternate(
        lambda: _milliseconds(lambda: open_photo(str(small), wanted)), lambda: _milliseconds(plain), 5
    )
    return [
        Row(
            "opening a 0.2-megapixel JPEG as index does / with Pillow alone",
            ordinary / alone,
            f"{ordinary:.2f} ms",
            f"{alone:.2f} ms",
            1.3,
            1.15,
            False,
        ),
        Row(
            "decoding a 12-megapixel JPEG whole / as index does",
            full / ours,
            f"{ours:.0f} ms",
            f"{full:.0f} ms",
            2,
            3,
            True,
        ),
    ]


def index_memory(photos: Path, work: Path) -> list[Row]:
    """Measure the peak resident memory of an index run, against chromadb and the tower's session alone."""
    count = len(list(photos.iterdir()))
    peak = peak_megabytes([IMGSEARCH, "-q", "index", str(photos), "--store", str(work / "memory")])
    alone = peak_megabytes(
        [
            sys.executable,
            "-c",
            "import chromadb; from index_store.encoders.registry import load_photo_encoder as l; l()",
        ]
    )
    return [
        Row(f"peak memory of index over {count} photos, MB", peak, f"{peak:.0f} MB", f"{alone:.0f} MB", 700, 450, False)
    ]


def peak_megabytes(command: list[str]) -> float:
    """Run a command and return the peak memory of it and its workers together, pages that they share counted once."""
    process = psutil.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    peak = 0
    while process.poll() is None:
        with suppress(psutil.Error):
            family = [process, *process.children(recursive=True)]
            peak = max(peak, sum(member.memory_full_info().pss for member in family))
        time.sleep(0.05)
    if process.returncode != 0:
        raise RuntimeError(f"{command} ended with {process.returncode}")
    return peak / 1e6


def reranking() -> list[Row]:
    """Time the reranking of 100 candidates, against the cosine that they come with."""
    from index_store.encoders.registry import encoder_card
    from index_store.reranker.reranking import load_reranker

    card = encoder_card()
    rows = np.random.default_rng(0).normal(size=(101, card.dimension)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    query, photos = rows[0], rows[1:]
    reranker = load_reranker(card.towers)
    ours, cosine = alternate(
        lambda: _milliseconds(lambda: reranker.score(query, photos)), lambda: _milliseconds(lambda: photos @ query), 5
    )
    return [Row("reranking 100 candidates, ms", ours, f"{ours:.2f} ms", f"{cosine:.3f} ms (cosine)", 10, 3, False)]


def _milliseconds(work: Callable[[], object], repeats: int = 50) -> float:
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        times.append(1000 * (time.perf_counter() - started))
    return median(times)
