"""Run the whole matrix of targets, vectors, joinings, models and splits, every row over the same seeds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from index_store.encoders.registry import encoder_card
from index_store.errors import ImgsearchError
from index_store.training.data.judgements import Judgements, read_judgements, require_pairs
from index_store.training.data.pairs import Pairs, Vectors, make_pairs
from index_store.training.data.sources import (
    PHOTO_SOURCES,
    TEXT_SOURCES,
    Inputs,
    SourceOptions,
    photo_vectors,
    text_vectors,
)
from index_store.training.data.splits import STUDY_SEEDS, Split, split_by_photo, split_by_photo_and_text
from index_store.training.data.targets import Example, make_examples
from index_store.training.data.vectors import VectorCache
from index_store.training.data.withholding import leave_out, withheld_photos, withheld_texts
from index_store.training.evaluate.measuring import keyed, measure_agreement, measure_pairs
from index_store.training.reranker.models import Material, ModelSpec, fit_calibrated, fit_model, model_spec
from index_store.training.reranker.train import crowd_examples

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Progress = Callable[..., None]
    Scorer = Callable[[Pairs], NDArray[np.float64]]
    Fit = Callable[[Material], Scorer]

METRICS = ("RMSE", "constant", "ratio", "tau_c_expert", "ECE", "pairs")
SHIPPED = "shipped encoder"

TARGET_ROWS = (
    ("experts' median, min-max scaled", "median", 0.7),
    ("experts' majority, three different dropped", "majority", 0.7),
    ("experts' majority, three different as mean", "majority-or-mean", 0.7),
    ("experts' mean", "mean", 0.7),
    ("crowd's share", "crowd", 0.7),
    ("experts and crowd .6/.4", "blend", 0.6),
    ("experts and crowd .7/.3", "blend", 0.7),
    ("experts and crowd .9/.1", "blend", 0.9),
    ("pairs that have both, .5/.5", "both", 0.5),
    ("experts' mean, crowd pairs added at a quarter", "mean+crowd", 0.7),
)
JOINING_ROWS = (
    ("concatenation", ModelSpec("concatenation", "ridge")),
    ("concatenation, normalised", ModelSpec("normalised-concatenation", "ridge")),
    ("product and difference", ModelSpec("product-difference", "ridge")),
    ("cosine", ModelSpec("cosine", "isotonic")),
    ("text mapped to photo: cosine and distance", ModelSpec("mapped", "quadratic")),
    ("matching: cosine, nearness, learned match", ModelSpec("matching", "ridge")),
)
MODEL_ROWS = ("constant", "isotonic", "linear", "ridge", "svr", "boosting", "forest", "network", "auto")
TARGET_MODEL = ModelSpec("product-difference", "ridge")


@dataclass(frozen=True, slots=True)
class StudyOptions:
    """How the study runs; everything else is fixed, so that two runs can be compared."""

    encoder: str | None = None
    seeds: int = len(STUDY_SEEDS)
    policy_file: Path | None = None
    sources: SourceOptions = field(default_factory=SourceOptions)


@dataclass(frozen=True, slots=True)
class StudyRow:
    """One variant: mean and spread of each metric over the seeds, or the reason why it was not run."""

    block: str
    name: str
    mean: Mapping[str, float] = field(default_factory=dict)
    spread: Mapping[str, float] = field(default_factory=dict)
    reason: str = ""

    def cells(self) -> list[str]:
        """Return what tables show: RMSE, the constant's, their ratio, tau-c, ECE, pairs held out."""
        if self.reason:
            return [f"not run: {self.reason}", "", "", "", "", ""]
        shown = [self._shown(metric) for metric in METRICS[:-1]]
        return [*shown, f"{self.mean['pairs']:,.0f}"]

    def _shown(self, metric: str) -> str:
        if metric not in self.mean:
            return "–"
        digits = 4 if metric == "ECE" else 3
        return f"{self.mean[metric]:.{digits}f} ± {self.spread[metric]:.{digits}f}"


@dataclass(frozen=True, slots=True)
class Study:
    """All rows in the order of the study, and what should be known about them."""

    encoder: str
    seeds: Sequence[int]
    rows: list[StudyRow] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def blocks(self) -> list[str]:
        """Return the headings in order."""
        return list(dict.fromkeys(row.block for row in self.rows))

    def rows_of(self, block: str) -> list[StudyRow]:
        """Return the rows below a heading."""
        return [row for row in self.rows if row.block == block]


class HeldOut(NamedTuple):
    """How a split is drawn: by photo, or so that no text is shared either."""

    draw: Callable[[Sequence[str], Sequence[str], int], Split]
    texts_too: bool


BY_PHOTO = HeldOut(lambda images, query_ids, seed: split_by_photo(images, seed), texts_too=False)
BY_PHOTO_AND_TEXT = HeldOut(split_by_photo_and_text, texts_too=True)


def measure_on_splits(
    material: Material, judged: Pairs, judgements: Judgements, fit: Fit, held_out: HeldOut, seeds: Sequence[int]
) -> tuple[dict[str, float], dict[str, float]]:
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


def run_study(
    folder: Path, options: StudyOptions, cache_folder: Path | None = None, progress: Progress | None = None
) -> Study:
    """Run every row on the data in `folder`; vectors come from the cache or are made once."""
    judgements = read_judgements(folder)
    require_pairs(judgements, experts=True)
    seeds = STUDY_SEEDS[: options.seeds]
    plan = _Plan(judgements, seeds, options, VectorCache(cache_folder))
    study = Study(encoder_card(options.encoder).name, seeds, notes=[str(problem) for problem in judgements.problems])
    steps = list(plan.steps())
    for done, (block, name, run) in enumerate(steps):
        if progress is not None:
            progress(done, len(steps), f"{block}: {name}")
        try:
            study.rows.append(StudyRow(block, name, *run()))
        except ImgsearchError as error:
            study.rows.append(StudyRow(block, name, reason=str(error).split("\n", 1)[0]))
    return study


