"""Measure what a trained reranker gains over scores by reference, which an encoder has without one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from index_store.reranker.by_reference import LEAST_SAMPLE, SAMPLE, ReferenceScorer
from index_store.training.evaluate.measuring import measure_pairs
from index_store.training.reranker.min_score import GALLERY_SIZE, BestScores

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from index_store.training.data.pairs import Pairs

    Rows = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class ByReference:
    """What scores by reference reach on the pairs and the queries that the trained reranker was measured on."""

    rmse: float
    ece: float
    absent_answered: float | None
    real_answered: float | None


def reference_scorer(photos: Rows) -> ReferenceScorer | None:
    """Return the scorer of a store of `GALLERY_SIZE` photos, some of which are these; None where they are too few."""
    if len(photos) < LEAST_SAMPLE:
        return None
    places = np.random.default_rng(0).permutation(len(photos))[:SAMPLE]
    return ReferenceScorer(photos[np.sort(places)], GALLERY_SIZE)


def measure_by_reference(scorer: ReferenceScorer, held_out: Pairs, best: BestScores | None) -> ByReference:
    """Measure scores by reference on held-out pairs; `best` are its best scores of held-out queries."""
    metrics = measure_pairs(score_pairs(scorer, held_out), held_out.relevance)
    absent, real = (None, None) if best is None else best.answered(scorer.min_score)
    return ByReference(metrics["RMSE"], metrics["ECE"], absent, real)


def score_pairs(scorer: ReferenceScorer, pairs: Pairs) -> NDArray[np.float64]:
    """Return the score of each pair, shape (n,); a text's photos are scored together."""
    scores = np.zeros(len(pairs))
    for place in np.unique(pairs.text_places):
        own = np.flatnonzero(pairs.text_places == place)
        scores[own] = scorer.score(pairs.text_rows[own[0]], pairs.photo_rows[own])
    return scores


def gain_line(rmse: float, ece: float, answered: Sequence[float | None], reference: ByReference) -> str:
    """Return one line with the reranker's figures and, behind each, what scores by reference reach."""
    parts = [f"RMSE {rmse:.3f} for {reference.rmse:.3f}", f"ECE {ece:.3f} for {reference.ece:.3f}"]
    absent, real = answered
    if None not in (absent, real, reference.absent_answered, reference.real_answered):
        parts.append(f"absent queries answered {absent:.0%} for {reference.absent_answered:.0%}")
        parts.append(f"real ones {real:.0%} for {reference.real_answered:.0%}")
    return f"gained over scores by reference, which need no training: {', '.join(parts)}"
