"""The models that the study of the photo rule compares, each from embeddings to a logit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from index_store.compliance.photo_rule import Network, PhotoModel
from index_store.errors import MissingExtraError
from index_store.training.photo_rule.fitting import NetworkFit, fit_network

try:
    from sklearn.linear_model import LogisticRegression
except ImportError as error:
    raise MissingExtraError("training the photo rule needs scikit-learn; pip install 'imgsearch-cli[train]'") from error

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from index_store.training.photo_rule.labels import Labels

    Floats = NDArray[np.float32]
    Fit = Callable[[Floats, Floats, Floats, int], tuple[Network, ...]]

MEMBERS = 2
"""How many seeds of a network are averaged."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A way to learn: `fit` answers one question; with `person` it answers two, and the product is the probability."""

    fit: Fit
    person: bool = False

    def model(self, rows: Floats, labels: Labels, seed: int) -> PhotoModel:
        """Fit on rows of shape (n, dimension) and return a model that is not calibrated yet."""
        if not self.person:
            return PhotoModel(self.fit(rows, labels.child, labels.child_weight, seed), 1.0, 0.0)
        there = self.fit(rows, labels.person, labels.person_weight, seed)
        shown = labels.person > 0.5
        young = self.fit(rows[shown], labels.child[shown], labels.child_weight[shown], seed)
        return PhotoModel(young, 1.0, 0.0, there)


def _logistic(strength: float, rows: Floats, targets: Floats, weights: Floats, seed: int) -> tuple[Network, ...]:
    scale = float(np.sqrt(rows.shape[1]))  # entries of unit rows are small; strengths are usual for entries of about 1
    # each photo once as a child, weighted by its target, and once as none
    photos, answers = np.concatenate([rows, rows]) * scale, np.repeat([True, False], len(rows))
    counts = np.concatenate([weights * targets, weights * (1 - targets)])
    counted = counts > 0
    fitted = LogisticRegression(C=strength, max_iter=2000, random_state=seed)
    fitted.fit(photos[counted], answers[counted], sample_weight=counts[counted])
    layer = (fitted.coef_.T * scale).astype(np.float32), fitted.intercept_.astype(np.float32)
    return (Network((layer,)),)


def _networks(settings: NetworkFit, rows: Floats, targets: Floats, weights: Floats, seed: int) -> tuple[Network, ...]:
    counted = weights > 0
    chosen = rows[counted], targets[counted], settings
    return tuple(fit_network(*chosen, seed + member, weights[counted]) for member in range(MEMBERS))


_SMALL = NetworkFit(hidden=128, epochs=8, batch=256)

CANDIDATES = {
    "logistic": Candidate(partial(_logistic, 0.001)),
    "person and under 16, logistic": Candidate(partial(_logistic, 0.001), person=True),
    "network 128": Candidate(partial(_networks, _SMALL)),
    "person and under 16, network 128": Candidate(partial(_networks, _SMALL), person=True),
}
"""The simplest first: a later one is kept only where it is better by more than `WORTH`."""

WORTH = 0.01
"""By how much a model that is less simple must be better, in mean average precision."""
