"""How soon the web page answers: `python -m benchmarks.page [--photos 10000]`; rows of `make bench`."""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import time
import urllib.parse
import urllib.request
from pathlib import Path
from statistics import median, quantiles

import psutil

from benchmarks.rows import Row, show
from benchmarks.scale import Synthetic, fill, make_files
from benchmarks.speed import IMGSEARCH
from index_store.encoders.registry import encoder_card
from index_store.queries.ask import Searcher
from index_store.store.image_store import create_store
from index_store.store.manifest import Manifest

_WHO = ("a man", "a woman", "two dogs", "a horse", "a red car", "nobody", "a boat", "a bird", "a plate", "a hill")
_WHERE = ("at the beach", "in snow", "by a tree", "on a road", "at night", "in a kitchen")


def main() -> None:
    """Build, measure, and show the rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=int, default=10_000)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        show(answers(Path(folder), chosen.photos), chosen.json)


def answers(work: Path, photos: int = 10_000) -> list[Row]:
    """Time answers of `/api/search` to texts that are new to it, in turn with the library's own in this process."""
    place, card = str(work / "page-store"), encoder_card()
    store = create_store(place, Manifest(card.name, card.dimension))
    fill(store, make_files(work / "page-photos", photos), Synthetic(card.dimension))
    store.tune()
    texts = [f"{who} {where}" for where in _WHERE for who in _WHO]
    process = subprocess.Popen([IMGSEARCH, "serve", "--port", "0", "--store", place], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        link = process.stdout.readline().strip().partition("?")[0]
        # without a cache of texts, as the page's process is the first to see each of them
        searcher = Searcher(place)
        pairs, server = [], psutil.Process(process.pid)
        for number, text in enumerate(texts):
            if number == len(_WHO):  # the first ones load towers and store
                began = _cpu_seconds(server)
            pairs.append((_seconds_to_answer(link, f"{text}, in colour"), _seconds_to_search(searcher, text)))
        of_a_core = (_cpu_seconds(server) - began) / (len(texts) - len(_WHO))
    finally:
        process.terminate()
        process.wait()
    pairs = pairs[len(_WHO) :]
    page, library = (median(pair[at] for pair in pairs) for at in (0, 1))
    slowest = quantiles([pair[0] for pair in pairs], n=20)[-1]
    return [
        Row(
            f"/api/search over {photos:,} photos, new texts, ms",
            1000 * page,
            f"19 of 20 within {1000 * slowest:.0f} ms; {1000 * of_a_core:.0f} ms of a core each",
            f"{1000 * library:.0f} ms: the library in one process",
            40,
            25,
            False,
        )
    ]


def _cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _seconds_to_answer(link: str, text: str) -> float:
    asked = f"{link.rstrip('/')}/api/search?" + urllib.parse.urlencode({"q": text, "min_score": 0, "k": 30})
    started = time.perf_counter()
    with urllib.request.urlopen(asked) as answer:
        assert b'"matches"' in answer.read()
    return time.perf_counter() - started


def _seconds_to_search(searcher: Searcher, text: str) -> float:
    started = time.perf_counter()
    assert searcher.ask(text, k=30, min_score=0.0).matches
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