Step = tuple[str, str, Callable[[], tuple[dict[str, float], dict[str, float]]]]


class _Plan:
    """The rows of the study as steps to be run, and the vectors that they share."""

    def __init__(self, judgements: Judgements, seeds: Sequence[int], options: StudyOptions, cache: VectorCache) -> None:
        self._judgements = judgements
        self._seeds = seeds
        self._options = options
        self._cache = cache
        self._sources = SourceOptions(options.encoder, options.sources.weights, options.sources.fetch)
        photos = [(image, judgements.train_photo(image)) for image in judgements.photos]
        self._inputs = Inputs(sorted(judgements.texts.items()), photos)
        self._vectors: dict[tuple[str, str], Vectors] = {}

    def steps(self) -> Iterator[Step]:
        """Yield block, name and what to run, in the order of the page."""
        yield from self._targets()
        yield from self._policy()
        yield from self._vector_pairs()
        for name, spec in JOINING_ROWS:
            yield "Joining (shipped encoder)", name, self._step(spec)
        for name in MODEL_ROWS:
            calibrated = name == "auto"
            yield "Models (shipped encoder)", _model_title(name), self._step(model_spec(name), calibrated=calibrated)
        for name in ("constant", "isotonic", "auto"):
            title = _model_title(name)
            step = self._step(model_spec(name), held_out=BY_PHOTO_AND_TEXT, calibrated=name == "auto")
            yield "Stricter split: neither photo nor text shared", title, step
        yield (
            "Reference",
            "CLIP ViT-B/32, cosine, isotonic",
            self._step(ModelSpec("cosine", "isotonic"), "CLIP ViT-B/32", "CLIP ViT-B/32"),
        )

    def _targets(self) -> Iterator[Step]:
        for title, target, weight in TARGET_ROWS:
            yield (
                "Targets (ridge on product and difference)",
                title,
                self._step(TARGET_MODEL, target=target, weight=weight),
            )

    def _policy(self) -> Iterator[Step]:
        block = "The policy's filter (the model that ships)"
        yield block, "all pairs", self._step(model_spec("auto"), calibrated=True)
        yield (
            block,
            "fitted on what the policy leaves, measured on all",
            self._step(model_spec("auto"), calibrated=True, withhold=True),
        )

    def _vector_pairs(self) -> Iterator[Step]:
        spec = ModelSpec("mapped", "quadratic")
        for photos in PHOTO_SOURCES:
            yield "Photo vectors (with MiniLM, mapped)", photos, self._step(spec, photos, "MiniLM")
        for texts in TEXT_SOURCES:
            yield "Text vectors (with EfficientNet-Lite2, mapped)", texts, self._step(spec, "EfficientNet-Lite2", texts)

    def _step(
        self,
        spec: ModelSpec,
        photos: str = SHIPPED,
        texts: str = SHIPPED,
        *,
        target: str = "mean",
        weight: float = 0.7,
        held_out: HeldOut = BY_PHOTO,
        calibrated: bool = False,
        withhold: bool = False,
    ) -> Callable[[], tuple[dict[str, float], dict[str, float]]]:
        fit = calibrated_fit(spec) if calibrated else raw_fit(spec)

        def run() -> tuple[dict[str, float], dict[str, float]]:
            material = self._material(photos, texts, target, weight, withhold)
            examples = make_examples(self._judgements, "mean")
            judged = make_pairs(examples, material.pairs.texts, material.pairs.photos)
            return measure_on_splits(material, judged, self._judgements, fit, held_out, self._seeds)

        return run

    def _material(self, photos: str, texts: str, target: str, weight: float, withhold: bool) -> Material:
        judgements = self._judgements
        examples = make_examples(judgements, target, weight)
        extra = crowd_examples(judgements, target, examples)
        text_rows, photo_rows = self._of_texts(texts), self._of_photos(photos)
        if withhold:
            examples, extra = self._left(examples, extra)
        crowd = make_pairs(extra, text_rows, photo_rows) if extra else None
        captions = np.arange(len(text_rows.names))
        return Material(make_pairs(examples, text_rows, photo_rows), crowd, captions=captions)

    def _left(self, examples: list[Example], extra: list[Example]) -> tuple[list[Example], list[Example]]:
        policy = self._options.policy_file
        texts = withheld_texts(self._judgements.texts, policy)
        photos = withheld_photos(self._inputs.photos, self._options.encoder, self._cache, policy)
        kept, _ = leave_out(examples, texts, photos)
        return kept, [row for row in extra if row.query_id not in texts and row.image not in photos]

    def _of_texts(self, source: str) -> Vectors:
        if ("texts", source) not in self._vectors:
            self._vectors["texts", source] = text_vectors(source, self._inputs, self._cache, self._sources)
        return self._vectors["texts", source]

    def _of_photos(self, source: str) -> Vectors:
        if ("photos", source) not in self._vectors:
            self._vectors["photos", source] = photo_vectors(source, self._inputs, self._cache, self._sources)
        return self._vectors["photos", source]


def _model_title(name: str) -> str:
    if name == "auto":
        return "auto: matching, quadratic, calibrated (ships)"
    spec = model_spec(name)
    return f"{name} on {spec.joining}" if name != "constant" else name
