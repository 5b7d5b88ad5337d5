"""Combine what a question gives, texts and photos to be near and texts to be far, into one vector and one score.

How much each counts was chosen on validation photos: docs/relevance.md has the figures.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from index_store.reranker.cosine import CosineScorer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from index_store.records import Embedding
    from index_store.reranker.cosine import Scorer

    Rows = NDArray[np.float32]

TEXT_WEIGHT = 1.0
"""The weight of a text, relative to 1 for the mean of the given photos."""

AWAY_WEIGHT = 0.25
"""What the mean of the texts to keep away from counts."""


@dataclass(frozen=True)
class Aim:
    """What is searched for: a unit vector, what scores candidates for it, and contents that are left out."""

    vector: Embedding
    scorer: Scorer
    left_out: Collection[str] = ()


def aimed(text: Embedding | None, like: Mapping[str, Embedding], away: Sequence[Embedding], reranker: Scorer) -> Aim:
    """Return what is searched for; `like` has the given photos by content hash.

    With photos the score is the similarity to the combined vector. Where the photos are given to be altered by a text,
    they are themselves no answer.
    """
    vector = combined(text, list(like.values()), away)
    if like:
        return Aim(vector, CosineScorer(), frozenset(like) if text is not None or away else ())
    assert text is not None
    return Aim(vector, AwayScorer(reranker, text, away) if away else reranker)


def combined(text: Embedding | None, like: Sequence[Embedding], away: Sequence[Embedding]) -> Embedding:
    """Return the unit vector that is searched; at least one of `text` and `like` is given, all are unit vectors."""
    parts = [_mean(like)] if like else []
    if text is not None:
        parts.append(TEXT_WEIGHT * text if like else text)
    if away:
        parts.append(-AWAY_WEIGHT * _mean(away))
    return _unit(np.sum(parts, axis=0, dtype=np.float32))


class AwayScorer:
    """The score of a text, lowered by what people would say of the texts to keep away from: both ways the same model.

    A photo that fits the text and not the others keeps its calibrated score.
    """

    def __init__(self, scorer: Scorer, text: Embedding, away: Sequence[Embedding]) -> None:
        """Take what scores a text, the text's embedding and those to keep away from."""
        self._scorer = scorer
        self._text = text
        self._away = away
        self.version = scorer.version
        self.min_score = scorer.min_score

    def score(self, _query_embedding: NDArray[np.float32], photo_embeddings: Rows) -> NDArray[np.float32]:
        """Return the score in [0, 1] of each photo, shape (n,)."""
        scores = self._scorer.score(self._text, photo_embeddings)
        for text in self._away:
            scores = scores * (1.0 - self._scorer.score(text, photo_embeddings))
        return np.asarray(scores, dtype=np.float32)


def _mean(rows: Sequence[Embedding]) -> Embedding:
    return _unit(np.sum(rows, axis=0, dtype=np.float32))


def _unit(vector: Embedding) -> Embedding:
    length = float(np.linalg.norm(vector))
    return vector / length if length > 0.0 else vector
