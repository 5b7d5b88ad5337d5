"""Measure how many of the truly nearest photos a store's search finds: its graph may be cut by many near-equal ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from index_store.records import Candidate

SAMPLE = 50
"""Queries that are asked; the mean over them is good to about .01."""

POOL = 100
"""How many nearest photos each query asks for: as many as `imgsearch query` reranks."""

_TEXT_LIKENESS = 0.4
"""The cosine of a text and a photo that fits it well; a query that far from all photos is harder than a photo."""

_TIE = 1e-5

Rows = NDArray[np.float32]


def sample_queries(embeddings: Rows) -> Rows:
    """Return queries as far from photos as texts are, unit rows, one for each row of `embeddings`."""
    rows = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    away = np.random.default_rng(0).normal(size=rows.shape)
    away -= np.sum(away * rows, axis=1, keepdims=True) * rows
    away /= np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 1e-9)
    queries = _TEXT_LIKENESS * rows + np.sqrt(1 - _TEXT_LIKENESS**2) * away
    return np.asarray(queries / np.linalg.norm(queries, axis=1, keepdims=True), dtype=np.float32)


class TrueNeighbours:
    """The similarities of the truly nearest photos to some queries, gathered page by page."""

    def __init__(self, queries: Rows, pool: int = POOL) -> None:
        self.queries = queries
        self._pool = pool
        self._best = np.empty((len(queries), 0), dtype=np.float32)

    def add(self, embeddings: Rows) -> None:
        """Take in a page of photos, unit rows of shape (n, dimension)."""
        together = np.concatenate([self._best, self.queries @ embeddings.T], axis=1)
        if together.shape[1] > self._pool:
            together = np.partition(together, -self._pool, axis=1)[:, -self._pool :]
        self._best = together

    def found_by(self, nearest: Callable[[Rows, int], Sequence[Candidate]]) -> float:
        """Return the share, in [0, 1], of the true pools that a search finds; equal photos stand for each other."""
        wanted = self._best.shape[1]
        if not wanted or not len(self.queries):
            return 1.0
        least = self._best.min(axis=1) - _TIE
        found = [
            min(wanted, sum(candidate.similarity >= limit for candidate in nearest(query, wanted)))
            for query, limit in zip(self.queries, least, strict=True)
        ]
        return float(sum(found) / (wanted * len(found)))
