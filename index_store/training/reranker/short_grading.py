"""Use grades made by eye: one half of the queries is learned from, the other tells how good the scores are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from index_store.training.data.metrics import expected_calibration_error, rmse
from index_store.training.data.short_grades import GRADES, RIGHT_GRADE, Grade, read_grades
from index_store.training.data.short_pairs import ShortPairs

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from index_store.reranker.cosine import Scorer

GRADE_WEIGHT = 1.0
"""The weight of a graded pair, relative to the mean pair.

Five times as much changes precision and right ones shown by .05.
"""


@dataclass(frozen=True, slots=True)
class GradeScores:
    """Scores of graded pairs, both of shape (n,)."""

    scores: NDArray[np.float64]
    grades: NDArray[np.int64]

    def measured(self, min_score: float) -> dict[str, float]:
        """Return the metrics by name at a threshold; right is a grade of 3 or more."""
        right, shown = self.grades >= RIGHT_GRADE, self.scores >= min_score
        wanted = (self.grades - GRADES[0]) / (GRADES[-1] - GRADES[0])
        return {
            "short_right_shown": float((shown & right).sum() / right.sum()),
            "short_precision": float((shown & right).sum() / shown.sum()) if shown.any() else float("nan"),
            "short_rmse_ratio": rmse(self.scores, wanted) / rmse(np.full(len(wanted), wanted.mean()), wanted),
            "short_ECE": expected_calibration_error(np.clip(self.scores, 0.0, 1.0), wanted),
        }


def halves(short: ShortPairs) -> tuple[list[Grade], list[Grade]]:
    """Return the grades to learn from and those to check by: every second query, of the photos that the pairs name."""
    known = set(short.pairs.photos.names)
    queries = sorted({grade.query for grade in read_grades()})
    checking = set(queries[1::2])
    usable = [grade for grade in read_grades() if grade.photo in known and grade.query in set(short.pairs.texts.names)]
    return [grade for grade in usable if grade.query not in checking], [g for g in usable if g.query in checking]


def with_grades(short: ShortPairs, grades: Sequence[Grade]) -> ShortPairs:
    """Return the pairs with graded ones added, which scores are calibrated on, too."""
    pairs = short.pairs
    weights = np.full(len(grades), GRADE_WEIGHT * pairs.weight.mean())
    added = replace(
        pairs,
        text_places=np.concatenate([pairs.text_places, pairs.texts.places([grade.query for grade in grades])]),
        photo_places=np.concatenate([pairs.photo_places, pairs.photos.places([grade.photo for grade in grades])]),
        relevance=np.concatenate([pairs.relevance, [grade.relevance for grade in grades]]),
        weight=np.concatenate([pairs.weight, weights]),
    )
    calibrating = np.concatenate([short.calibrating, np.ones(len(grades), np.bool_)])
    match_weight = np.concatenate([short.match_weight, np.full(len(grades), GRADE_WEIGHT * short.match_weight.mean())])
    return replace(short, pairs=added, match_weight=match_weight, calibrating=calibrating)


def score_grades(short: ShortPairs, grades: Sequence[Grade], scorer: Scorer) -> GradeScores:
    """Score graded pairs with a model that was fitted without their photos."""
    texts = short.pairs.texts.rows[short.pairs.texts.places([grade.query for grade in grades])]
    photos = short.pairs.photos.rows[short.pairs.photos.places([grade.photo for grade in grades])]
    scores = [scorer.score(text, photo[None])[0] for text, photo in zip(texts, photos, strict=True)]
    return GradeScores(np.array(scores, np.float64), np.array([grade.grade for grade in grades]))
