from __future__ import annotations

import numpy as np
import pytest

from index_store.reranker.by_reference import ReferenceScorer, least_z

DIMENSION = 64


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)


@pytest.fixture
def chance() -> np.random.Generator:
    return np.random.default_rng(0)


def photos_of(chance: np.random.Generator, count: int) -> np.ndarray:
    """Photos in a narrow cone, as CLIP's are: all similarities lie far above 0."""
    return unit(chance.normal(size=(count, DIMENSION)) + 1.0)


@pytest.mark.parametrize("count", [30, 100, 2000])
def test_absent_queries_are_answered_about_as_seldom_as_is_said(chance, count):
    rows = photos_of(chance, count)
    scorer = ReferenceScorer(rows[:500], count)
    queries = unit(chance.normal(size=(500, DIMENSION)) + 0.5)
    answered = np.mean([scorer.score(query, rows).max() >= scorer.min_score for query in queries])
    assert 0.01 <= answered <= 0.15


def test_a_photo_that_is_meant_stands_out(chance):
    rows = photos_of(chance, 1000)
    scorer = ReferenceScorer(rows[:500], 1000)
    for place in range(50):
        scores = scorer.score(unit(rows[place] + 0.3 * unit(chance.normal(size=DIMENSION))), rows)
        assert scores.argmax() == place and scores[place] >= scorer.min_score


def test_scores_keep_the_order_of_similarities_and_lie_between_0_and_1(chance):
    rows = photos_of(chance, 200)
    query = unit(chance.normal(size=DIMENSION))
    scores = ReferenceScorer(rows, 200).score(query, rows)
    assert np.all(np.diff(scores[np.argsort(rows @ query)]) >= 0)
    assert scores.min() >= 0 and scores.max() <= 1


def test_photos_that_are_all_equal_give_finite_scores(chance):
    rows = np.repeat(photos_of(chance, 1), 40, axis=0)
    assert np.isfinite(ReferenceScorer(rows, 40).score(rows[0], rows)).all()


def test_the_more_photos_the_farther_the_best_of_them_has_to_stand_out():
    assert least_z(1) == pytest.approx(1.2816, abs=1e-4)  # the table of the normal distribution
    assert least_z(1) < least_z(100) < least_z(1_000_000)
