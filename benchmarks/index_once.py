"""Index a folder once and print photos/s without the program's start: python -m benchmarks.index_once PHOTOS STORE."""

from __future__ import annotations

import sys

from index_store.indexing import Place
from index_store.upkeep import Library

if __name__ == "__main__":
    report = Library(sys.argv[2]).index([Place(sys.argv[1])])
    print(f"{report.photos_per_second:.3f}")
