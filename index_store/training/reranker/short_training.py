"""Train the model for short queries and measure it on photos that it was not fitted on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from index_store.reranker.cosine import Scorer
from index_store.reranker.reranking import Reranker
from index_store.reranker.short_queries import ShortQueryModel
from index_store.training.data.captions import DataFolder
from index_store.training.data.judgements import Judgements
from index_store.training.data.pairs import Vectors
from index_store.training.data.short_pairs import ShortSet
from index_store.training.data.short_queries import all_wordings
from index_store.training.data.vectors import VectorCache
from index_store.training.data.withholding import withheld_texts
from index_store.training.evaluate.short_queries import ShortScores, absent_things, asked_phrases, score_short
from index_store.training.reranker.short_data import (
    ShortSources,
    captioned_set,
    gather_short,
    text_vectors,
)
from index_store.training.reranker.short_grading import GradeScores, halves, score_grades, with_grades
from index_store.training.reranker.short_queries import SHORT_OPTIONS, WORDS, fit_short_queries, without_photos

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    Rows = NDArray[np.float32]
    Progress = Callable[[int, int], None]
    Completed = Callable[[ShortQueryModel], Reranker]
    """A model for short queries -> the reranker that queries would use it in."""

MEASURING_FOLDS = 2
GRADED = "graded by eye"


@dataclass(frozen=True, slots=True)
class ShortTraining:
    """The model, and the scores of photos that it, or its twins, were not fitted on, by the name of their set."""

    model: ShortQueryModel
    scores: Mapping[str, ShortScores]
    graded: GradeScores | None
    facts: Mapping[str, object]

    def measured(self, min_score: float) -> dict[str, dict[str, float]]:
        """Return the metrics of each set at a threshold, and of what was graded by eye."""
        found = {name: scores.measured(min_score) for name, scores in self.scores.items()}
        return found if self.graded is None else {**found, GRADED: self.graded.measured(min_score)}

    def absent_answered(self, min_score: float) -> float:
        """Return the share of absent things that are answered, in the mean over the sets."""
        return float(np.mean([(scores.absent >= min_score).mean() for scores in self.scores.values()]))


def train_short_queries(
    sources: ShortSources,
    measured: Sequence[Path],
    judged: tuple[Judgements, Vectors],
    completed: Completed,
    cache: VectorCache,
    seed: int = 0,
    progress: Progress | None = None,
) -> ShortTraining:
    """Fit the model on all sets; measure crosswise on unseen photos with several captions, and on other folders."""
    material = gather_short(sources, *judged, cache, progress)
    short, bank, words = material.pairs(seed), material.bank(SHORT_OPTIONS.bank_size, seed), material.words(WORDS)
    learning, checking = halves(short)
    short = with_grades(short, learning)

    def fit(left_out: Sequence[str] = ()) -> ShortQueryModel:
        rest = without_photos(short, left_out) if left_out else short
        return fit_short_queries(rest, material.sentences, bank, words, seed)

    model = fit()
    scores: dict[str, ShortScores] = {}
    homes = [each for each in map(_to_measure, material.sets) if each is not None]
    for each, twins in zip(homes, _twins(homes, fit, seed), strict=True):
        rerankers = [(completed(twin), places) for twin, places in twins]
        scores[each.name] = _scores(each, rerankers, sources, cache)
    for folder in measured:
        scores[folder.name] = measure_folder(folder, completed(model), sources, cache, progress)
    graded = None
    if checking:
        graded = score_grades(short, checking, completed(fit([grade.photo for grade in checking])))
    facts = {
        "sets": {part.name: {"photos": len(part.photos), "unseen": int(part.unseen.sum())} for part in material.sets},
        "phrases": len(material.wordings),
        "texts": len(material.texts.names),
        "pairs": len(short.pairs),
        "graded": len(learning),
        "calibrated_on": int(short.calibrating.sum()),
    }
    return ShortTraining(model, scores, graded, facts)


def measure_folder(
    folder: Path, scorer: Scorer, sources: ShortSources, cache: VectorCache, progress: Progress | None = None
) -> ShortScores:
    """Score the short queries that a captioned folder's own captions make, with all its photos."""
    each = captioned_set(DataFolder(folder), sources, cache, progress)
    return _scores(each, [(scorer, np.arange(len(each.photos)))], sources, cache)


def _to_measure(each: ShortSet) -> ShortSet | None:
    """Return the unseen photos of a set whose photos have several captions, None where there are too few."""
    places = np.flatnonzero(each.unseen & (np.array(each.sayings.captions) > 1))
    return each.take(places) if len(places) >= 20 else None


def _twins(
    homes: Sequence[ShortSet], fit: Callable[[Sequence[str]], ShortQueryModel], seed: int
) -> list[list[tuple[ShortQueryModel, NDArray[np.int64]]]]:
    """Return for each set models that were fitted without a part of its photos, each with the places of that part."""
    chance = np.random.default_rng(seed)
    parts = [chance.integers(0, MEASURING_FOLDS, len(each.photos)) for each in homes]
    found: list[list[tuple[ShortQueryModel, NDArray[np.int64]]]] = [[] for _ in homes]
    for fold in range(MEASURING_FOLDS if homes else 0):
        places = [np.flatnonzero(part == fold) for part in parts]
        named = [
            f"{each.name}/{each.sayings.images[int(place)]}"
            for each, own in zip(homes, places, strict=True)
            for place in own
        ]
        twin = fit(named)
        for row, own in zip(found, places, strict=True):
            row.append((twin, own))
    return found


def _scores(
    each: ShortSet, scorers: Sequence[tuple[Scorer, NDArray[np.int64]]], sources: ShortSources, cache: VectorCache
) -> ShortScores:
    """Score a set's own short queries; each scorer scores the photos at its places."""
    wordings = all_wordings(asked_phrases(each.sayings), each.sayings)
    absent = absent_things(each.sayings)
    texts = text_vectors(sources.encoder, [*absent, *(text for ways in wordings.values() for text in ways)], cache)
    if sources.withhold:
        refused = withheld_texts({text: text for text in texts.names}, sources.policy_file)
        wordings = {phrase: ways for phrase, ways in wordings.items() if not refused.intersection(ways)}
        absent = [text for text in absent if text not in refused]
    place = {text: row for row, text in enumerate(texts.names)}

    def score(text: str) -> Rows:
        found = np.empty(len(each.photos), np.float32)
        for scorer, places in scorers:
            found[places] = scorer.score(texts.rows[place[text]], each.photos[places])
        return found

    return score_short(each.sayings, wordings, absent, score)
