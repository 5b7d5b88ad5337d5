"""Index a folder once and print photos/s without the program's start: python -m benchmarks.index_once PHOTOS STORE."""

from __future__ import annotations

import sys

from index_store.upkeep import index_folders

if __name__ == "__main__":
    report = index_folders([sys.argv[1]], store=sys.argv[2])
    print(f"{report.photos_per_second:.3f}")
