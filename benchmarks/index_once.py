"""Index a folder once and print photos/s without the program's start: python -m benchmarks.index_once PHOTOS STORE."""

from __future__ import annotations

import sys

from index_store.machine import one_blas_thread

one_blas_thread()  # as the command does

from index_store.library import Library  # noqa: E402
from index_store.photos.places import Place  # noqa: E402

if __name__ == "__main__":
    report = Library(sys.argv[2]).index([Place(sys.argv[1])])
    print(f"{report.photos_per_second:.3f}")
