"""Train the reranker: judgements, targets, policy, vectors, split by photo, fit, calibrate, measure, write."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from index_store.reranker.reranking import Reranker, write_reranker
from index_store.reranker.short_queries import ShortQueryModel
from index_store.training.data.captions import DataFolder
from index_store.training.data.judgements import Judgements, photo_of, read_judgements
from index_store.training.data.pairs import Pairs, Vectors, make_pairs
from index_store.training.data.splits import VALID_FRACTION, split_by_photo
from index_store.training.data.targets import DEFAULT_TARGET, TARGETS, Example, make_examples, require_spread
from index_store.training.data.vectors import VectorCache, encoder_vectors
from index_store.training.data.withholding import FilterReport, leave_out, withheld_photos, withheld_texts
from index_store.training.evaluate.measuring import keyed, measure_agreement, measure_pairs
from index_store.training.reranker.by_reference_gain import (
    ByReference,
    gain_line,
    measure_by_reference,
    reference_scorer,
)
from index_store.training.reranker.card import card_of, short_card
from index_store.training.reranker.min_score import BestScores, best_scores, choose_min_score, good_answers
from index_store.training.reranker.models import CalibratedModel, Material, ModelSpec, fit_calibrated, saved_model_spec
from index_store.training.reranker.short_data import ShortSources
from index_store.training.reranker.short_training import ShortTraining, train_short_queries

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from index_store.reranker.predictors import SavedPredictor
    from index_store.training.reranker.min_score import Score

    Progress = Callable[[int, int], None]

DEFAULT_MIN_SCORE = 0.3
"""Used where the held-out photos carry no text of their own, so that no threshold can be chosen."""


@dataclass(frozen=True, slots=True)
class TrainingOptions:
    """Everything that a training run can be set; saved in the card with the weights.

    From the captions of the folders `short` a model for short queries is trained; it is measured on `measured`, too.
    """

    target: str = DEFAULT_TARGET
    expert_weight: float = 0.7
    encoder: str | None = None
    model: str = "auto"
    split_seed: int = 0
    valid_fraction: float = VALID_FRACTION
    withhold: bool = True
    policy_file: Path | None = None
    short: Sequence[DataFolder] = ()
    measured: Sequence[Path] = ()


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """Judgements made ready: what to fit on, and what the policy left of them."""

    judgements: Judgements
    encoder: str
    material: Material
    filter_report: FilterReport | None
    options: TrainingOptions
    photos: Vectors
    """All judged photos, those that the policy withholds too."""


@dataclass(frozen=True, slots=True)
class TrainingReport:
    """What a training run found on the held-out photos; `metrics` and `constant` hold one value for each name."""

    version: str
    encoder: str
    options: TrainingOptions
    train_pairs: int
    valid_pairs: int
    train_photos: int
    valid_photos: int
    metrics: Mapping[str, float]
    constant: Mapping[str, float]
    min_score: float
    absent_answered: float | None
    real_answered: float | None
    filter_report: FilterReport | None
    seconds: float
    held_out_scores: NDArray[np.float64] = field(repr=False)
    held_out_relevance: NDArray[np.float64] = field(repr=False)
    notes: Sequence[str] = ()
    short: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Figures on short queries, by the set that they were measured on."""
    by_reference: ByReference | None = None
    """What scores by reference reach on the same photos; None where these are too few."""

    @property
    def gain(self) -> str:
        """One line on what it gained over scores by reference; "" where that was not measured."""
        answered = self.absent_answered, self.real_answered
        known = self.by_reference
        return "" if known is None else gain_line(self.metrics["RMSE"], self.metrics["ECE"], answered, known)

    @property
    def rmse_ratio(self) -> float:
        """The RMSE divided by the constant predictor's."""
        return self.metrics["RMSE"] / self.constant["RMSE"]


