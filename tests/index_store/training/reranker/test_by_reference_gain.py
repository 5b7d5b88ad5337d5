"""What training gains over scores by reference is measured on the same pairs and the same queries."""

from __future__ import annotations

import math

import numpy as np
import pytest

from index_store.reranker.by_reference import least_z
from index_store.training.data.pairs import Pairs, Vectors
from index_store.training.reranker.by_reference_gain import (
    ByReference,
    gain_line,
    measure_by_reference,
    reference_scorer,
    score_pairs,
)
from index_store.training.reranker.min_score import BestScores, best_scores


@pytest.fixture
def held_out() -> Pairs:
    """Three texts and forty photos of four numbers, and seven judged pairs in no order."""
    chance = np.random.default_rng(0)
    photos, texts = (chance.normal(size=(count, 4)).astype(np.float32) for count in (40, 3))
    photos, texts = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (photos, texts))
    of_texts, of_photos = np.array([2, 0, 1, 0, 2, 2, 1]), np.array([5, 9, 39, 0, 7, 5, 1])
    named = Vectors([f"t{n}" for n in range(3)], texts), Vectors([f"p{n}" for n in range(40)], photos)
    return Pairs(*named, of_texts, of_photos, np.linspace(0, 1, 7), np.ones(7))


def test_pairs_are_scored_one_by_one_as_a_query_would_be(held_out):
    scorer = reference_scorer(held_out.photos.rows)
    assert scorer is not None
    for score, text, photo in zip(score_pairs(scorer, held_out), held_out.text_rows, held_out.photo_rows, strict=True):
        cosines = held_out.photos.rows @ text
        z = (text @ photo - cosines.mean()) / cosines.std()
        assert score == pytest.approx(1 / (1 + math.exp(-1.5 * (z - least_z(100)))), abs=1e-5)


def test_too_few_photos_give_no_reference(held_out):
    assert reference_scorer(held_out.photos.rows[:29]) is None


def test_it_is_measured_at_its_own_threshold(held_out):
    scorer = reference_scorer(held_out.photos.rows)
    assert scorer is not None
    best = BestScores(real=np.array([0.5, 0.6, 0.4]), absent=np.array([0.1, 0.5, 0.2]))
    found = measure_by_reference(scorer, held_out, best)
    assert (found.absent_answered, found.real_answered) == (pytest.approx(1 / 3), pytest.approx(2 / 3))
    squares = (score_pairs(scorer, held_out) - held_out.relevance) ** 2
    assert found.rmse == pytest.approx(math.sqrt(squares.mean()))
    assert measure_by_reference(scorer, held_out, None).real_answered is None


def test_both_are_asked_of_the_same_galleries():
    """What the trained reranker predicts to match is absent from both galleries."""
    photos = np.array([[0.9], [0.7], [0.4], [0.1]], dtype=np.float32)
    found = best_scores(
        lambda query, rows: 1 - rows[:, 0],
        {"b#0": np.array([1.0], dtype=np.float32)},
        ["a", "b", "c", "d"],
        photos,
        lambda query_id: np.array([False, True, False, False]),
        predict=lambda query, rows: rows[:, 0],
    )
    assert (found.real.tolist(), found.absent.tolist()) == ([np.float32(0.9)], [np.float32(0.9)])


def test_the_line_has_the_reference_behind_each_figure():
    reference = ByReference(0.25, 0.2, 0.08, 0.75)
    assert gain_line(0.155, 0.013, (0.05, 0.87), reference) == (
        "gained over scores by reference, which need no training: RMSE 0.155 for 0.250, ECE 0.013 for 0.200, "
        "absent queries answered 5% for 8%, real ones 87% for 75%"
    )
    assert gain_line(0.155, 0.013, (None, None), reference).endswith("ECE 0.013 for 0.200")
