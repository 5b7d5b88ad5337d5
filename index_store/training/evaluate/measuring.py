"""Measure a model and the constant predictor on judged pairs: errors, rank correlation with people, calibration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from index_store.training.data.judgements import Judgements
from index_store.training.data.metrics import expected_calibration_error, mae, r2, rmse, tau_b, tau_c_single_ratings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vector = NDArray[np.float64]
    Pair = tuple[str, str]


def measure_pairs(scores: Vector, relevance: Vector) -> dict[str, float]:
    """Return RMSE, MAE, R2 and ECE of scores against relevance, both in [0, 1]."""
    return {
        "RMSE": rmse(scores, relevance),
        "MAE": mae(scores, relevance),
        "R2": r2(scores, relevance),
        "ECE": expected_calibration_error(np.clip(scores, 0.0, 1.0), relevance),
    }


def measure_agreement(scores: Mapping[Pair, float], judgements: Judgements) -> dict[str, float]:
    """Return the rank correlations of the scored pairs with single expert ratings and with the crowd's shares.

    `tau_c_expert_others` leaves out photos with their own text, as the published CLIPScore figures do.
    """
    found: dict[str, float] = {}
    experts = [pair for pair in judgements.expert if (pair.image, pair.query_id) in scores]
    for name, pairs in (("tau_c_expert", experts), ("tau_c_expert_others", [pair for pair in experts if not pair.own])):
        values = np.array([scores[pair.image, pair.query_id] for pair in pairs])
        if len(values) > 1 and np.ptp(values) > 0:
            found[name] = tau_c_single_ratings(values, [pair.scores for pair in pairs])
    crowd = [pair for pair in judgements.crowd if (pair.image, pair.query_id) in scores]
    values = np.array([scores[pair.image, pair.query_id] for pair in crowd])
    if len(values) > 1 and np.ptp(values) > 0:
        found["tau_b_crowd"] = tau_b(values, np.array([pair.share for pair in crowd]))
    return {name: value for name, value in found.items() if np.isfinite(value)}


def keyed(images: Sequence[str], query_ids: Sequence[str], scores: Vector) -> dict[Pair, float]:
    """Return scores by pair of photo and text."""
    return {pair: float(score) for pair, score in zip(zip(images, query_ids, strict=True), scores, strict=True)}
