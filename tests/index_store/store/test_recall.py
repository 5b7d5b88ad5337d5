from __future__ import annotations

import numpy as np
import pytest

from index_store.records import Candidate
from index_store.store.recall import TrueNeighbours, sample_queries


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def search_over(rows: np.ndarray):
    def nearest(query: np.ndarray, pool: int) -> list[Candidate]:
        similarities = rows @ query
        best = np.argsort(-similarities)[:pool]
        return [Candidate(str(i), float(similarities[i]), rows[i]) for i in best]

    return nearest


@pytest.mark.parametrize("page", [7, 100, 1000])
@pytest.mark.parametrize("photos", [3, 20, 300])
def test_a_search_over_all_photos_finds_all_and_one_over_half_of_them_half(photos, page):
    rows = unit(np.random.default_rng(1).normal(size=(photos, 8)))
    truth = TrueNeighbours(sample_queries(rows[:20]), pool=20)
    for start in range(0, photos, page):
        truth.add(rows[start : start + page])
    assert truth.found_by(search_over(rows)) == 1.0
    half = truth.found_by(search_over(rows[::2]))
    assert half == pytest.approx(0.5, abs=0.2)
    assert truth.found_by(lambda query, pool: []) == 0.0


def test_equal_photos_stand_for_each_other():
    rows = unit(np.repeat(np.random.default_rng(2).normal(size=(1, 8)), 50, axis=0))
    truth = TrueNeighbours(rows[:1], pool=10)
    truth.add(rows)
    assert truth.found_by(search_over(rows[::-1])) == 1.0


def test_queries_are_as_far_from_photos_as_texts_are():
    rows = unit(np.random.default_rng(3).normal(size=(30, 64)))
    assert np.allclose(np.sum(sample_queries(rows) * rows, axis=1), 0.4, atol=1e-5)


def test_a_store_without_photos_lacks_nothing():
    truth = TrueNeighbours(np.empty((0, 8), dtype=np.float32))
    assert truth.found_by(search_over(np.empty((0, 8), dtype=np.float32))) == 1.0
