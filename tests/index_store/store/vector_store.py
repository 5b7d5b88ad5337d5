"""A store on disk, made by Chroma itself, whose vectors are in files for the greater part."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np

ROWS, DIMENSION, IN_FILES = 250, 16, 200

_MAKE = """
import sys
import numpy as np
from index_store.store.chroma_import import chromadb, own_settings
rows, dimension = int(sys.argv[2]), int(sys.argv[3])
client = chromadb.PersistentClient(sys.argv[1], settings=own_settings())
vectors = np.random.default_rng(0).normal(size=(rows, dimension)).astype(np.float32)
vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
for name, size in (("photos", dimension), ("notes", 1)):
    # files are written every 100 rows here, and not every 1,000
    configuration = {"hnsw": {"space": "cosine", "max_neighbors": 32, "sync_threshold": 100, "ef_search": 400}}
    collection = client.create_collection(name, configuration=configuration, embedding_function=None)
    for start in range(0, rows, 50):
        part = vectors[start : start + 50] if size > 1 else np.ones((50, 1), dtype=np.float32)
        ids = [f"row {i}" for i in range(start, start + 50)]
        collection.upsert(ids=ids, embeddings=part, metadatas=[{"number": i} for i in range(start, start + 50)])
"""


def vectors() -> np.ndarray:
    """Return what the store holds, a row for each id, shape (ROWS, DIMENSION)."""
    rows = np.random.default_rng(0).normal(size=(ROWS, DIMENSION)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def make(folder: Path) -> Path:
    """Make the store in a process of its own, which leaves nothing open here."""
    subprocess.run([sys.executable, "-c", _MAKE, str(folder), str(ROWS), str(DIMENSION)], check=True)
    return folder


def copy(made: Path, to: Path) -> Path:
    """Return a copy, in which no test disturbs another and Chroma has nothing in memory."""
    shutil.copytree(made, to)
    return to


def vector_folder(store: Path, dimension: int = DIMENSION) -> Path:
    """Return the folder with the vectors of the collection that has this dimension."""
    row_size = 4 + 64 * 4 + 4 * dimension + 8
    [folder] = [
        f
        for f in store.iterdir()
        if f.is_dir() and (f / "length.bin").stat().st_size // 4 * row_size == ((f / "data_level0.bin").stat().st_size)
    ]
    return folder
