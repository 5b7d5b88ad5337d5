"""Run the whole matrix of targets, vectors, joinings, models and splits, every row over the same seeds."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np

import index_store
from index_store.compliance.policy import load_policy
from index_store.encoders.registry import encoder_card
from index_store.errors import ImgsearchError, first_line
from index_store.training.data.judgements import Judgements, read_judgements, require_pairs
from index_store.training.data.pairs import Vectors, make_pairs
from index_store.training.data.sources import Inputs, SourceOptions, photo_vectors, text_vectors, weights_print
from index_store.training.data.splits import STUDY_SEEDS
from index_store.training.data.targets import Example, make_examples
from index_store.training.data.vectors import VectorCache
from index_store.training.data.withholding import leave_out, withheld_photos, withheld_texts
from index_store.training.reranker.models import Material
from index_store.training.reranker.train import crowd_examples
from index_store.training.study.measure import (
    BY_PHOTO,
    BY_PHOTO_AND_TEXT,
    Measured,
    calibrated_fit,
    measure_on_splits,
    of_at_most,
    raw_fit,
)
from index_store.training.study.plan import Variant, variants
from index_store.training.study.rows import KeptRows, Study, StudyRow

Progress = Callable[..., None]

ROWS_FILE = "study-rows.jsonl"
"""Where the rows of a study are kept in its folder, as they come."""


@dataclass(frozen=True, slots=True)
class StudyOptions:
    """How the study runs; everything else is fixed, so that two runs can be compared.

    `only` names parts of blocks' titles: rows of other blocks are left out.
    """

    encoder: str | None = None
    seeds: int = len(STUDY_SEEDS)
    policy_file: Path | None = None
    sources: SourceOptions = field(default_factory=SourceOptions)
    only: tuple[str, ...] = ()


def run_study(
    folder: Path,
    options: StudyOptions,
    cache_folder: Path | None = None,
    progress: Progress | None = None,
    rows_file: Path | None = None,
) -> Study:
    """Run every row on the data in `folder`; vectors come from the cache or are made once.

    Each row is kept in `rows_file` as soon as it is measured, and one that is there is not measured again. What goes
    wrong with a row is said in its place and ends no other row.

    Raises:
        DataError: the judgements cannot be used.
        UsageError: `rows_file` cannot be written.
    """
    judgements = read_judgements(folder)
    require_pairs(judgements, experts=True)
    seeds = STUDY_SEEDS[: options.seeds]
    kept = KeptRows(rows_file)
    bench = _Bench(judgements, options, VectorCache(cache_folder), progress or _silent)
    study = Study(encoder_card(options.encoder).name, seeds, notes=[str(problem) for problem in judgements.problems])
    for variant in bench.begin():
        study.rows.append(_row(variant, bench, kept))
    return study


def _row(variant: Variant, bench: _Bench, kept: KeptRows) -> StudyRow:
    """Return a row as it was kept, else measure and keep it."""
    name = variant.block, variant.name
    try:
        key = bench.key(variant)
        row = kept.find(key)
        if row is None:
            row = StudyRow(*name, *bench.measured(variant))
            kept.keep(key, row)
    except ImgsearchError as error:
        row = StudyRow(*name, reason=str(error).split("\n", 1)[0])
    except Exception as error:  # whatever a library raises, also for want of memory: the other rows are worth having
        row = StudyRow(*name, reason=f"{type(error).__name__}: {first_line(error)}")
    return replace(row, block=variant.block, name=variant.name, claimed=variant.claimed)


def _silent(done: int, total: int, note: str = "") -> None:
    """Show nothing."""


class _Bench:
    """What measures rows: the judgements, and the vectors that rows share."""

    def __init__(self, judgements: Judgements, options: StudyOptions, cache: VectorCache, progress: Progress) -> None:
        self._judgements = judgements
        self._seeds = STUDY_SEEDS[: options.seeds]
        self._options = options
        self._cache = cache
        self._progress = progress
        self._sources = SourceOptions(options.encoder, options.sources.weights, options.sources.fetch)
        photos = [(image, judgements.train_photo(image)) for image in judgements.photos]
        self._inputs = Inputs(sorted(judgements.texts.items()), photos)
        self._data = _digest(judgements, self._inputs)
        self._vectors: dict[tuple[str, str], Vectors] = {}
        self._prints: dict[str, str] = {}
        self._show: Callable[[str], None] = lambda note: None

    def begin(self) -> Iterator[Variant]:
        """Yield the rows that are wanted, and show which one is under way."""
        only = [part.casefold() for part in self._options.only]
        wanted = [row for row in variants() if not only or any(part in row.block.casefold() for part in only)]
        for done, variant in enumerate(wanted):
            title = f"{variant.block}: {variant.name}"
            self._show = lambda note, done=done, title=title: self._progress(done, len(wanted), title + note)  # type: ignore[misc]
            self._show("")
            yield variant

    def key(self, variant: Variant) -> str:
        """Return what a row's figures hang on: data, vectors, recipe, splits and program.

        Raises:
            ImgsearchError: weights are not on this machine.
        """
        for source in (variant.photos, variant.texts):
            if source not in self._prints:
                self._prints[source] = weights_print(source, self._sources)
        recipe = asdict(replace(variant, block="", name="", claimed=""))
        policy = load_policy(self._options.policy_file).digest if variant.withhold else ""
        prints = self._prints[variant.photos], self._prints[variant.texts]
        facts = recipe, prints, self._data, policy, self._seeds, index_store.__version__
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:24]

    def measured(self, variant: Variant) -> Measured:
        """Measure a row over all seeds."""
        material = self._material(variant)
        weight = variant.expert_weight
        examples = make_examples(self._judgements, *((variant.target, weight) if variant.own_target else ("mean",)))
        judged = make_pairs(examples, material.pairs.texts, material.pairs.photos)
        fit = calibrated_fit(variant.spec) if variant.calibrated else raw_fit(variant.spec)
        if variant.most_pairs is not None:
            fit = of_at_most(variant.most_pairs, fit)
        held_out = BY_PHOTO_AND_TEXT if variant.texts_too else BY_PHOTO
        return measure_on_splits(material, judged, self._judgements, fit, held_out, self._seeds)

    def _material(self, variant: Variant) -> Material:
        examples = make_examples(self._judgements, variant.target, variant.expert_weight)
        extra = crowd_examples(self._judgements, variant.target, examples)
        texts, photos = self._of("texts", variant.texts), self._of("photos", variant.photos)
        if variant.withhold:
            examples, extra = self._left(examples, extra)
        crowd = make_pairs(extra, texts, photos) if extra else None
        return Material(make_pairs(examples, texts, photos), crowd, captions=np.arange(len(texts.names)))

    def _left(self, examples: list[Example], extra: list[Example]) -> tuple[list[Example], list[Example]]:
        policy = self._options.policy_file
        texts = withheld_texts(self._judgements.texts, policy)
        photos = withheld_photos(self._inputs.photos, self._options.encoder, self._cache, policy)
        kept, _ = leave_out(examples, texts, photos)
        return kept, [row for row in extra if row.query_id not in texts and row.image not in photos]

    def _of(self, what: str, source: str) -> Vectors:
        if (what, source) not in self._vectors:
            make = text_vectors if what == "texts" else photo_vectors
            advance = partial(self._advance, f"{what} of {source}")
            self._vectors[what, source] = make(source, self._inputs, self._cache, self._sources, advance)
        return self._vectors[what, source]

    def _advance(self, what: str, done: int, total: int) -> None:
        self._show(f" ({what}: {done:,} of {total:,} vectors)")


def _digest(judgements: Judgements, inputs: Inputs) -> str:
    """Return what tells one set of judgements, texts and photos from another."""
    states = [(name, path.stat().st_size, path.stat().st_mtime_ns) for name, path in inputs.photos]
    facts = repr((judgements.expert, judgements.crowd, inputs.texts, states))
    return hashlib.sha256(facts.encode(errors="surrogatepass")).hexdigest()
