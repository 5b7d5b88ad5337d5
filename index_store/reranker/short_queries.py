"""Score photos for queries of a few words, and tell such a query from a sentence by its embedding; numpy only.

People judged sentences, and what they said means nothing for "man" or "red shirt". This model was fitted to what
captions say, and takes over from the sentences' model as far as an embedding looks like that of a few words.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from index_store.reranker.features import short_matching
from index_store.reranker.predictors import Curve, Quadratic, predictor_arrays

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Rows = NDArray[np.float32]
    Vector = NDArray[np.float32]

RAMP = 3.0
"""The share of this model rises from 0 to 1 while the log odds of "a few words" go from -RAMP to RAMP."""

_LEARNED = ("weights", "text_mean", "photo_mean", "photo_bank", "wording", "gate")
_WORDS = "word_bank"
"""A reranker without a bank of words has no columns of words either."""


@dataclass(frozen=True, slots=True)
class ShortQueryModel:
    """What was learned from captions: `learned` holds the arrays of `short_matching`, and the `gate`.

    `gate`, shape (dimension + 1,), is a logistic regression on the text's embedding, its constant last.
    """

    learned: Mapping[str, Rows]
    predictor: Quadratic
    calibration: Curve

    def share(self, texts: Rows) -> Vector:
        """Return how much of each score is this model's, shape (n,), from 0 for sentences to 1 for a few words."""
        gate = self.learned["gate"]
        odds = texts @ gate[:-1] + gate[-1]
        return np.asarray(np.clip(0.5 + odds / (2 * RAMP), 0.0, 1.0), dtype=np.float32)

    def score(self, texts: Rows, photos: Rows) -> Vector:
        """Return the calibrated score in [0, 1] of each pair of rows; a single text goes with all photos."""
        return self.calibration.at(self.predictor.predict(short_matching(texts, photos, self.learned)))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return all arrays by name, to be saved."""
        found: dict[str, NDArray[Any]] = {f"learned.{name}": self.learned[name] for name in _names(self.learned)}
        found |= {f"predictor.{name}": array for name, array in predictor_arrays(self.predictor).items()}
        return found | {f"calibration.{name}": array for name, array in predictor_arrays(self.calibration).items()}


def short_query_model(arrays: Mapping[str, NDArray[Any]]) -> ShortQueryModel:
    """Return the model made of these arrays, the reverse of `arrays`.

    Raises:
        KeyError: one is missing.
        ValueError: the lengths of two do not fit.
    """
    dimension = len(arrays["learned.gate"]) - 1
    learned = {name: arrays[f"learned.{name}"] for name in _names(arrays, "learned.")}
    for name in ("text_mean", "photo_mean", "photo_bank", "wording", _WORDS):
        if name in learned and learned[name].shape[-1] != dimension:
            raise ValueError(f"{name} is not of {dimension} numbers")
    if arrays["learned.weights"].shape != (dimension + 1, dimension + 1):
        raise ValueError(f"weights are not of {dimension} + 1 by {dimension} + 1 numbers")
    predictor = {name: arrays[f"predictor.{name}"] for name in ("mean", "scale", "intercept", "linear", "quadratic")}
    return ShortQueryModel(
        learned,
        Quadratic(**predictor),
        Curve(arrays["calibration.knots"], arrays["calibration.heights"]),
    )


def _names(arrays: Mapping[str, Rows], prefix: str = "") -> tuple[str, ...]:
    return (*_LEARNED, _WORDS) if f"{prefix}{_WORDS}" in arrays else _LEARNED
