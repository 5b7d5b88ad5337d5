"""Run the benchmarks: `python -m benchmarks [--json FILE] [--data DIR] [--only speed|quality]`."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from benchmarks import page, quality, speed
from benchmarks.rows import show


def main() -> None:
    """Measure, and show the rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/with_sense"))
    parser.add_argument("--json", type=Path, help="also write the rows as JSON lines")
    parser.add_argument("--only", choices=("speed", "quality"))
    chosen = parser.parse_args()
    if not chosen.data.is_dir():
        parser.error(f"{chosen.data}: the photos are not there; name another folder of the same layout with --data")
    rows = []
    with tempfile.TemporaryDirectory() as work:
        if chosen.only != "speed":
            rows += quality.retrieval(chosen.data) + quality.reranker(chosen.data, Path(work))
        if chosen.only != "quality":
            rows += speed.cold_query(chosen.data / "test_images", Path(work))
            rows += speed.index_throughput(chosen.data / "train_images", Path(work))
            rows += speed.decoding(Path(work))
            rows += speed.index_memory(chosen.data / "train_images", Path(work))
            rows += speed.reranking()
            rows += page.answers(Path(work))
    show(rows, chosen.json)


if __name__ == "__main__":
    main()
