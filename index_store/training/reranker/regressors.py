"""Fit regressors on feature rows, those of scikit-learn where it has them.

Every entry of `REGRESSORS` takes features (n, f), relevance (n,), weights (n,) and a seed, and returns a `Predictor`.
Those that a reranker can be saved with are made of plain arrays and predict without scikit-learn (a test compares the
two); `STUDY_ONLY` names the others, which the study compares and nothing ships.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from index_store.errors import DataError, MissingExtraError
from index_store.reranker.predictors import Curve, Linear, Predictor, Quadratic

try:
    from sklearn.ensemble import GradientBoostingRegressor, RandomForestRegressor
    from sklearn.isotonic import IsotonicRegression
    from sklearn.linear_model import LinearRegression, Ridge
    from sklearn.metrics.pairwise import rbf_kernel
    from sklearn.model_selection import KFold, RandomizedSearchCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVR
except ImportError as error:  # pragma: no cover - the plain installation has it through sentence-transformers
    raise MissingExtraError("training needs scikit-learn: pip install 'imgsearch-cli[train]'") from error

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Rows = NDArray[np.float32]
    Vector = NDArray[np.float64]
    Fit = Callable[[Rows, Vector, Vector, int], Predictor]

QUADRATIC_PENALTY = 30.0
RIDGE_PENALTY = 1_000.0
SVR_OPTIONS = {"C": 0.3, "epsilon": 0.05}
FOREST_OPTIONS = {"n_estimators": 100, "min_samples_leaf": 5, "max_features": 0.2}
BOOSTING_GRID = {
    "learning_rate": [0.03, 0.05, 0.1],
    "max_depth": [2, 3, 4],
    "min_samples_leaf": [10, 30],
    "n_estimators": [60, 120],
    "max_features": [0.03, 0.1],
    "subsample": [0.5, 0.8],
}
BOOSTING_TRIES = 4


def fit_constant(features: Rows, relevance: Vector, weight: Vector, seed: int) -> Predictor:
    """Return the weighted mean: the row that every other must beat."""
    return Curve(_single([0, 1]), np.full(2, np.average(relevance, weights=weight), np.float32))


def fit_linear(features: Rows, relevance: Vector, weight: Vector, seed: int) -> Predictor:
    """Fit ordinary least squares."""
    return _linear(LinearRegression(), features, relevance, weight)


def fit_ridge(features: Rows, relevance: Vector, weight: Vector, seed: int) -> Predictor:
    """Fit least squares with a penalty on the weights of standardised features."""
    return _linear(Ridge(RIDGE_PENALTY), features, relevance, weight)


def fit_quadratic(features: Rows, relevance: Vector, weight: Vector, seed: int) -> Predictor:
    """Fit a ridge regression on standardised features, their squares and their products."""
    scaler = StandardScaler().fit(features)
    rows = scaler.transform(features)
    first, second = np.triu_indices(rows.shape[1])
    terms = np.hstack([rows, rows[:, first] * rows[:, second]])
    spread = np.maximum(terms.std(axis=0), 1e-9)
    model = Ridge(QUADRATIC_PENALTY).fit((terms - terms.mean(axis=0)) / spread, relevance, sample_weight=weight)
    weights = model.coef_ / spread
    linear, products = weights[: rows.shape[1]], weights[rows.shape[1] :]
    quadratic = np.zeros((rows.shape[1], rows.shape[1]))
    quadratic[first, second] = products
    intercept = model.intercept_ - terms.mean(axis=0) @ weights
    return Quadratic(*_scaling(scaler), _single(intercept), _single(linear), _single(quadratic))


def fit_svr(features: Rows, relevance: Vector, weight: Vector, seed: int) -> Predictor:
    """Fit a support vector regressor with the radial kernel on standardised features."""
    gamma = 1.0 / features.shape[1]  # what "scale" means for features of variance 1
    # the kernel as a function: a product of matrices, where libsvm's own loops take ten times as long
    model = make_pipeline(StandardScaler(), SVR(kernel=partial(rbf_kernel, gamma=gamma), **SVR_OPTIONS))
    return model.fit(features, relevance, svr__sample_weight=weight)  # type: ignore[no-any-return]


def fit_boosting(features: Rows, relevance: Vector, weight: Vector, seed: int) -> Predictor:
    """Fit gradient-boosted trees; their parameters come from a random search over `BOOSTING_GRID`."""
    search = RandomizedSearchCV(
        GradientBoostingRegressor(random_state=seed),
        BOOSTING_GRID,
        n_iter=BOOSTING_TRIES,
        scoring="neg_mean_squared_error",
        cv=KFold(2, shuffle=True, random_state=seed),
        random_state=seed,
    )
    return search.fit(features, relevance, sample_weight=weight).best_estimator_  # type: ignore[no-any-return]


def fit_forest(features: Rows, relevance: Vector, weight: Vector, seed: int) -> Predictor:
    """Fit a random forest."""
    model = RandomForestRegressor(random_state=seed, **FOREST_OPTIONS)
    return model.fit(features, relevance, sample_weight=weight)  # type: ignore[no-any-return]


def fit_isotonic(features: Rows, relevance: Vector, weight: Vector, seed: int) -> Predictor:
    """Fit a rising step function of the first feature, the cosine."""
    model = IsotonicRegression(out_of_bounds="clip").fit(features[:, 0], relevance, sample_weight=weight)
    return Curve(_single(model.X_thresholds_), _single(model.y_thresholds_))


def fit_network(features: Rows, relevance: Vector, weight: Vector, seed: int) -> Predictor:
    """Fit the notebooks' network: one hidden layer, ReLU, dropout 0.4, learning rate 0.001, squared error."""
    from index_store.training.reranker.neural_regressor import fit_hidden_layer

    return fit_hidden_layer(features, relevance, weight, seed)


REGRESSORS: dict[str, Fit] = {
    "constant": fit_constant,
    "linear": fit_linear,
    "ridge": fit_ridge,
    "quadratic": fit_quadratic,
    "svr": fit_svr,
    "boosting": fit_boosting,
    "forest": fit_forest,
    "isotonic": fit_isotonic,
    "network": fit_network,
}
"""Every regressor by its name."""

STUDY_ONLY = frozenset({"svr", "boosting", "forest", "network"})
"""Regressors that no reranker can be saved with: the study found none of them better than what ships."""


def fit_regressor(name: str, features: Rows, relevance: Vector, weight: Vector, seed: int) -> Predictor:
    """Fit a regressor by name; raise `DataError` for NaN in the features or a target without spread."""
    if not np.isfinite(features).all():
        rows = np.flatnonzero(~np.isfinite(features).all(axis=1))
        raise DataError(f"NaN or infinity in the features of {len(rows):,} pairs, the first being pair {rows[0]}")
    if len(relevance) == 0 or np.ptp(relevance) < 1e-9:
        raise DataError(f"the target of {len(relevance):,} pairs has no spread; nothing can be learned from that")
    return REGRESSORS[name](features, relevance, weight, seed)


def _linear(model: Any, features: Rows, relevance: Vector, weight: Vector) -> Linear:
    scaler = StandardScaler().fit(features)
    model.fit(scaler.transform(features), relevance, sample_weight=weight)
    return Linear(*_scaling(scaler), _single(model.intercept_), _single(model.coef_))


def _scaling(scaler: Any) -> tuple[Rows, Rows]:
    return _single(scaler.mean_), _single(scaler.scale_)


def _single(array: Any) -> Rows:
    return np.asarray(array, dtype=np.float32)
