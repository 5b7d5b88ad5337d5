from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from index_store.training.data import metrics

unit = st.floats(0, 1, allow_nan=False)


def twin_tau_c(scores, ratings) -> float:
    """Kendall's tau-c by counting pairs: 2 (C - D) / (n^2 (m - 1) / m)."""
    points = [(score, rating) for score, row in zip(scores, ratings, strict=True) for rating in row]
    signs = [(a[0] - b[0]) * (a[1] - b[1]) for a, b in itertools.combinations(points, 2)]
    difference = sum(sign > 0 for sign in signs) - sum(sign < 0 for sign in signs)
    classes = min(len({point[0] for point in points}), len({point[1] for point in points}))
    return 2 * difference / (len(points) ** 2 * (classes - 1) / classes)


def twin_tau_b(scores, shares) -> float:
    signs = [
        (np.sign(a[0] - b[0]), np.sign(a[1] - b[1]))
        for a, b in itertools.combinations(list(zip(scores, shares, strict=True)), 2)
    ]
    difference = sum(x * y for x, y in signs)
    return difference / math.sqrt(sum(x != 0 for x, _ in signs) * sum(y != 0 for _, y in signs))


def test_errors_by_hand():
    scores, relevance = np.array([0.0, 0.5, 1.0]), np.array([0.0, 1.0, 1.0])
    assert metrics.rmse(scores, relevance) == pytest.approx(math.sqrt(0.25 / 3))
    assert metrics.mae(scores, relevance) == pytest.approx(0.5 / 3)
    assert metrics.r2(scores, relevance) == pytest.approx(1 - 0.25 / (2 / 3))


def test_rank_correlations_agree_with_counting():
    chance = np.random.default_rng(3)
    scores = chance.integers(0, 12, 40) / 12
    ratings = chance.integers(1, 5, (40, 3)).tolist()
    shares = chance.integers(0, 4, 40) / 3
    assert metrics.tau_c_single_ratings(scores, ratings) == pytest.approx(twin_tau_c(scores, ratings))
    assert metrics.tau_b(scores, shares) == pytest.approx(twin_tau_b(scores, shares))


def test_calibration_error_by_hand():
    scores, relevance = np.array([0.05, 0.15, 0.15, 1.0]), np.array([0.05, 0.25, 0.45, 0.6])
    # bins 0, 1 and 9: gaps 0, 0.2 and 0.4 with 1, 2 and 1 pairs
    assert metrics.expected_calibration_error(scores, relevance) == pytest.approx((0 + 2 * 0.2 + 0.4) / 4)


def test_rankings_by_hand():
    ranking = metrics.ranking_of(np.array([0.1, 0.9, 0.9, 0.5]))
    assert ranking.tolist() == [1, 2, 3, 0]
    measured = metrics.measure_ranking(ranking, {3: 1.0})
    expected = {"R@1": 0.0, "R@5": 1.0, "R@10": 1.0, "MRR": 1 / 3, "nDCG@10": 0.5}
    assert measured.named() == pytest.approx(expected)


def test_graded_gain_by_hand():
    gained = metrics.ndcg_at(np.array([0, 1, 2]), {1: 1.0, 2: 0.5})
    ideal = 1.0 + 0.5 / math.log2(3)
    assert gained == pytest.approx((1.0 / math.log2(3) + 0.5 / 2) / ideal)


@given(st.lists(st.tuples(unit, unit), min_size=1, max_size=40))
def test_calibration_error_stays_within_its_range(pairs):
    scores, relevance = (np.array(column) for column in zip(*pairs, strict=True))
    assert 0.0 <= metrics.expected_calibration_error(scores, relevance) <= 1.0
    assert sum(row.count for row in metrics.calibration_bins(scores, relevance)) == len(pairs)


@given(st.lists(unit, min_size=1, max_size=30), st.data())
def test_ranking_metrics_stay_within_their_range_and_agree_with_the_rank(scores, drawn):
    target = drawn.draw(st.integers(0, len(scores) - 1))
    ranking = metrics.ranking_of(np.array(scores))
    rank = ranking.tolist().index(target) + 1
    found = metrics.measure_ranking(ranking, {target: 1.0}).named()
    expected = {f"R@{depth}": float(rank <= depth) for depth in (1, 5, 10)}
    expected |= {"MRR": 1 / rank, "nDCG@10": 1 / math.log2(rank + 1) if rank <= 10 else 0.0}
    assert found == pytest.approx(expected)
