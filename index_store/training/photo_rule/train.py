"""Train the rule for photos: labels from captions, embeddings from the shipped encoder, a study, the best model saved.

Needs the `train` extra (scikit-learn). A photo counts as showing a child where at least two of five captions speak of
one, as judged by the rule for texts. Everything is measured on photos that neither the model nor, where it held some
out, the encoder was fitted to: an encoder knows the captions of its own training photos, so those look too easy.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from index_store.compliance.photo_rule import (
    ARRAYS_FILE,
    CARD_FILE,
    PhotoModel,
    load_model,
    recall_and_precision,
    save_model,
)
from index_store.compliance.policy import load_policy
from index_store.compliance.texts import TextRule
from index_store.errors import DataError, MissingExtraError
from index_store.training.data.captions import held_out
from index_store.training.photo_rule.candidates import CANDIDATES, Labels
from index_store.training.photo_rule.data import JudgedPhotos, LearningData

try:
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import average_precision_score, roc_auc_score
    from sklearn.model_selection import StratifiedKFold
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]
except ImportError as error:
    raise MissingExtraError("training the photo rule needs scikit-learn; pip install 'imgsearch-cli[train]'") from error

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Truth = NDArray[np.bool_]

Progress = Callable[[int, int], None]
THRESHOLDS = tuple(percent / 100 for percent in (*range(5, 17), 18, 20, 25, 30, 40, 50, 70))


@dataclass(frozen=True, slots=True)
class PhotoRuleTraining:
    """Everything that decides how a photo rule comes out; saved in its card.

    `positive_share`: of a photo's captions, how many must speak of a child for it to count; two of five.
    """

    positive_share: float = 0.4
    folds: int = 5
    seed: int = 0
    candidates: tuple[str, ...] = tuple(CANDIDATES)


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


@dataclass(frozen=True, slots=True)
class PhotoRuleReport:
    """What training found: average precision of each candidate, the one kept, and its figures."""

    version: str
    encoder: str
    kept: str
    study: Mapping[str, float]
    validation: Measured
    trusted: str
    evaluation: Mapping[str, Measured] = field(default_factory=dict)


def train_photo_rule(
    data: LearningData,
    output: Path,
    judged: Mapping[str, JudgedPhotos] | None = None,
    config: PhotoRuleTraining | None = None,
    progress: Progress = lambda done, total: None,
    twin: LearningData | None = None,
) -> PhotoRuleReport:
    """Study the candidates, keep the best that can be shipped, calibrate and save it in `output`.

    `judged` photos are reported on, one set at a time and all together; nothing is chosen by them. `twin`: the same
    photos by an encoder that was trained likewise but held some out; study and calibration then take place on it.

    Raises:
        DataError: there are too few photos with, or without, children.
    """
    config, studied = config or PhotoRuleTraining(), twin or data
    shares = caption_shares([photo.captions for photo in data.photos])
    labels, trusted = Labels(shares, shares >= config.positive_share), _trusted(studied)
    truth = labels.truth[trusted]
    if min(int(truth.sum()), int((~truth).sum())) < config.folds:
        raise DataError(f"too few photos with and without children to train on: {truth.sum()} of {len(truth)} show one")
    with threadpool_limits(
        1
    ):  # small matrices: on a busy machine several threads wait for each other, ten times as long
        study, logits = _study(studied.embeddings, labels, trusted, config, progress)
    shippable = {name: layers for name in study if (layers := CANDIDATES[name].layers)}
    kept = max(shippable, key=study.__getitem__)
    slope, offset = _calibrate(logits[kept][trusted], truth)
    output.mkdir(parents=True, exist_ok=True)
    save_model(PhotoModel(shippable[kept](data.embeddings, labels, config.seed), slope, offset), output)
    report = PhotoRuleReport(
        version=f"minors-{zlib.crc32((output / ARRAYS_FILE).read_bytes()):08x}",
        encoder=data.encoder,
        kept=kept,
        study=study,
        validation=measure(_sigmoid(slope * logits[kept][trusted] + offset), truth),
        trusted=_described(studied, int(trusted.sum())),
        evaluation=_evaluate(load_model(output), judged or {}, config),
    )
    _save_card(report, config, len(labels.truth), int(labels.truth.sum()), output)
    return report


def caption_shares(captions: Sequence[Sequence[str]]) -> Floats:
    """Return for each photo the share of its captions that speak of a child by the shipped policy, shape (n,)."""
    rule = TextRule(load_policy())
    return np.array([np.mean([rule.check(text).withheld for text in texts]) for texts in captions], np.float32)


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


def _trusted(data: LearningData) -> Truth:
    """Tell which photos to measure on: those that the encoder never saw, or all where it saw all."""
    return np.array([not data.unseen_share or held_out(photo.image, data.unseen_share) for photo in data.photos])


def _described(studied: LearningData, photos: int) -> str:
    seen = "unseen by" if studied.unseen_share else "all of them seen, so too optimistic, by"
    return f"{photos} photos, out of fold, {seen} the encoder {studied.encoder}"


def _evaluate(model: PhotoModel, judged: Mapping[str, JudgedPhotos], config: PhotoRuleTraining) -> dict[str, Measured]:
    parts = {
        name: (model.probabilities(each.embeddings), caption_shares(each.texts) >= config.positive_share)
        for name, each in judged.items()
    }
    if len(parts) > 1:
        probabilities, truths = zip(*parts.values(), strict=True)
        parts[" + ".join(judged)] = (np.concatenate(probabilities), np.concatenate(truths))
    return {name: measure(probabilities, truth) for name, (probabilities, truth) in parts.items()}


def _study(
    embeddings: Floats, labels: Labels, trusted: Truth, config: PhotoRuleTraining, progress: Progress
) -> tuple[dict[str, float], dict[str, Floats]]:
    """Return average precision and out-of-fold logits of each candidate."""
    splitter = StratifiedKFold(config.folds, shuffle=True, random_state=config.seed)
    folds = list(splitter.split(embeddings, labels.truth))
    study: dict[str, float] = {}
    logits: dict[str, Floats] = {}
    for name in config.candidates:
        scores = np.zeros(len(labels.truth), np.float32)
        for fit, judge in folds:
            progress(len(study) * len(folds), len(config.candidates) * len(folds))
            scores[judge] = CANDIDATES[name].scores(embeddings[fit], labels[fit], embeddings[judge], config.seed)
        logits[name] = scores
        study[name] = round(float(average_precision_score(labels.truth[trusted], scores[trusted])), 4)
    return study, logits


def _calibrate(logits: Floats, truth: Truth) -> tuple[float, float]:
    """Return slope and offset of Platt's sigmoid; two numbers, so out-of-fold logits serve without another split."""
    fitted = LogisticRegression(C=1e6).fit(logits[:, None], truth)
    return float(fitted.coef_[0, 0]), float(fitted.intercept_[0])


def _sigmoid(logits: Floats) -> Floats:
    values: Floats = (1 / (1 + np.exp(-logits))).astype(np.float32)
    return values


def _save_card(report: PhotoRuleReport, config: PhotoRuleTraining, photos: int, positives: int, output: Path) -> None:
    card = {
        "version": report.version,
        "encoder": report.encoder,
        "kept": report.kept,
        "training": asdict(config),
        "data": {"photos": photos, "with_a_child": positives},
        "study_average_precision": dict(report.study),
        "validated_on": report.trusted,
        "validation": asdict(report.validation),
        "evaluation": {name: asdict(measured) for name, measured in report.evaluation.items()},
        "licence": "Apache-2.0; trained on Flickr8k captions (research and education)",
    }
    (output / CARD_FILE).write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
