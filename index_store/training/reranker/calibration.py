"""Fit the curve that turns raw scores into calibrated ones: of the pairs scored 0.8, the mean relevance is about 0.8.

Isotonic regression alone makes plateaus, on which the order of photos is lost; here its steps are averaged over bins of
equal count and joined by straight lines that always rise a little, so no order is lost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from index_store.errors import DataError, MissingExtraError
from index_store.reranker.predictors import Curve

try:
    from sklearn.isotonic import IsotonicRegression
except ImportError as error:  # pragma: no cover - the plain installation has it through sentence-transformers
    raise MissingExtraError("training needs scikit-learn: pip install 'imgsearch-cli[train]'") from error

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vector = NDArray[np.float64]

CALIBRATION_BINS = 24
LEAST_RISE = 1e-4
"""How much two neighbouring knots differ at least, so that the curve keeps every order."""


def fit_calibration(
    raw: Vector, relevance: Vector, weight: Vector | None = None, bins: int = CALIBRATION_BINS
) -> Curve:
    """Return the rising curve through the isotonic means of raw scores; `raw` must come from held-out photos."""
    if len(raw) < 2 or float(np.ptp(raw)) < 1e-9:
        raise DataError(f"{len(raw)} raw scores without spread cannot be calibrated")
    isotonic = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip")
    levels = isotonic.fit(raw, relevance, sample_weight=weight).predict(raw)
    parts = [part for part in np.array_split(np.argsort(raw, kind="stable"), min(bins, len(raw))) if len(part)]
    knots = np.array([raw[part].mean() for part in parts])
    heights = np.array([levels[part].mean() for part in parts])
    return _rising(*_with_ends(knots, heights, raw))


def raised(curve: Curve, height: float, to: float) -> Curve:
    """Return the curve with `height` moved to `to`, and the heights below and above in proportion; no order is lost."""
    knots = np.unique(np.append(curve.knots, np.interp(height, curve.heights, curve.knots)))
    heights = np.interp(np.interp(knots, curve.knots, curve.heights), [0.0, height, 1.0], [0.0, to, 1.0])
    return Curve(knots.astype(np.float32), heights.astype(np.float32))


def _with_ends(knots: Vector, heights: Vector, raw: Vector) -> tuple[Vector, Vector]:
    """Extend the curve to beyond the outermost raw scores, so that extremes keep their order too."""
    reach = max(float(np.ptp(raw)), 1e-6)
    low, high = raw.min() - reach, raw.max() + reach
    first, last = min(heights[0], 0.0) if heights[0] < 0.005 else heights[0] / 2, (heights[-1] + 1.0) / 2
    return np.array([low, *knots, high]), np.array([first, *heights, last])


def _rising(knots: Vector, heights: Vector) -> Curve:
    """Return the curve with strictly rising knots and heights within [0, 1]."""
    kept = np.concatenate([[True], np.diff(knots) > 1e-9])
    knots, heights = knots[kept], heights[kept]
    ramp = LEAST_RISE * np.arange(len(heights))
    raised = np.maximum.accumulate(heights - ramp) + ramp  # every step is at least LEAST_RISE
    top = max(float(raised[-1]), 1.0)
    return Curve(knots.astype(np.float32), (raised / top).astype(np.float32))
