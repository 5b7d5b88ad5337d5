from __future__ import annotations

import numpy as np

from index_store.training.data.judgements import CrowdPair, ExpertPair, Judgements
from index_store.training.reranker.min_score import BestScores, best_scores, choose_min_score, good_answers


def test_the_least_score_is_the_smallest_that_keeps_absent_queries_out():
    best = BestScores(real=np.array([0.2, 0.6, 0.9, 0.9]), absent=np.linspace(0, 0.5, 100))
    # at most 8 of 100 may reach it: those above 91/99 of 0.5, which is 0.4596
    assert choose_min_score(best) == 0.46
    assert best.answered(0.46) == (0.08, 0.75)


def test_the_least_score_keeps_absent_short_queries_out_too():
    best = BestScores(real=np.array([0.2, 0.6]), absent=np.linspace(0, 0.5, 100))
    assert choose_min_score(best, lambda score: 0.5 - score / 2) == 0.76
    assert choose_min_score(best, lambda score: 0.0) == 0.46
    assert choose_min_score(best, lambda score: 0.9) == 1.0


def test_good_answers_are_the_own_photo_the_judged_and_those_of_nearly_the_same_text(tmp_path):
    judgements = Judgements(
        tmp_path,
        {},
        [ExpertPair("b.jpg", "a.jpg#0", (3, 3, 3)), ExpertPair("c.jpg", "a.jpg#0", (3, 3, 2))],
        [CrowdPair("d.jpg", "a.jpg#0", 0.5), CrowdPair("e.jpg", "a.jpg#0", 0.4)],
    )
    texts = {"a.jpg#0": np.array([1.0, 0.0]), "f.jpg#1": np.array([0.9, 0.436]), "e.jpg#2": np.array([0.0, 1.0])}
    gallery = ["a.jpg", "b.jpg", "c.jpg", "d.jpg", "e.jpg", "f.jpg"]
    found = good_answers(judgements, texts, gallery)("a.jpg#0")
    assert dict(zip(gallery, found.tolist(), strict=True)) == {
        "a.jpg": True,
        "b.jpg": True,
        "c.jpg": False,
        "d.jpg": True,
        "e.jpg": False,
        "f.jpg": True,
    }


def test_best_scores_leave_high_photos_out_of_the_absent_gallery():
    photos = np.array([[0.9], [0.7], [0.4], [0.1]], dtype=np.float32)
    gallery = ["a.jpg", "b.jpg", "c.jpg", "d.jpg"]
    found = best_scores(
        lambda query, rows: rows[:, 0] * query[0],
        {"b.jpg#0": np.array([1.0], dtype=np.float32)},
        gallery,
        photos,
        lambda query_id: np.array([False, True, False, False]),
    )
    # a.jpg is predicted to match, b.jpg is the query's own photo
    assert (found.real.tolist(), found.absent.tolist()) == ([np.float32(0.9)], [np.float32(0.4)])
