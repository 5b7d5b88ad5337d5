"""What filters cost a query over many photos, and whether they find the best that pass: `python -m benchmarks.filters`.

Each photo has one of a hundred years, ten photos in a row the same, so that a year bounds how many pass. Vectors are
those of benchmarks.scale.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from datetime import date
from multiprocessing import get_context
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.rows import Row, show, wall_seconds
from benchmarks.scale import POOL, Synthetic, fill, make_files
from benchmarks.speed import IMGSEARCH
from index_store.encoders.registry import encoder_card
from index_store.question import Filters
from index_store.store.image_store import create_store, open_store
from index_store.store.manifest import Manifest

FIRST_YEAR = 1925
SHARES = {"1 %": 1, "10 %": 10, "50 %": 50, "99 %": 99}
_TIMES = 7


def main() -> None:
    """Build, measure, and show the rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=int, default=100_000)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work, card = Path(folder), encoder_card()
        store = create_store(str(work / "large"), Manifest(card.name, card.dimension))
        vectors, _ = fill(store, make_files(work / "photos", chosen.photos), Synthetic(card.dimension))
        store.tune()
        np.save(work / "vectors.npy", vectors)
        with ProcessPoolExecutor(1, get_context("spawn")) as fresh:  # not with what was just built
            warm = fresh.submit(warm_rows, work, card.dimension).result()
        show(cold_rows(work, chosen.photos) + warm, chosen.json)


def before(share: int) -> int:
    """Return the year before which so many of a hundred photos were taken."""
    return FIRST_YEAR + share


def cold_rows(work: Path, photos: int) -> list[Row]:
    """Time a query in a fresh process with each filter, in turn with one that has none."""
    plain = [IMGSEARCH, "query", "a dog", "--min-score", "0", "--store", str(work / "large")]
    commands = {name: [*plain, "--before", str(before(share))] for name, share in SHARES.items()}
    commands["one folder of a thousand photos"] = [*plain, "--in", str(work / "photos" / "0007")]
    wall_seconds(plain)  # the first one after a change checks all links
    rounds = [(wall_seconds(plain), *map(wall_seconds, commands.values())) for _ in range(_TIMES)]
    rows = []
    for number, name in enumerate(commands, start=1):
        ratio = median(seconds[number] / seconds[0] for seconds in rounds)
        filtered, all_ = (median(seconds[at] for seconds in rounds) for at in (number, 0))
        figure = f"cold query at {photos:,}, {name} pass / no filter"
        rows.append(Row(figure, ratio, f"{filtered:.2f} s", f"{all_:.2f} s", 1.5, 1.2, False))
    return rows


def warm_rows(work: Path, dimension: int) -> list[Row]:
    """Time 50 queries with each filter in one process, and compare what they find with all vectors that pass."""
    store, vectors = open_store(str(work / "large")), np.load(work / "vectors.npy")
    # vectors were drawn in the order of the files' paths, and years go round in it
    position = {row.content_hash: number for number, row in enumerate(sorted(store.photos(), key=lambda p: p.image_id))}
    years = FIRST_YEAR + np.arange(len(vectors)) // 10 % 100
    rows = []
    for name, share in SHARES.items():
        filters, found, times = Filters(before=date(before(share), 1, 1)), 0, []
        passing = np.flatnonzero(years < before(share))
        for query in Synthetic(dimension, seed=2).draw(50):
            plain = _seconds(lambda query=query: store.nearest(query, POOL))  # type: ignore[misc]
            started = time.perf_counter()
            pool = {position[candidate.key] for candidate in store.nearest(query, POOL, filters)}
            times.append((time.perf_counter() - started, plain))
            found += len(pool & set(passing[np.argsort(-(vectors[passing] @ query))[:POOL]].tolist()))
        filtered, all_ = (median(pair[at] for pair in times) for at in (0, 1))
        measured, baseline = f"{1000 * filtered:.1f} ms", f"{1000 * all_:.1f} ms"
        ratio = median(one / other for one, other in times)
        rows.append(Row(f"warm pool, {name} pass / no filter", ratio, measured, baseline, 3.0, 1.5, False))
        rows.append(Row(f"recall of the pool, {name} pass", found / POOL / 50, "", "1: exact search", 0.99, 1, True))
    return rows


def _seconds(work: object) -> float:
    started = time.perf_counter()
    work()  # type: ignore[operator]
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
