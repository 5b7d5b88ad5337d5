from __future__ import annotations

import numpy as np
import pytest
from sklearn.ensemble import RandomForestRegressor
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler
from sklearn.svm import SVR

from index_store.errors import DataError, WeightsError
from index_store.reranker.predictors import Curve, predictor_arrays, predictor_from_arrays
from index_store.training.reranker import regressors
from index_store.training.reranker.regressors import REGRESSORS, STUDY_ONLY, fit_regressor

CHANCE = np.random.default_rng(1)
FEATURES = CHANCE.normal(size=(200, 4)).astype(np.float32)
RELEVANCE = 1 / (1 + np.exp(-FEATURES[:, 0] - FEATURES[:, 1] * FEATURES[:, 2]))
WEIGHT = np.ones(200)
HELD_OUT = CHANCE.normal(size=(50, 4)).astype(np.float32)


@pytest.mark.parametrize(
    ("name", "twin"),
    [
        ("linear", LinearRegression()),
        ("ridge", make_pipeline(StandardScaler(), Ridge(regressors.RIDGE_PENALTY))),
        (
            "quadratic",
            make_pipeline(
                StandardScaler(),
                PolynomialFeatures(2, include_bias=False),
                StandardScaler(),
                Ridge(regressors.QUADRATIC_PENALTY),
            ),
        ),
        ("svr", make_pipeline(StandardScaler(), SVR(gamma="scale", **regressors.SVR_OPTIONS))),
    ],
)
def test_predictions_are_those_of_scikit_learn(name, twin):
    found = fit_regressor(name, FEATURES, RELEVANCE, WEIGHT, 0).predict(HELD_OUT)
    expected = twin.fit(FEATURES, RELEVANCE).predict(HELD_OUT)
    np.testing.assert_allclose(found, expected, atol=2e-4)


def test_the_forest_is_scikit_learns():
    found = fit_regressor("forest", FEATURES, RELEVANCE, WEIGHT, 0).predict(HELD_OUT)
    twin = RandomForestRegressor(random_state=0, **regressors.FOREST_OPTIONS)
    expected = twin.fit(FEATURES, RELEVANCE, sample_weight=WEIGHT).predict(HELD_OUT)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_isotonic_is_scikit_learns():
    found = fit_regressor("isotonic", FEATURES, RELEVANCE, WEIGHT, 0).predict(HELD_OUT)
    expected = IsotonicRegression(out_of_bounds="clip").fit(FEATURES[:, 0], RELEVANCE).predict(HELD_OUT[:, 0])
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_the_constant_is_the_weighted_mean():
    weight = np.where(np.arange(200) < 100, 1.0, 3.0)
    found = fit_regressor("constant", FEATURES, RELEVANCE, weight, 0).predict(HELD_OUT)
    assert found.tolist() == pytest.approx([np.average(RELEVANCE, weights=weight)] * 50)


@pytest.mark.parametrize("name", ["boosting", "network", "quadratic"])
def test_curved_models_beat_the_constant_and_repeat_themselves(name):
    first, second = (fit_regressor(name, FEATURES, RELEVANCE, WEIGHT, 0) for _ in range(2))
    np.testing.assert_array_equal(first.predict(HELD_OUT), second.predict(HELD_OUT))
    error = np.mean((first.predict(FEATURES) - RELEVANCE) ** 2)
    assert error < 0.8 * RELEVANCE.var()


@pytest.mark.parametrize("name", sorted(REGRESSORS.keys() - STUDY_ONLY))
def test_every_saved_predictor_survives_being_taken_apart(name):
    predictor = fit_regressor(name, FEATURES, RELEVANCE, WEIGHT, 0)
    again = predictor_from_arrays(predictor.kind, predictor_arrays(predictor))
    np.testing.assert_array_equal(again.predict(HELD_OUT), predictor.predict(HELD_OUT))


def test_nan_and_a_flat_target_are_refused():
    broken = FEATURES.copy()
    broken[3, 1] = np.nan
    with pytest.raises(DataError, match="NaN or infinity in the features of 1 pairs, the first being pair 3"):
        fit_regressor("ridge", broken, RELEVANCE, WEIGHT, 0)
    with pytest.raises(DataError, match="no spread"):
        fit_regressor("ridge", FEATURES, np.full(200, 0.5), WEIGHT, 0)


def test_a_predictor_without_an_array_is_refused():
    with pytest.raises(WeightsError, match="lacks its array"):
        predictor_from_arrays("curve", {"knots": np.zeros(2)})
    with pytest.raises(WeightsError, match="no predictor is called"):
        predictor_from_arrays("oracle", {})
    assert Curve(np.array([0.0, 1.0]), np.array([0.0, 2.0])).predict(np.array([[0.25]])).tolist() == [0.5]
