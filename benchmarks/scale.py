"""How the store holds up with many photos: `python -m benchmarks.scale [--photos 100000] [--json FILE]`.

The vectors are synthetic: 40 numbers drawn from a normal distribution, turned into as many as the encoder makes by a
random matrix, with noise, unit rows. Like real embeddings they lie near a surface of few dimensions; points spread over
the whole sphere would be a harder and less likely case.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import psutil

from benchmarks.rows import Row, alternate, show, wall_seconds
from benchmarks.speed import IMGSEARCH
from index_store.compliance.choose_photo_rule import choose_photo_rules
from index_store.compliance.policy import load_policy
from index_store.encoders.registry import encoder_card
from index_store.library import Library
from index_store.photos.find import find_photos
from index_store.photos.hashing import new_digest
from index_store.records import IndexedRoot, PhotoFile, StoredPhoto, Verdict
from index_store.store.image_store import ImageStore, create_store, open_store
from index_store.store.manifest import Manifest

POOL = 100
BATCH = 2_000
Vectors = np.ndarray[Any, np.dtype[np.float32]]


class Synthetic:
    """Draws unit vectors that lie near a surface of 40 dimensions."""

    def __init__(self, dimension: int, seed: int = 1) -> None:
        self._matrix = np.random.default_rng(0).normal(size=(40, dimension)).astype(np.float32)
        self._random = np.random.default_rng(seed)

    def draw(self, count: int) -> Vectors:
        """Return `count` unit rows."""
        inner = self._random.normal(size=(count, 40)).astype(np.float32)
        rows = inner @ self._matrix + 0.5 * self._random.normal(size=(count, self._matrix.shape[1])).astype(np.float32)
        return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


def main() -> None:
    """Build, measure, and show the rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=int, default=100_000)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        show(measure(work, chosen.photos), chosen.json)


def measure(work: Path, photos: int) -> list[Row]:
    """Build a store of `photos` synthetic rows whose files exist, and return what it costs to use."""
    card = encoder_card()
    files = make_files(work / "photos", photos)
    manifest = Manifest(card.name, card.dimension)
    small = create_store(str(work / "small"), manifest)
    fill(small, files[:100], Synthetic(card.dimension))
    store = create_store(str(work / "large"), manifest)
    vectors, seconds = fill(store, files, Synthetic(card.dimension))
    store.tune()  # as an index run does at its end
    np.save(work / "vectors.npy", vectors)
    resident = psutil.Process().memory_info().rss / 1e6
    rows = [
        Row("build, photos/s", photos / seconds, f"{seconds:.0f} s", "-", 0, 0, True),
        Row(
            "store, bytes a photo",
            (store.bytes_on_disk() or 0) / photos,
            f"{4 * card.dimension} of vector",
            "-",
            1e9,
            1e9,
            False,
        ),
        Row("memory after building, MB", resident, "the building process", "-", 1e9, 1e9, False),
    ]
    with ProcessPoolExecutor(1, get_context("spawn")) as fresh:  # as a query does, and not with the graph just built
        rows += fresh.submit(recall_and_time, work, card.dimension).result()
    rows += cold(work, photos)
    rows += unchanged_run(work, photos)
    rows += batch_rate(work, photos)
    return rows


def make_files(folder: Path, count: int) -> list[PhotoFile]:
    """Make `count` small files called .jpg, a thousand in a folder, and return them as the disk shows them."""
    for number in range(count):
        path = folder / f"{number // 1000:04}" / f"{number:07}.jpg"
        if number % 1000 == 0:
            path.parent.mkdir(parents=True)
        path.write_bytes(b"\xff\xd8\xff%d" % number)
    return find_photos(str(folder)).files


