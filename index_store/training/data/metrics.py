"""Measure scores against human judgements, and rankings against relevant photos.

Everywhere: `scores` are what the program says, `relevance` what people judged, both in [0, 1]; bigger is better. Rank
correlations come from scipy; the rest is short enough to read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from index_store.errors import MissingExtraError

try:
    from scipy.stats import kendalltau
except ImportError as error:  # pragma: no cover - scipy comes with scikit-learn
    raise MissingExtraError("measuring needs scipy: pip install 'imgsearch-cli[train]'") from error

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vector = NDArray[np.float64]

ECE_BINS = 10
NDCG_DEPTH = 10
RECALL_DEPTHS = (1, 5, 10)


def rmse(scores: Vector, relevance: Vector) -> float:
    """Return the root of the mean squared error."""
    return float(np.sqrt(np.mean((scores - relevance) ** 2)))


def mae(scores: Vector, relevance: Vector) -> float:
    """Return the mean absolute error."""
    return float(np.mean(np.abs(scores - relevance)))


def r2(scores: Vector, relevance: Vector) -> float:
    """Return the share of the variance that is explained; NaN where there is no variance."""
    spread = float(np.sum((relevance - relevance.mean()) ** 2))
    return 1.0 - float(np.sum((scores - relevance) ** 2)) / spread if spread else float("nan")


def tau_c_single_ratings(scores: Vector, ratings: Sequence[Sequence[int]]) -> float:
    """Return Kendall's tau-c between the scores and every single expert rating, as CLIPScore (2021) counts it.

    `ratings[i]` are the expert scores of pair i; each makes one point.
    """
    repeated = np.repeat(scores, [len(row) for row in ratings])
    return float(kendalltau(repeated, [score for row in ratings for score in row], variant="c").statistic)


def tau_b(scores: Vector, shares: Vector) -> float:
    """Return Kendall's tau-b between the scores and the crowd's shares of yes."""
    return float(kendalltau(scores, shares, variant="b").statistic)


@dataclass(frozen=True, slots=True)
class CalibrationBin:
    """The pairs whose score lies in [low, high): how many, their mean score and their mean relevance."""

    low: float
    high: float
    count: int
    mean_score: float
    mean_relevance: float


def calibration_bins(scores: Vector, relevance: Vector, bins: int = ECE_BINS) -> list[CalibrationBin]:
    """Return the bins of equal width over [0, 1] that hold at least one pair; a score of 1 is in the last."""
    places = np.clip((scores * bins).astype(int), 0, bins - 1)
    found = []
    for place in np.unique(places):
        inside = places == place
        means = float(scores[inside].mean()), float(relevance[inside].mean())
        found.append(CalibrationBin(place / bins, (place + 1) / bins, int(inside.sum()), *means))
    return found


def expected_calibration_error(scores: Vector, relevance: Vector, bins: int = ECE_BINS) -> float:
    """Return the mean over all pairs of |mean score - mean relevance| of their bin (Naeini et al. 2015)."""
    found = calibration_bins(scores, relevance, bins)
    gaps = sum(row.count * abs(row.mean_score - row.mean_relevance) for row in found)
    return gaps / sum(row.count for row in found)


def ranking_of(scores: Vector) -> NDArray[np.int64]:
    """Return the places of the photos from the best score to the worst; of equal scores the earlier photo is first."""
    return np.argsort(-scores, kind="stable")


def recall_at(ranking: NDArray[np.int64], relevant: frozenset[int], depth: int) -> float:
    """Return 1 where a relevant photo is among the first `depth`, else 0 (with one relevant photo, recall)."""
    return float(any(int(place) in relevant for place in ranking[:depth]))


def reciprocal_rank(ranking: NDArray[np.int64], relevant: frozenset[int]) -> float:
    """Return 1 / rank of the first relevant photo, 0 where none is ranked."""
    return next((1.0 / rank for rank, place in enumerate(ranking, start=1) if int(place) in relevant), 0.0)


def ndcg_at(ranking: NDArray[np.int64], gains: dict[int, float], depth: int = NDCG_DEPTH) -> float:
    """Return the discounted gain of the first `depth` over the best possible (Jarvelin and Kekalainen 2002).

    `gains[place]` is the gain of a photo, its relevance; photos that are not named have none.
    """
    discounts = 1.0 / np.log2(np.arange(2, depth + 2))
    gained = np.array([gains.get(int(place), 0.0) for place in ranking[:depth]])
    best = np.array(sorted(gains.values(), reverse=True)[:depth])
    ideal = float(best @ discounts[: len(best)])
    return float(gained @ discounts[: len(gained)]) / ideal if ideal else 0.0


@dataclass(frozen=True, slots=True)
class RankingMetrics:
    """What one ranking is worth, or the means over many."""

    recall_at_1: float
    recall_at_5: float
    recall_at_10: float
    mrr: float
    ndcg_at_10: float

    def named(self) -> dict[str, float]:
        """Return the values by the names of the contract, in its order."""
        names = ("R@1", "R@5", "R@10", "MRR", "nDCG@10")
        values = (self.recall_at_1, self.recall_at_5, self.recall_at_10, self.mrr, self.ndcg_at_10)
        return dict(zip(names, values, strict=True))


def measure_ranking(ranking: NDArray[np.int64], gains: dict[int, float]) -> RankingMetrics:
    """Measure one ranking; every photo with a gain is relevant."""
    relevant = frozenset(place for place, gain in gains.items() if gain > 0)
    first, fifth, tenth = (recall_at(ranking, relevant, depth) for depth in RECALL_DEPTHS)
    return RankingMetrics(first, fifth, tenth, reciprocal_rank(ranking, relevant), ndcg_at(ranking, gains))


def mean_ranking(measured: Sequence[RankingMetrics]) -> RankingMetrics:
    """Return the mean of each metric over all rankings."""
    rows = np.array([list(row.named().values()) for row in measured])
    first, fifth, tenth, reciprocal, gain = (float(value) for value in rows.mean(axis=0))
    return RankingMetrics(first, fifth, tenth, reciprocal, gain)
