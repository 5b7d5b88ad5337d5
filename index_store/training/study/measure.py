"""Measure a fit on held-out pairs, over several splits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from index_store.training.data.judgements import Judgements
from index_store.training.data.pairs import Pairs
from index_store.training.data.splits import Split, split_by_photo, split_by_photo_and_text
from index_store.training.evaluate.measuring import keyed, measure_agreement, measure_pairs
from index_store.training.reranker.models import Material, ModelSpec, fit_calibrated, fit_model
from index_store.training.study.rows import METRICS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Scorer = Callable[[Pairs], NDArray[np.float64]]
    Fit = Callable[[Material], Scorer]

Measured = tuple[dict[str, float], dict[str, float]]
"""Mean and spread of each metric."""


class HeldOut(NamedTuple):
    """How a split is drawn: by photo, or so that no text is shared either."""

    draw: Callable[[Sequence[str], Sequence[str], int], Split]
    texts_too: bool


BY_PHOTO = HeldOut(lambda images, query_ids, seed: split_by_photo(images, seed), texts_too=False)
BY_PHOTO_AND_TEXT = HeldOut(split_by_photo_and_text, texts_too=True)


def measure_on_splits(
    material: Material, judged: Pairs, judgements: Judgements, fit: Fit, held_out: HeldOut, seeds: Sequence[int]
) -> Measured:
    """Return mean and spread over the seeds of what a fitted scorer says on held-out pairs.

    Whatever it is trained on, it is measured on the same pairs: `judged`, with the experts' mean, of held-out photos.
    """
    found = [_measure_on_split(material, judged, judgements, fit, held_out, seed) for seed in seeds]
    names = [name for name in METRICS if all(name in row for row in found)]
    values = {name: np.array([row[name] for row in found]) for name in names}
    means = {name: float(value.mean()) for name, value in values.items()}
    return means, {name: float(value.std()) for name, value in values.items()}


def _measure_on_split(
    material: Material, judged: Pairs, judgements: Judgements, fit: Fit, held_out: HeldOut, seed: int
) -> dict[str, float]:
    split = held_out.draw(judged.images, judged.query_ids, seed)
    valid = judged.take(split.valid)
    hidden_texts = valid.text_places if held_out.texts_too else np.zeros(0, np.int64)
    scores = np.clip(fit(material.without(valid.photo_places, hidden_texts))(valid), 0.0, 1.0)
    constant = np.full(len(valid), judged.relevance[split.train].mean())
    metrics = measure_pairs(scores, valid.relevance)
    metrics |= measure_agreement(keyed(valid.images, valid.query_ids, scores), judgements)
    of_constant = measure_pairs(constant, valid.relevance)["RMSE"]
    return metrics | {"constant": of_constant, "ratio": metrics["RMSE"] / of_constant, "pairs": float(len(valid))}


def raw_fit(spec: ModelSpec) -> Fit:
    """Return a fit whose scorer gives raw scores."""

    def fit(material: Material) -> Scorer:
        return fit_model(spec, material).raw

    return fit


def calibrated_fit(spec: ModelSpec) -> Fit:
    """Return a fit whose scorer gives calibrated scores."""

    def fit(material: Material) -> Scorer:
        return fit_calibrated(spec, material).score

    return fit


def of_at_most(pairs: int, fit: Fit) -> Fit:
    """Return a fit that learns from so many pairs, drawn at random, of those that there are."""

    def fit_on_drawn(material: Material) -> Scorer:
        chance = np.random.default_rng(material.seed)
        return fit(material.take(np.sort(chance.permutation(len(material.pairs))[:pairs])))

    return fit_on_drawn
