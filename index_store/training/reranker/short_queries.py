"""Fit the model for short queries: match, regressor, calibration, and the gate that tells them from sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, cast

import numpy as np

from index_store.errors import MissingExtraError
from index_store.reranker.features import PhotoWords, short_matching, without_wording, words_of
from index_store.reranker.short_queries import ShortQueryModel
from index_store.training.data.pairs import Pairs, Vectors
from index_store.training.data.short_pairs import ShortPairs
from index_store.training.data.splits import folds_by_photo
from index_store.training.reranker.calibration import fit_calibration, raised
from index_store.training.reranker.matching import MatchingOptions, fit_matching
from index_store.training.reranker.regressors import fit_quadratic

try:
    from sklearn.linear_model import LogisticRegression
except ImportError as error:  # pragma: no cover - the plain installation has it through sentence-transformers
    raise MissingExtraError("training needs scikit-learn: pip install 'imgsearch-cli[train]'") from error

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from index_store.reranker.predictors import Quadratic

    Rows = NDArray[np.float32]

SHORT_OPTIONS = MatchingOptions(penalty=600.0, steps=15, folds=2, bank_size=800)
"""Chosen on held-out photos of flickr8k_pretrain and on coco_val, see docs/relevance.md."""

WORDS = 500
"""The size of the bank of words; 800 and 1,500 are no better, 300 find less."""

WORDING_DIRECTIONS = 4
CALIBRATION_BINS = 10
SHOWN, SHOWN_AS = 0.38, 0.5
"""The calibrated score at which few enough absent things are answered, and what it is raised to: there is one threshold
for short queries and sentences, and the sentences' is 0.5. Chosen with `LEAST_RIGHT_SHARE`, see docs/relevance.md."""

GATE_PENALTY = 0.01


def fit_short_queries(
    short: ShortPairs, sentences: Rows, bank: Rows, words: Rows, seed: int, options: MatchingOptions = SHORT_OPTIONS
) -> ShortQueryModel:
    """Fit the model on all pairs; the regressor and the calibration see matches that were fitted on other photos.

    `sentences` are embeddings of texts that are no short queries, `bank` reference photos, `words` names of things.
    """
    wording = wording_directions(short)
    known = {"wording": wording, "word_bank": without_wording(words, wording)}
    texts = short.pairs.texts
    pairs = replace(short.pairs, texts=Vectors(texts.names, without_wording(texts.rows, wording)))
    matched = replace(pairs, weight=short.match_weight)
    banks = bank, np.zeros((0, bank.shape[1]), np.float32)
    of_photos = words_of(pairs.photos.rows, known["word_bank"])
    features = np.empty((len(pairs), 0), np.float32)
    for fold in folds_by_photo(pairs.images, options.folds, seed):
        arrays = {**fit_matching(matched.take(fold.train), None, banks, options), **known}
        found = _features(pairs.take(fold.valid), arrays, of_photos)
        if features.shape[1] == 0:
            features = np.empty((len(pairs), found.shape[1]), np.float32)
        features[fold.valid] = found
    predictor = fit_quadratic(features, pairs.relevance, pairs.weight, seed)
    raw = predictor.predict(features).astype(np.float64)
    places = np.flatnonzero(short.calibrating)
    if not len(places):
        places = np.arange(len(pairs))
    calibration = fit_calibration(raw[places], pairs.relevance[places], pairs.weight[places], CALIBRATION_BINS)
    calibration = raised(calibration, SHOWN, SHOWN_AS)
    learned = {**fit_matching(matched, None, banks, options), **known}
    del learned["caption_bank"]
    learned["gate"] = fit_gate(texts.rows[np.unique(pairs.text_places)], sentences)
    return ShortQueryModel(learned, cast("Quadratic", predictor), calibration)


def wording_directions(short: ShortPairs, count: int = WORDING_DIRECTIONS) -> Rows:
    """Return the directions, unit rows, in which the wordings of one thing differ most."""
    rows = short.pairs.texts.rows
    apart = [rows[ways] - rows[ways].mean(axis=0) for ways in short.wordings if len(ways) > 1]
    if not apart:
        return np.zeros((0, rows.shape[1]), np.float32)
    return np.asarray(np.linalg.svd(np.concatenate(apart), full_matrices=False)[2][:count], dtype=np.float32)


def fit_gate(short: Rows, sentences: Rows) -> Rows:
    """Return the logistic regression, constant last, of "a few words" against "a sentence", both counting alike."""
    rows = np.concatenate([short, sentences])
    few = np.concatenate([np.ones(len(short)), np.zeros(len(sentences))])
    model = LogisticRegression(C=1 / GATE_PENALTY, class_weight="balanced", max_iter=500).fit(rows, few)
    return np.append(model.coef_[0], model.intercept_[0]).astype(np.float32)


def without_photos(short: ShortPairs, names: Sequence[str]) -> ShortPairs:
    """Return the pairs without those photos."""
    hidden = set(names)
    gone = np.array([name in hidden for name in short.pairs.photos.names])
    return short.take(np.flatnonzero(~gone[short.pairs.photo_places]))


def _features(pairs: Pairs, arrays: dict[str, Rows], words: PhotoWords) -> Rows:
    """Return the features of many pairs, a text at a time: a text's columns are as long as the bank.

    `words` are those of all photos that the pairs may name.
    """
    order = np.argsort(pairs.text_places, kind="stable")
    features: list[Rows] = []
    for text in np.split(order, np.flatnonzero(np.diff(pairs.text_places[order])) + 1):
        part = pairs.take(text)
        of_photos = words.take(part.photo_places)
        features.append(short_matching(part.text_rows[:1], part.photo_rows, arrays, of_photos))
    result = np.empty((len(pairs), features[0].shape[1]), np.float32)
    result[order] = np.concatenate(features)
    return result