def train_reranker(
    folder: Path,
    output: Path,
    options: TrainingOptions,
    cache: VectorCache | None = None,
    progress: Progress | None = None,
) -> TrainingReport:
    """Train one model on the judgements in `folder` and write its weights and card to `output`.

    The figures, and the least score of a match, come from a model that was fitted without the held-out photos; the
    weights that are written come from the same recipe fitted on all photos, calibrated across folds of photos.
    """
    started = time.perf_counter()
    spec = saved_model_spec(options.model)
    cache = cache or VectorCache()
    ready = prepare(read_judgements(folder), options, cache, progress)
    split = split_by_photo(ready.material.pairs.images, options.split_seed, options.valid_fraction)
    trial = fit_calibrated(spec, ready.material.take(split.train))
    held_out = ready.material.pairs.take(split.valid)
    short = _train_short(trial, spec, ready, cache, progress)
    model = None if short is None else short.model
    tried = as_reranker(trial, spec, ready, None, model)
    scores = tried.score_pairs(held_out.text_rows, held_out.photo_rows).astype(np.float64)
    level = float(
        np.average(ready.material.pairs.relevance[split.train], weights=ready.material.pairs.weight[split.train])
    )
    metrics = measure_pairs(scores, held_out.relevance)
    metrics |= measure_agreement(keyed(held_out.images, held_out.query_ids, scores), ready.judgements)
    best = held_out_best_scores(tried.score, ready, held_out)
    absent_short = None if short is None else short.absent_answered
    min_score = DEFAULT_MIN_SCORE if best is None else choose_min_score(best, absent_short)
    answered = (None, None) if best is None else best.answered(min_score)
    report = TrainingReport(
        version="",
        encoder=ready.encoder,
        options=options,
        train_pairs=len(split.train),
        valid_pairs=len(split.valid),
        train_photos=len(set(ready.material.pairs.take(split.train).images)),
        valid_photos=len(set(held_out.images)),
        metrics=metrics,
        constant=measure_pairs(np.full(len(scores), level), held_out.relevance),
        min_score=min_score,
        absent_answered=answered[0],
        real_answered=answered[1],
        filter_report=ready.filter_report,
        seconds=0.0,
        by_reference=_by_reference(tried, ready, held_out),
        held_out_scores=scores,
        held_out_relevance=held_out.relevance,
        notes=[str(problem) for problem in ready.judgements.problems],
        short={} if short is None else short.measured(min_score),
    )
    final = as_reranker(fit_calibrated(spec, ready.material), spec, ready, report, model)
    if short is not None:
        final = replace(final, card={**final.card, "short_queries": short_card(short.facts, report.short)})
    saved = write_reranker(output, final)
    return _completed(report, saved.version, time.perf_counter() - started)


def _train_short(
    trial: CalibratedModel, spec: ModelSpec, ready: TrainingSet, cache: VectorCache, progress: Progress | None
) -> ShortTraining | None:
    """Train the model for short queries, measured together with `trial`; None where no folder of captions was named."""
    options = ready.options
    if not options.short:
        return None
    sources = ShortSources(options.short, options.encoder, options.policy_file, options.withhold)

    def completed(model: ShortQueryModel) -> Reranker:
        return as_reranker(trial, spec, ready, None, model)

    judged = ready.judgements, ready.photos
    return train_short_queries(sources, options.measured, judged, completed, cache, options.split_seed, progress)


def prepare(
    judgements: Judgements, options: TrainingOptions, cache: VectorCache, progress: Progress | None = None
) -> TrainingSet:
    """Make examples, leave out what the policy withholds, and give all that is left its vectors."""
    from index_store.encoders.registry import encoder_card

    encoder = encoder_card(options.encoder).towers
    examples = make_examples(judgements, options.target, options.expert_weight)
    extra = crowd_examples(judgements, options.target, examples)
    texts, photos = embed_judged(judgements, options.encoder, cache, progress)
    hidden = hidden_by_policy(judgements, options, cache, progress) if options.withhold else None
    return assemble(judgements, encoder, examples, extra, texts, photos, options, hidden)


Hidden = tuple[frozenset[str], frozenset[str]]
"""The query_ids and the photos that the policy withholds."""


def hidden_by_policy(
    judgements: Judgements, options: TrainingOptions, cache: VectorCache, progress: Progress | None = None
) -> Hidden:
    """Return what the policy withholds of judgements."""
    named = [(image, judgements.train_photo(image)) for image in judgements.photos]
    photos = withheld_photos(named, options.encoder, cache, options.policy_file, progress)
    return withheld_texts(judgements.texts, options.policy_file), photos


