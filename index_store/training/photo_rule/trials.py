"""Measure models of the photo rule on photos that they were not fitted to, and find the threshold that they advise."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from index_store.compliance.photo_rule import recall_and_precision
from index_store.errors import MissingExtraError
from index_store.training.photo_rule.candidates import CANDIDATES
from index_store.training.photo_rule.data import LearningData
from index_store.training.photo_rule.labels import Labels

try:
    from sklearn.metrics import average_precision_score, roc_auc_score
    from sklearn.model_selection import KFold
except ImportError as error:
    raise MissingExtraError("training the photo rule needs scikit-learn; pip install 'imgsearch-cli[train]'") from error

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Truth = NDArray[np.bool_]

Progress = Callable[[int, int], None]
THRESHOLDS = tuple(percent / 100 for percent in (*range(5, 20), *range(20, 50, 2), 50, 55, 60, 70, 80))
HOME, SEEN, LEARNED = "home", "looked at", "learned from"
"""Home and looked at are the two parts by which a model is chosen."""
SURE = (HOME, SEEN)


@dataclass(frozen=True, slots=True)
class MeasuredSet:
    """Photos of another kind that only measure: rows of shape (n, dimension), and what somebody saw on each."""

    name: str
    embeddings: Floats
    seen: NDArray[np.str_]


@dataclass(frozen=True, slots=True)
class ThresholdRow:
    """What a threshold does: `harmless_withheld` is the share of photos without a child that would be withheld."""

    threshold: float
    recall: float
    precision: float
    harmless_withheld: float


@dataclass(frozen=True, slots=True)
class Measured:
    """How well probabilities fit the truth on `photos` photos, `positives` of which show a child."""

    photos: int
    positives: int
    average_precision: float
    auc: float
    brier: float
    rows: tuple[ThresholdRow, ...]


def learned_from(data: LearningData, labels: Labels, chosen: NDArray[np.intp]) -> tuple[Floats, Labels]:
    """Return embeddings and labels of chosen photos and their copies; a photo and its copy share the weight of one."""
    embeddings, rows, shares = data.with_copies(chosen)
    counted = labels[rows]
    weights = counted.child_weight * shares, counted.person_weight * shares
    return embeddings, replace(counted, child_weight=weights[0], person_weight=weights[1])


@dataclass(frozen=True, slots=True)
class Trials:
    """Judge each photo by models that were not fitted to it; logits by set, that of the photos themselves first."""

    data: LearningData
    labels: Labels
    measured: Sequence[MeasuredSet]
    names: Sequence[str]
    folds: int = 5
    seed: int = 0

    def logits(self, name: str, progress: Progress) -> dict[str, Floats]:
        """Return logits of a candidate: out of fold; for photos kept out and other sets the mean over the folds."""
        rows, learned = self.data.embeddings, np.flatnonzero(~self.data.kept_out)
        kept_out, folds = np.flatnonzero(self.data.kept_out), self.folds
        found = {LEARNED: np.zeros(len(rows), np.float32)}
        found |= {each.name: np.zeros(len(each.embeddings), np.float32) for each in self.measured}
        parts = KFold(folds, shuffle=True, random_state=self.seed).split(learned)
        for number, (fit, judge) in enumerate(parts):
            progress(self.names.index(name) * folds + number + 1, len(self.names) * folds)
            chosen = learned[fit]
            model = CANDIDATES[name].model(*learned_from(self.data, self.labels, chosen), self.seed)
            found[LEARNED][learned[judge]] = model.logits(rows[learned[judge]])
            found[LEARNED][kept_out] += model.logits(rows[kept_out]) / folds
            for each in self.measured:
                found[each.name] += model.logits(each.embeddings) / folds
        return found

    def average_precisions(self, logits: Mapping[str, Floats]) -> dict[str, float]:
        """Return the average precision on each part that has photos with and without children."""
        return {
            name: round(float(average_precision_score(truth, logits[source][rows])), 4)
            for name, (source, rows, truth) in self._parts().items()
            if 0 < truth.sum() < len(truth)
        }

    def figures(self, probabilities: Mapping[str, Floats]) -> dict[str, Measured]:
        """Return the figures of each part that has photos with and without children."""
        return {
            name: measure(probabilities[source][rows], truth)
            for name, (source, rows, truth) in self._parts().items()
            if 0 < truth.sum() < len(truth)
        }

    def trusted(self, logits: Mapping[str, Floats]) -> tuple[Floats, Truth]:
        """Return logits and truth of the photos whose answer is sure: kept out at home, and those looked at."""
        parts = [(logits[source][rows], truth) for name, (source, rows, truth) in self._parts().items() if name in SURE]
        return np.concatenate([scores for scores, _ in parts]), np.concatenate([truth for _, truth in parts])

    def threshold(self, probabilities: Floats, wanted: Mapping[str, float]) -> float:
        """Return the highest threshold, in hundredths, with which the parts have the recalls that are wanted."""
        found = []
        for name, (_, rows, truth) in self._parts().items():
            if name in wanted and truth.any():
                ranked = np.sort(probabilities[rows][truth])[::-1]
                found.append(ranked[int(np.ceil(wanted[name] * len(ranked))) - 1])
        return round(float(np.floor(float(min(found)) * 100)) / 100, 2)

    def _parts(self) -> dict[str, tuple[str, NDArray[np.intp], Truth]]:
        """Return the parts to measure on, each with its source of logits, its rows there, and their truth."""
        seen, child, data = self.labels.seen, self.labels.truth, self.data
        sure = (seen == "yes") | (seen == "no")
        folders = np.array([photo.path.parents[1].name for photo in data.photos])
        chosen = {
            # where nothing was kept out, the encoder saw all of home: cross-fitted figures, too optimistic
            HOME: data.home & (data.kept_out if (data.home & data.kept_out).any() else True),
            SEEN: sure & ~data.home & ~data.kept_out,
            f"{SEEN}, kept out": sure & ~data.home & data.kept_out,
        }
        chosen |= {f"{SEEN}, {name}": chosen[SEEN] & (folders == name) for name in sorted(set(folders[chosen[SEEN]]))}
        parts = {name: (LEARNED, np.flatnonzero(rows), child[rows]) for name, rows in chosen.items()}
        for each in self.measured:
            rows = np.flatnonzero((each.seen == "yes") | (each.seen == "no"))
            parts[each.name] = (each.name, rows, each.seen[rows] == "yes")
        return parts


def measure(probabilities: Floats, truth: Truth) -> Measured:
    """Return how well probabilities fit the truth, with a row for each threshold."""
    rows = []
    for threshold in THRESHOLDS:
        recall, precision = recall_and_precision(probabilities, truth, threshold)
        harmless = float(np.mean(probabilities[~truth] >= threshold))
        rows.append(ThresholdRow(threshold, round(recall, 4), round(precision, 4), round(harmless, 4)))
    return Measured(
        photos=len(truth),
        positives=int(truth.sum()),
        average_precision=round(float(average_precision_score(truth, probabilities)), 4),
        auc=round(float(roc_auc_score(truth, probabilities)), 4),
        brier=round(float(np.mean((probabilities - truth) ** 2)), 4),
        rows=tuple(rows),
    )
