"""Evaluate a reranker on the short queries that the captions of a folder of photos make."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from index_store.reranker.cosine import CosineScorer
from index_store.training.data.vectors import VectorCache
from index_store.training.evaluate.evaluation import EvaluationReport, MetricRow, open_reranker
from index_store.training.reranker.short_data import ShortSources
from index_store.training.reranker.short_training import measure_folder

if TYPE_CHECKING:
    from index_store.training.evaluate.evaluation import Progress


def evaluate_captions(
    folder: Path,
    model: Path | None,
    encoder: str | None,
    cache: VectorCache | None = None,
    progress: Progress | None = None,
    policy_file: Path | None = None,
    *,
    withhold: bool = True,
) -> EvaluationReport:
    """Measure a reranker, and the bare cosine, on the short queries that the captions of a folder make.

    With `withhold`, photos and queries that the policy withholds by their words take no part.
    """
    reranker = open_reranker(model, encoder)
    report = EvaluationReport(reranker.version, reranker.encoder)
    sources = ShortSources((), encoder, policy_file, withhold)
    for stage, scorer in (("retrieval", CosineScorer()), ("reranked", reranker)):
        found = measure_folder(folder, scorer, sources, cache or VectorCache(), progress)
        measured = found.measured(scorer.min_score)
        kept = measured if stage == "reranked" else {"short_mAP": measured["short_mAP"]}
        queries, photos = found.scores.shape
        report.rows.extend(MetricRow("captions", stage, name, value, queries, photos) for name, value in kept.items())
    return report