def fill(store: ImageStore, files: list[PhotoFile], synthetic: Synthetic) -> tuple[Vectors, float]:
    """Write a row for each file, each tenth withheld; return the vectors and the seconds that writing took."""
    policy = load_policy()
    rule = choose_photo_rules(encoder_card(), policy).version
    # as the rule of today would say, so that none is judged again
    clean, withheld = (Verdict(bool(n), float(n), "", rule, policy.digest) for n in (0, 1))
    parts, seconds = [], 0.0
    for start in range(0, len(files), BATCH):
        batch = [
            _row(file, clean if number % 10 else withheld, 1925 + number // 10 % 100)
            for number, file in enumerate(files[start : start + BATCH])
        ]
        parts.append(synthetic.draw(len(batch)))
        started = time.perf_counter()
        store.upsert(batch, parts[-1])
        seconds += time.perf_counter() - started
    return np.concatenate(parts), seconds


def _row(file: PhotoFile, verdict: Verdict, year: int) -> StoredPhoto:
    content = new_digest(file.image_id.encode()).hexdigest()
    taken, camera = f"{year}-06-14T12:30:00", "ACME One"
    return StoredPhoto(content, (replace(file, content_hash=content),), 640, 480, verdict, taken, camera)


def recall_and_time(work: Path, dimension: int) -> list[Row]:
    """Compare the pool with exact search over 100 queries, and time both."""
    store, vectors = open_store(str(work / "large")), np.load(work / "vectors.npy")
    # vectors were drawn in the order of the files' paths
    position = {row.content_hash: number for number, row in enumerate(sorted(store.photos(), key=lambda p: p.image_id))}
    queries = Synthetic(dimension, seed=2).draw(100)
    found, ours, exact = 0, [], []
    store.nearest(queries[0], POOL)
    for query in queries:
        started = time.perf_counter()
        pool = {position[candidate.key] for candidate in store.nearest(query, POOL)}
        ours.append(time.perf_counter() - started)
        started = time.perf_counter()
        best = np.argpartition(-(vectors @ query), POOL)[:POOL]
        exact.append(time.perf_counter() - started)
        found += len(pool & set(best.tolist()))
    recall = found / (POOL * len(queries))
    times = (f"{1000 * median(ours):.1f} ms warm", f"{1000 * median(exact):.1f} ms exact in numpy")
    return [Row(f"recall of the pool of {POOL} against exact search", recall, *times, 0.99, 1.0, True)]


def cold(work: Path, photos: int) -> list[Row]:
    """Time a query in a fresh process over the large store and over one of 100 photos."""
    large, small = alternate(
        lambda: wall_seconds([IMGSEARCH, "query", "a dog", "--min-score", "0", "--store", str(work / "large")]),
        lambda: wall_seconds([IMGSEARCH, "query", "a dog", "--min-score", "0", "--store", str(work / "small")]),
        7,
    )
    return [
        Row(f"cold query at {photos:,} / at 100", large / small, f"{large:.2f} s", f"{small:.2f} s", 1.6, 1.2, False)
    ]


def unchanged_run(work: Path, photos: int) -> list[Row]:
    """Time the whole command that refreshes a library in which nothing has changed, beside listing its files alone."""
    place, folder = str(work / "large"), str(work / "photos")
    open_store(place).set_roots([IndexedRoot(folder, "", photos)])
    whole, listing = alternate(
        lambda: wall_seconds([IMGSEARCH, "-q", "index", "--store", place]), lambda: _seconds_to_list(folder), 3
    )
    report = Library(place).index()
    assert (report.unchanged, report.encoded) == (photos, 0)
    name = f"unchanged library of {photos:,} files: imgsearch index, s"
    return [Row(name, whole, "from start to report", f"{listing:.1f} s listing alone", 15, 5, False)]


def _seconds_to_list(folder: str) -> float:
    started = time.perf_counter()
    find_photos(folder)
    return time.perf_counter() - started


def batch_rate(work: Path, photos: int) -> list[Row]:
    """Time many different queries in one process, from its start to its end, against one query alone."""
    people, deeds, places = ("a man", "a woman", "two dogs", "a horse", "nobody"), ("running", "asleep", "in red"), 140
    texts = [f"{who} {deed} at place {place}" for place in range(places) for who in people for deed in deeds]
    (work / "texts").write_text("\n".join(texts) + "\n", encoding="utf-8")
    store = str(work / "large")
    whole = wall_seconds([IMGSEARCH, "query", "--batch", str(work / "texts"), "--min-score", "0", "--store", store])
    one = wall_seconds([IMGSEARCH, "query", "a dog by a tree", "--min-score", "0", "--store", store])
    name = f"--batch, {len(texts)} new texts over {photos:,} photos, pool {POOL}: queries/s"
    return [Row(name, len(texts) / whole, f"{whole:.1f} s", f"{one:.2f} s for one alone", 60, 200, True)]


if __name__ == "__main__":
    main()