def assemble(
    judgements: Judgements,
    encoder: str,
    examples: Sequence[Example],
    extra: Sequence[Example],
    texts: Vectors,
    photos: Vectors,
    options: TrainingOptions,
    hidden: Hidden | None = None,
) -> TrainingSet:
    """Return the training set of examples and extra crowd pairs, without what is `hidden`."""
    report: FilterReport | None = None
    if hidden is not None:
        examples, report = leave_out(examples, *hidden)
        extra = [pair for pair in extra if pair.query_id not in hidden[0] and pair.image not in hidden[1]]
    require_spread([example.relevance for example in examples], f"{judgements.folder}: target {options.target}")
    pairs = make_pairs(examples, texts, photos)
    crowd = make_pairs(extra, texts, photos) if extra else None
    # withheld texts stay among the references: without them, photos of children would seem near to few texts and rise
    captions = np.arange(len(texts.names))
    material = Material(pairs, crowd, options.split_seed, captions=captions)
    return TrainingSet(judgements, encoder, material, report, options, photos)


def crowd_examples(judgements: Judgements, target: str, examples: Sequence[Example]) -> list[Example]:
    """Return the pairs that only the crowd judged, for targets that only the experts make; none for others."""
    rule = TARGETS[target]
    if not judgements.crowd or not rule.needs_experts or rule.needs_crowd:
        return []
    taken = {(example.image, example.query_id) for example in examples}
    return [
        Example(pair.image, pair.query_id, pair.share)
        for pair in sorted(judgements.crowd, key=lambda pair: (pair.image, pair.query_id))
        if (pair.image, pair.query_id) not in taken
    ]


def embed_judged(
    judgements: Judgements, encoder: str | None, cache: VectorCache, progress: Progress | None = None
) -> tuple[Vectors, Vectors]:
    """Return the embeddings of all judged texts and photos."""
    texts = sorted(judgements.texts.items())
    photos = [(image, judgements.train_photo(image)) for image in judgements.photos]
    return encoder_vectors(encoder, texts, photos, cache, progress)


def _by_reference(tried: Reranker, ready: TrainingSet, held_out: Pairs) -> ByReference | None:
    """Measure scores by reference on the held-out photos, among which a store would draw its sample."""
    photos = ready.material.pairs.photos
    scorer = reference_scorer(photos.rows[photos.places(sorted(set(held_out.images)))])
    if scorer is None:
        return None
    return measure_by_reference(scorer, held_out, held_out_best_scores(scorer.score, ready, held_out, tried.score))


def held_out_best_scores(
    score: Score, ready: TrainingSet, held_out: Pairs, predict: Score | None = None
) -> BestScores | None:
    """Return the best scores of held-out photos' own texts; None where too few photos have a text of their own."""
    gallery = sorted(set(held_out.images))
    texts = ready.material.pairs.texts
    rows = dict(zip(texts.names, texts.rows, strict=True))
    known = set(ready.material.pairs.query_ids)
    queries = {
        query_id: row for query_id, row in rows.items() if photo_of(query_id) in set(gallery) and query_id in known
    }
    if len(queries) < 20 or len(gallery) < 20:
        return None
    photos = ready.material.pairs.photos
    photo_rows = photos.rows[photos.places(gallery)]
    good = good_answers(ready.judgements, rows, gallery)
    return best_scores(score, queries, gallery, photo_rows, good, predict=predict)


def as_reranker(
    calibrated: CalibratedModel,
    spec: ModelSpec,
    ready: TrainingSet,
    report: TrainingReport | None,
    short: ShortQueryModel | None = None,
) -> Reranker:
    """Return a calibrated model as the reranker that queries use."""
    card = {} if report is None else card_of(spec, ready, report)
    return Reranker(
        joining=calibrated.model.joining,
        learned=calibrated.model.learned,
        predictor=cast("SavedPredictor", calibrated.model.predictor),  # `saved_model_spec` let no other through
        calibration=calibrated.calibration,
        encoder=ready.encoder,
        dimension=ready.material.pairs.photos.rows.shape[1],
        version="not saved",
        min_score=DEFAULT_MIN_SCORE if report is None else report.min_score,
        card=card,
        short=short,
    )


def _completed(report: TrainingReport, version: str, seconds: float) -> TrainingReport:
    return replace(report, version=version, seconds=seconds)
