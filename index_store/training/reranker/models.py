"""The models that can be trained: each a joining and a regressor, and the calibration that goes with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from index_store.errors import DataError, UsageError
from index_store.reranker.features import JOININGS, SAME_SPACE
from index_store.reranker.predictors import Curve, Predictor
from index_store.training.data.pairs import Pairs
from index_store.training.data.splits import folds_by_photo
from index_store.training.reranker.calibration import fit_calibration
from index_store.training.reranker.matching import MatchingOptions, draw_bank, fit_matching, matching_features
from index_store.training.reranker.regressors import STUDY_ONLY, fit_regressor

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Rows = NDArray[np.float32]
    Vector = NDArray[np.float64]

MAP_PENALTY = 1.0
LIKED = 2 / 3
"""Pairs of at least this relevance teach the map from texts to photos."""

CALIBRATION_FOLDS = 3


class ModelSpec(NamedTuple):
    """Which features, and which regressor on them."""

    joining: str
    regressor: str


MODELS: dict[str, ModelSpec] = {
    "auto": ModelSpec("matching", "quadratic"),
    "constant": ModelSpec("cosine", "constant"),
    "isotonic": ModelSpec("cosine", "isotonic"),
    "linear": ModelSpec("product-difference", "linear"),
    "ridge": ModelSpec("product-difference", "ridge"),
    "svr": ModelSpec("product-difference", "svr"),
    "boosting": ModelSpec("product-difference", "boosting"),
    "forest": ModelSpec("product-difference", "forest"),
    "mapped": ModelSpec("mapped", "quadratic"),
    "network": ModelSpec("normalised-concatenation", "network"),
    "notebook": ModelSpec("concatenation", "linear"),
}
"""Every model by its name in the study; `auto` is the winner, the one that ships."""


@dataclass(frozen=True, slots=True)
class Material:
    """What a model is fitted on: judged pairs, pairs that only the crowd judged, and the seed of all chance.

    `captions` are the places of the texts that serve as references, without any judgement: None means those of `pairs`.
    """

    pairs: Pairs
    crowd: Pairs | None = None
    seed: int = 0
    options: MatchingOptions = field(default_factory=MatchingOptions)
    captions: NDArray[np.int64] | None = None

    def take(self, places: NDArray[np.int64]) -> Material:
        """Return the material with these pairs only, and of the crowd's pairs those with the same photos."""
        pairs = self.pairs.take(places)
        crowd = self.crowd
        if crowd is not None:
            crowd = crowd.take(np.flatnonzero(np.isin(crowd.photo_places, pairs.photo_places)))
        return replace(self, pairs=pairs, crowd=crowd)

    def without(self, photo_places: NDArray[np.int64], text_places: NDArray[np.int64]) -> Material:
        """Return the material without any pair, experts' or crowd's, of these photos or of these texts."""

        def rest(pairs: Pairs) -> Pairs:
            gone = np.isin(pairs.photo_places, photo_places) | np.isin(pairs.text_places, text_places)
            return pairs.take(np.flatnonzero(~gone))

        crowd = None if self.crowd is None else rest(self.crowd)
        captions = None if self.captions is None else np.setdiff1d(self.captions, text_places)
        return replace(self, pairs=rest(self.pairs), crowd=crowd, captions=captions)


@dataclass(frozen=True, slots=True)
class FittedModel:
    """A joining with what it learned, and a predictor; its raw scores are not calibrated."""

    joining: str
    learned: Mapping[str, Rows]
    predictor: Predictor

    def raw(self, pairs: Pairs) -> Vector:
        """Return the raw score of each pair."""
        features = JOININGS[self.joining](pairs.text_rows, pairs.photo_rows, self.learned)
        return self.predictor.predict(features).astype(np.float64)


@dataclass(frozen=True, slots=True)
class CalibratedModel:
    """A fitted model and the curve that makes its scores mean something."""

    model: FittedModel
    calibration: Curve

    def score(self, pairs: Pairs) -> Vector:
        """Return the calibrated score of each pair in [0, 1]."""
        return self.calibration.at(self.model.raw(pairs).astype(np.float32)).astype(np.float64)


