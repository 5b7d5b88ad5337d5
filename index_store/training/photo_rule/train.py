"""Train the rule for photos: labels from captions and by eye, embeddings from an encoder, a study, one model saved.

Needs the `train` extra (scikit-learn). Every figure is of photos that the model was not fitted to: a part that is kept
out altogether, photos that somebody looked at, each judged by a model that did not see it, and sets that only measure.
An encoder knows the captions of its own training photos, so at home the part that it did not see counts alone.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from index_store.compliance.photo_rule import (
    ARRAYS_FILE,
    CARD_FILE,
    PhotoModel,
    load_model,
    save_model,
)
from index_store.errors import DataError, MissingExtraError
from index_store.training.photo_rule.candidates import CANDIDATES, WORTH
from index_store.training.photo_rule.data import JudgedPhotos, LearningData
from index_store.training.photo_rule.labels import Labels, Trust, caption_shares
from index_store.training.photo_rule.trials import (
    HOME,
    LEARNED,
    SEEN,
    SURE,
    Measured,
    MeasuredSet,
    Progress,
    Trials,
    learned_from,
    measure,
)

try:
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]
except ImportError as error:
    raise MissingExtraError("training the photo rule needs scikit-learn; pip install 'imgsearch-cli[train]'") from error

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Truth = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class PhotoRuleTraining:
    """Everything that decides how a photo rule comes out; saved in its card.

    `positive_share`: of a photo's captions, how many must speak of a child for it to count; two of five. The advised
    threshold is the highest with which `home_recall` and `seen_recall` of the photos that show a child are withheld.
    """

    positive_share: float = 0.4
    trust: Trust = field(default_factory=Trust)
    home_recall: float = 0.9
    seen_recall: float = 0.85
    folds: int = 5
    seed: int = 0
    candidates: tuple[str, ...] = tuple(CANDIDATES)


@dataclass(frozen=True, slots=True)
class PhotoRuleReport:
    """What training found: average precision of each candidate on each set, the one kept, its threshold and figures."""

    version: str
    encoder: str
    kept: str
    study: Mapping[str, Mapping[str, float]]
    threshold: float
    evaluation: Mapping[str, Measured]


def train_photo_rule(
    data: LearningData,
    labels: Labels,
    output: Path,
    measured: Sequence[MeasuredSet] = (),
    judged: Mapping[str, JudgedPhotos] | None = None,
    config: PhotoRuleTraining | None = None,
    progress: Progress = lambda done, total: None,
) -> PhotoRuleReport:
    """Study the candidates, keep the simplest that is as good as any, calibrate and save it in `output`.

    `measured` and `judged` photos are reported on; nothing is chosen by them.

    Raises:
        DataError: there are too few photos with, or without, children.
    """
    config = config or PhotoRuleTraining()
    child, learned = labels.truth, ~data.kept_out
    if min(int(child[learned].sum()), int((~child[learned]).sum())) < config.folds:
        raise DataError(f"too few photos with and without children to train on: {child.sum()} of {len(child)} show one")
    counted = data.weights
    labels = replace(labels, child_weight=labels.child_weight * counted, person_weight=labels.person_weight * counted)
    trials = Trials(data, labels, measured, config.candidates, config.folds, config.seed)
    with threadpool_limits(1):  # small matrices: on a busy machine several threads wait for each other
        logits = {name: trials.logits(name, progress) for name in config.candidates}
        study = {name: trials.average_precisions(found) for name, found in logits.items()}
        kept = simplest(study)
        model = CANDIDATES[kept].model(*learned_from(data, labels, np.flatnonzero(learned)), config.seed)
    slope, offset = _calibrate(*trials.trusted(logits[kept]))
    output.mkdir(parents=True, exist_ok=True)
    save_model(replace(model, slope=slope, offset=offset), output)
    figures = trials.figures({name: _sigmoid(slope * each + offset) for name, each in logits[kept].items()})
    report = PhotoRuleReport(
        version=f"minors-{zlib.crc32((output / ARRAYS_FILE).read_bytes()):08x}",
        encoder=data.encoder,
        kept=kept,
        study=study,
        threshold=trials.threshold(
            _sigmoid(slope * logits[kept][LEARNED] + offset), {HOME: config.home_recall, SEEN: config.seen_recall}
        ),
        evaluation=figures | _evaluate(load_model(output), judged or {}, config),
    )
    _save_card(report, config, data, labels, output)
    return report


def simplest(study: Mapping[str, Mapping[str, float]]) -> str:
    """Return the first candidate whose mean over home and looked at is not worse than the best by `WORTH`."""
    means = {name: np.mean([value for part, value in found.items() if part in SURE]) for name, found in study.items()}
    return next(name for name, mean in means.items() if mean >= max(means.values()) - WORTH)


def _evaluate(model: PhotoModel, judged: Mapping[str, JudgedPhotos], config: PhotoRuleTraining) -> dict[str, Measured]:
    parts = {
        name: (model.probabilities(each.embeddings), caption_shares(each.texts) >= config.positive_share)
        for name, each in judged.items()
    }
    if len(parts) > 1:
        probabilities, truths = zip(*parts.values(), strict=True)
        parts[" + ".join(judged)] = (np.concatenate(probabilities), np.concatenate(truths))
    return {name: measure(probabilities, truth) for name, (probabilities, truth) in parts.items()}


def _calibrate(logits: Floats, truth: Truth) -> tuple[float, float]:
    """Return slope and offset of Platt's sigmoid; two numbers, so out-of-fold logits serve without another split."""
    fitted = LogisticRegression(C=1e6).fit(logits[:, None], truth)
    return float(fitted.coef_[0, 0]), float(fitted.intercept_[0])


def _sigmoid(logits: Floats) -> Floats:
    values: Floats = (1 / (1 + np.exp(-logits))).astype(np.float32)
    return values


def _save_card(
    report: PhotoRuleReport, config: PhotoRuleTraining, data: LearningData, labels: Labels, output: Path
) -> None:
    learned = ~data.kept_out
    card = {
        "version": report.version,
        "encoder": report.encoder,
        "kept": report.kept,
        "training": asdict(config),
        "data": {
            "photos": int(learned.sum()),
            "with_a_child": int(labels.truth[learned].sum()),
            "looked_at": int((labels.seen[learned] != "").sum()),
            "kept_out": int(data.kept_out.sum()),
            "copies": 0 if data.copies is None else len(data.copies.of),
        },
        "study_average_precision": {name: dict(found) for name, found in report.study.items()},
        "advised_threshold": report.threshold,
        "evaluation": {name: asdict(measured) for name, measured in report.evaluation.items()},
        "licence": "Apache-2.0; trained on captions and photos for research, named in MODEL_CARD.md",
    }
    (output / CARD_FILE).write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
