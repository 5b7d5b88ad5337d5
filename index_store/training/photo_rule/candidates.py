"""The models that the study of the photo rule compares, each from embeddings to a logit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from index_store.compliance.photo_rule import Network
from index_store.errors import MissingExtraError
from index_store.training.photo_rule.fitting import NetworkFit, fit_network

try:
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.svm import SVC
except ImportError as error:
    raise MissingExtraError("training the photo rule needs scikit-learn; pip install 'imgsearch-cli[train]'") from error

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Truth = NDArray[np.bool_]

MEMBERS = 3
"""How many seeds of a network are averaged."""


@dataclass(frozen=True, slots=True)
class Labels:
    """What captions say about photos: the share that speaks of a child, and whether that is enough to count."""

    shares: Floats
    truth: Truth

    def __getitem__(self, chosen: Any) -> Labels:
        return Labels(self.shares[chosen], self.truth[chosen])


@dataclass(frozen=True, slots=True)
class Candidate:
    """A way to learn: `layers` returns networks, which can be shipped; `scorer` a function, for comparison only."""

    layers: Callable[[Floats, Labels, int], tuple[Network, ...]] | None = None
    scorer: Callable[[Floats, Labels, int], Callable[[Floats], Floats]] | None = None

    def scores(self, rows: Floats, labels: Labels, judged: Floats, seed: int) -> Floats:
        """Fit, and return one logit for each row of `judged`."""
        if self.layers is not None:
            networks = self.layers(rows, labels, seed)
            mean: Floats = np.mean([network.logits(judged) for network in networks], axis=0)
            return mean
        assert self.scorer is not None
        return np.asarray(self.scorer(rows, labels, seed)(judged), np.float32)


def _logistic(strength: float, soft: bool, rows: Floats, labels: Labels, seed: int) -> tuple[Network, ...]:
    """Fit a logistic regression; soft: each photo once as a child, weighted by its share, and once as none."""
    scale, truth, weights = _scale(rows), labels.truth, np.ones(len(rows), np.float32)
    if soft:
        rows, truth = np.concatenate([rows, rows]), np.repeat([True, False], len(rows))
        weights = np.concatenate([labels.shares, 1 - labels.shares])
    fitted = LogisticRegression(C=strength, max_iter=2000, random_state=seed)
    fitted.fit(rows * scale, truth, sample_weight=weights)
    weights, bias = (fitted.coef_.T * scale).astype(np.float32), fitted.intercept_.astype(np.float32)
    return (Network(((weights, bias),)),)


def _networks(fit: NetworkFit, soft: bool, rows: Floats, labels: Labels, seed: int) -> tuple[Network, ...]:
    targets = labels.shares if soft else labels.truth.astype(np.float32)
    return tuple(fit_network(rows, targets, fit, seed + member) for member in range(MEMBERS))


def _sklearn(make: Callable[[], Any], rows: Floats, labels: Labels, seed: int) -> Callable[[Floats], Floats]:
    scale = _scale(rows)
    fitted = make().set_params(random_state=seed).fit(rows * scale, labels.truth)
    return lambda judged: np.asarray(fitted.decision_function(judged * scale), np.float32)


def _scale(rows: Floats) -> float:
    """Entries of unit rows are about 1 / sqrt(dimension); regularization is usually set for entries of about 1."""
    return float(np.sqrt(rows.shape[1]))


_BOOSTING = partial(HistGradientBoostingClassifier, max_iter=150, learning_rate=0.06, max_leaf_nodes=15)

CANDIDATES = {
    "logistic, C 0.0001": Candidate(partial(_logistic, 0.0001, False)),
    "logistic, C 0.001": Candidate(partial(_logistic, 0.001, False)),
    "logistic, C 0.01": Candidate(partial(_logistic, 0.01, False)),
    "logistic, C 0.001, soft labels": Candidate(partial(_logistic, 0.001, True)),
    "network 128, soft labels": Candidate(partial(_networks, NetworkFit(hidden=128, input_dropout=0.6), True)),
    "network 256": Candidate(partial(_networks, NetworkFit(), False)),
    "network 256, soft labels": Candidate(partial(_networks, NetworkFit(), True)),
    "support vectors, RBF kernel": Candidate(scorer=partial(_sklearn, SVC)),
    "gradient boosting": Candidate(scorer=partial(_sklearn, _BOOSTING)),
}