def model_spec(name: str) -> ModelSpec:
    """Return the model of that name; raise `UsageError` where there is none."""
    if name not in MODELS:
        raise UsageError(f"no model is called {name!r}; there are {', '.join(MODELS)}")
    return MODELS[name]


def saved_model_spec(name: str) -> ModelSpec:
    """Return the model of that name; raise `UsageError` where there is none, or only the study can use it."""
    spec = model_spec(name)
    if spec.regressor in STUDY_ONLY:
        raise UsageError(f"the model {name} is for the study alone and cannot be saved; train auto, which ships")
    return spec


def fit_model(spec: ModelSpec, material: Material) -> FittedModel:
    """Fit a model on all pairs of `material`."""
    pairs = material.pairs
    lengths = pairs.texts.rows.shape[1], pairs.photos.rows.shape[1]
    if spec.joining in SAME_SPACE and lengths[0] != lengths[1]:
        raise DataError(f"{spec.joining} needs texts and photos of one space; their vectors have {lengths} numbers")
    learned: Mapping[str, Rows] = {}
    if spec.joining == "matching":
        banks = _banks(material)
        learned = fit_matching(pairs, material.crowd, banks, material.options)
        features = matching_features(pairs, material.crowd, banks, material.options, material.seed)
    else:
        if spec.joining == "mapped":
            learned = {"map": fit_map(pairs)}
        features = JOININGS[spec.joining](pairs.text_rows, pairs.photo_rows, learned)
    predictor = fit_regressor(spec.regressor, features, pairs.relevance, pairs.weight, material.seed)
    return FittedModel(spec.joining, learned, predictor)


def fit_calibrated(spec: ModelSpec, material: Material) -> CalibratedModel:
    """Fit a model on all pairs, and its calibration on raw scores of photos that a twin was not fitted on.

    Each of `CALIBRATION_FOLDS` twins leaves out a part of the photos and scores it; the curve is fitted to all these
    scores, so that every photo counts and none is judged by a model that knows it.
    """
    pairs = material.pairs
    raw = np.empty(len(pairs))
    if spec.regressor == "constant":
        model = fit_model(spec, material)
        level = float(model.raw(pairs)[0])
        return CalibratedModel(model, Curve(np.array([0.0, 1.0], np.float32), np.full(2, level, np.float32)))
    for fold in folds_by_photo(pairs.images, CALIBRATION_FOLDS, material.seed):
        raw[fold.valid] = fit_model(spec, material.take(fold.train)).raw(pairs.take(fold.valid))
    return CalibratedModel(fit_model(spec, material), fit_calibration(raw, pairs.relevance, pairs.weight))


def fit_map(pairs: Pairs) -> Rows:
    """Return the ridge regression from liked texts, with a constant, to their photos' vectors at length one."""
    liked = pairs.relevance >= LIKED
    if not liked.any():
        raise DataError(f"no pair has a relevance of {LIKED:.2f} or more; a map from texts to photos needs some")
    texts = np.hstack([pairs.text_rows[liked], np.ones((int(liked.sum()), 1), np.float32)])
    photos = pairs.photo_rows[liked]
    photos = photos / np.maximum(np.linalg.norm(photos, axis=1, keepdims=True), 1e-9)
    scale = float(np.mean(texts[:, :-1] ** 2) * texts.shape[1])
    normal = texts.T @ texts + MAP_PENALTY * max(scale, 1e-9) * np.eye(texts.shape[1], dtype=np.float32)
    return np.asarray(np.linalg.solve(normal, texts.T @ photos), dtype=np.float32)


def _banks(material: Material) -> tuple[Rows, Rows]:
    """Return reference photos and reference captions, drawn from the material's own."""
    pairs, size = material.pairs, material.options.bank_size
    photos = pairs.photos.rows[np.unique(pairs.photo_places)]
    texts = pairs.texts.rows[np.unique(pairs.text_places) if material.captions is None else material.captions]
    return draw_bank(photos, size, material.seed), draw_bank(texts, size, material.seed)
