"""Vectors in which relevance can be learned, for the reranker and for its training."""

from __future__ import annotations

import numpy as np
import pytest

from index_store.training.data.pairs import Pairs, Vectors
from index_store.training.reranker.models import Material


@pytest.fixture(scope="session")
def learnable() -> Material:
    """Sixty photos and thirty texts of twelve numbers; a pair's relevance rises with its cosine, with some noise."""
    chance = np.random.default_rng(0)

    def unit(count: int) -> np.ndarray:
        rows = chance.normal(size=(count, 12)).astype(np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    photos = Vectors([f"p{number:02d}.jpg" for number in range(60)], unit(60))
    texts = Vectors([f"p{number:02d}.jpg#0" for number in range(30)], unit(30))
    text_places, photo_places = (chance.integers(0, count, 900) for count in (30, 60))
    cosines = np.einsum("ij,ij->i", texts.rows[text_places], photos.rows[photo_places])
    relevance = np.clip(0.4 + 0.6 * cosines + chance.normal(scale=0.05, size=900), 0, 1)
    pairs = Pairs(texts, photos, text_places, photo_places, relevance.astype(np.float64), np.ones(900))
    return Material(pairs)
