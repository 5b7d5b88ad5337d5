"""Write down in a reranker's card what is needed to repeat its training, and what that found."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from index_store.training.data.captions import DataFolder
    from index_store.training.reranker.models import ModelSpec
    from index_store.training.reranker.train import TrainingOptions, TrainingReport, TrainingSet


def card_of(spec: ModelSpec, ready: TrainingSet, report: TrainingReport) -> dict[str, Any]:
    """Return everything that is needed to repeat the run, and what it found."""
    options = report.options
    return {
        "model": options.model,
        "regressor": spec.regressor,
        "options": {name: _plain(value) for name, value in asdict(options).items()},
        "matching": asdict(ready.material.options),
        "data": {
            "folder": ready.judgements.folder.name,
            "pairs": len(ready.material.pairs),
            "photos": len(set(ready.material.pairs.images)),
            "crowd_pairs": 0 if ready.material.crowd is None else len(ready.material.crowd),
            "policy": None if report.filter_report is None else asdict(report.filter_report),
        },
        "trained_on": sorted({photo_print(image) for image in ready.material.pairs.images}),
        "validation": {
            "what": "a twin of this model, fitted without the held-out photos, on these photos",
            "split": f"GroupShuffleSplit by photo, seed {options.split_seed}, {options.valid_fraction:.0%} held out",
            "pairs": report.valid_pairs,
            "photos": report.valid_photos,
            "metrics": _rounded(report.metrics),
            "constant": _rounded(report.constant),
            "rmse_ratio": round(report.rmse_ratio, 4),
            "absent_queries_answered": report.absent_answered,
            "real_queries_answered": report.real_answered,
        },
        "command": _command(ready, options),
    }


def short_card(facts: Mapping[str, object], measured: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    """Return what the card says about the model for short queries: what it was fitted on, and its figures."""
    what = "scored by twins that were not fitted on these photos, or photos of a folder that nothing was fitted on"
    return {**facts, "what": what, "validation": {name: _rounded(values) for name, values in measured.items()}}


def photo_print(image: str) -> str:
    """Return the short hash by which a card names a photo that was trained on, so that `evaluate` knows it again."""
    return hashlib.sha256(image.encode("utf-8", "surrogateescape")).hexdigest()[:8]


def _command(ready: TrainingSet, options: TrainingOptions) -> str:
    parts = ["imgsearch train reranker", ready.judgements.folder.name, "--output DIR", f"--model {options.model}"]
    parts += [f"--target {options.target}", f"--expert-weight {options.expert_weight:g}"]
    parts += [f"--short {_short_name(data)}" for data in options.short]
    parts += [f"--measure {folder.name}" for folder in options.measured]
    parts += [f"--split-seed {options.split_seed}", f"--valid-fraction {options.valid_fraction:g}"]
    return " ".join(parts + ([] if options.withhold else ["--no-policy"]))


def _rounded(values: Mapping[str, float]) -> dict[str, float]:
    return {name: round(float(value), 4) for name, value in values.items()}


def _short_name(data: DataFolder) -> str:
    share = "" if data.held_out is None else f":{data.held_out:g}"
    return f"{data.folder.name}:{data.weight:g}{share}"


def _plain(value: Any) -> Any:
    """Return a value of the options as JSON can hold it; of a folder only the name, as elsewhere in the card."""
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if isinstance(value, dict):
        return {name: each.name if name == "folder" else _plain(each) for name, each in value.items()}
    return value
