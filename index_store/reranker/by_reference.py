"""Score candidates with an encoder that no reranker belongs to: by how far a similarity stands out of the store's.

A query's similarities to a sample of the store's photos, nearly all of which it does not mean, say what "no relation"
looks like. A photo's similarity less their mean, in units of their deviation, is its z. As the z of unrelated photos
are about normally distributed, the best of n of them exceeds `least_z(n)` for a stated share of queries. The score is a
logistic of z that is 0.5 there; it keeps the order.

Over 100 held-out train photos of with_sense, five splits, encoder that ships: .05 of absent and .68 of real queries
are answered (by the trained reranker .04 and .80), RMSE / constant .750 (.601), expected calibration error .081
(.011). Where photos that the trained reranker scores .5 may stay for an absent query, it is .27 and .69 (.43 and
.79). With the encoder before: mean and deviation of 543 captions in place of the query's own answered .53 of the absent
ones; frozen EfficientNet-Lite2 and MiniLM below linear heads .23 and .53.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Rows = NDArray[np.float32]

ABSENT_ANSWERED = 0.1
"""The share of queries that no photo matches and that are answered all the same, if unrelated photos are as assumed."""

SAMPLE = 500
"""The most photos of a store that a query is compared with."""

LEAST_SAMPLE = 30
"""Fewer photos say too little about what no relation looks like."""

_STEEPNESS = 1.5
_LEAST_SPREAD = 1e-6


@dataclass(frozen=True, slots=True)
class ReferenceScorer:
    """Scores by a sample of the store: `sample` has its unit rows, `photos` is the size of the whole store."""

    sample: Rows
    photos: int
    version: str = "by reference (no reranker belongs to this encoder)"
    min_score: float = 0.5

    def score(self, query_embedding: NDArray[np.float32], photo_embeddings: Rows) -> NDArray[np.float32]:
        """Return the score in [0, 1] of each photo, shape (n,); both inputs are unit rows of the encoder."""
        usual = self.sample @ query_embedding
        spread = max(float(usual.std()), _LEAST_SPREAD)
        z = (photo_embeddings @ query_embedding - float(usual.mean())) / spread
        scores = 1 / (1 + np.exp(-np.clip(_STEEPNESS * (z - least_z(self.photos)), -30, 30)))
        return np.asarray(scores, dtype=np.float32)


def least_z(photos: int, absent_answered: float = ABSENT_ANSWERED) -> float:
    """Return the z that the best of so many unrelated photos exceeds with this probability."""
    return NormalDist().inv_cdf((1 - absent_answered) ** (1 / max(photos, 1)))
