"""Measure scores on short queries: what is right comes first, is shown by default, and what is absent is not answered.

Right is a photo of which at least two captions say the query (one, where photos have one). A query is measured where
at least `LEAST_RIGHT` photos are right. Absent are things that no caption of the gallery says, asked of 100 photos.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from index_store.errors import DataError
from index_store.training.data.metrics import expected_calibration_error, rmse
from index_store.training.data.short_queries import Phrase, Sayings, relevance

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Rows = NDArray[np.float32]
    Score = Callable[[str], NDArray[np.float32]]
    """A text -> its score with each photo of the gallery, shape (n,)."""

LEAST_RIGHT = 5
ABSENT_GALLERY = 100
ABSENT_FILE = Path(__file__).with_name("absent_things.txt")
KINDS = ("thing", "described")
"""What is asked: things and described things; what people do is rarely the same word in two captions."""


@dataclass(frozen=True, slots=True)
class ShortScores:
    """Scores of short queries with all photos of one gallery, and the best score of each absent thing."""

    texts: Sequence[str]
    scores: NDArray[np.float64]
    """Shape (queries, photos)."""

    spread: NDArray[np.float64]
    """How far the wordings of a query score apart on each photo, at most, shape (queries, photos)."""

    right: NDArray[np.bool_]
    relevance: NDArray[np.float64]
    absent: NDArray[np.float64]

    def measured(self, min_score: float) -> dict[str, float]:
        """Return the metrics by name at a threshold; precision is NaN where nothing is shown."""
        shown = self.scores >= min_score
        hits = float((shown & self.right).sum())
        constant = np.full(self.relevance.size, self.relevance.mean())
        scores, wanted = self.scores.ravel(), self.relevance.ravel()
        return {
            "short_mAP": float(
                np.mean([average_precision(*pair) for pair in zip(self.scores, self.right, strict=True)])
            ),
            "short_right_shown": hits / float(self.right.sum()),
            "short_precision": hits / float(shown.sum()) if shown.any() else float("nan"),
            "short_find_nothing": float((~shown.any(axis=1)).sum()),
            "short_absent_answered": float((self.absent >= min_score).mean()) if len(self.absent) else 0.0,
            "short_rmse_ratio": rmse(scores, wanted) / rmse(constant, wanted),
            "short_ECE": expected_calibration_error(np.clip(scores, 0.0, 1.0), wanted),
            "short_wording_spread": float(np.quantile(self.spread[self.right], 0.95)),
        }


def average_precision(scores: NDArray[np.float64], right: NDArray[np.bool_]) -> float:
    """Return the mean of the precision at each right photo, over photos by falling score."""
    ordered = right[np.argsort(-scores, kind="stable")]
    return float((np.cumsum(ordered) / np.arange(1, len(ordered) + 1))[ordered].mean())


def asked_phrases(sayings: Sayings) -> list[Phrase]:
    """Return the phrases that are common enough to be measured."""
    common = sayings.common(LEAST_RIGHT, least_captions(sayings))
    return [phrase for phrase in common if phrase.kind in KINDS]


def absent_things(sayings: Sayings) -> list[str]:
    """Return the things of `ABSENT_FILE` of which no caption says a word."""
    lines = ABSENT_FILE.read_text(encoding="utf-8").splitlines()
    words = {part for said in sayings.said for phrase in said for word in phrase.words for part in word.split()}
    words |= {sayings.plurals.get(word, word) for word in words}
    return [line for line in lines if not line.startswith("#") and not words.intersection(line.split())]


def score_short(
    sayings: Sayings, wordings: Mapping[Phrase, Sequence[str]], absent: Sequence[str], score: Score, seed: int = 0
) -> ShortScores:
    """Score every phrase, in each of its wordings, with every photo, and absent things with 100 drawn photos each.

    Raises:
        DataError: no phrase is said of enough photos.
    """
    if not wordings:
        raise DataError(f"no short query is said of {LEAST_RIGHT} photos or more; nothing can be measured")
    ways = [np.stack([score(text) for text in texts]).astype(np.float64) for texts in wordings.values()]
    counts = np.array([sayings.counts(phrase) for phrase in wordings])
    values = [[relevance(*pair) for pair in zip(row, sayings.captions, strict=True)] for row in counts.tolist()]
    chance = np.random.default_rng(seed)
    size = min(ABSENT_GALLERY, len(sayings.images))
    best = [score(text)[chance.choice(len(sayings.images), size, replace=False)].max() for text in absent]
    return ShortScores(
        [texts[0] for texts in wordings.values()],
        np.stack([way[0] for way in ways]),
        np.stack([way.max(axis=0) - way.min(axis=0) for way in ways]),
        counts >= least_captions(sayings),
        np.array(values),
        np.array(best, dtype=np.float64),
    )


def least_captions(sayings: Sayings) -> int:
    """Return how many captions of a photo must say a thing for the photo to be right."""
    return 2 if max(sayings.captions) > 1 else 1
