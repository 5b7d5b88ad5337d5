"""Evaluate a reranker: on judged pairs against people, and on queries against the photo each text was written for.

Ranking goes through `search.rank`, the same that a query goes through, with the policy off; how many queries and photos
the policy would have withheld is counted next to it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from index_store.compliance.policy import load_policy
from index_store.encoders.encoder_models import RERANKER, find_model, training_advice
from index_store.encoders.registry import encoder_card
from index_store.errors import DataError, PolicyError, UsageError, WeightsError
from index_store.queries.ask import DEFAULT_POOL, rank
from index_store.records import Candidate
from index_store.reranker.reranking import Reranker, load_reranker, read_reranker
from index_store.training.data.captions import CAPTIONS_FILE
from index_store.training.data.judgements import Judgements, TestQuery, photo_of, read_judgements, require_queries
from index_store.training.data.metrics import RankingMetrics, mean_ranking, measure_ranking
from index_store.training.data.pairs import Vectors, make_pairs
from index_store.training.data.targets import make_examples
from index_store.training.data.vectors import VectorCache, encoder_vectors
from index_store.training.data.withholding import withheld_photos, withheld_texts
from index_store.training.evaluate.measuring import keyed, measure_agreement, measure_pairs
from index_store.training.reranker.card import photo_print
from index_store.training.reranker.min_score import GALLERY_SIZE, best_scores, good_answers

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Progress = Callable[[int, int], None]

SUBSETS = ("train", "test")


@dataclass(frozen=True, slots=True)
class MetricRow:
    """One figure: `n` pairs or queries were measured, `gallery` photos were ranked where that means something."""

    subset: str
    stage: str
    metric: str
    value: float
    n: int
    gallery: int | None = None

    def as_json(self) -> dict[str, object]:
        """Return the row as it is written, without a gallery where there is none."""
        row: dict[str, object] = {name: getattr(self, name) for name in ("subset", "stage", "metric", "value", "n")}
        return row if self.gallery is None else {**row, "gallery": self.gallery}


@dataclass(frozen=True, slots=True)
class QueryRow:
    """How one query fared: the rank of its photo before and after reranking, and that photo's score."""

    subset: str
    query_id: str
    query: str
    image: str
    rank_retrieval: int
    rank_reranked: int
    score: float
    gallery: int


@dataclass(frozen=True, slots=True)
class RankedPhoto:
    """One line of a run: a photo at a rank, from 1, for a query."""

    subset: str
    query_id: str
    image: str
    rank: int
    score: float


@dataclass(frozen=True, slots=True)
class EvaluationReport:
    """All figures, how each query fared, the run, and what should be known about them."""

    reranker: str
    encoder: str
    rows: list[MetricRow] = field(default_factory=list)
    queries: list[QueryRow] = field(default_factory=list)
    run: list[RankedPhoto] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def value(self, subset: str, stage: str, metric: str) -> float:
        """Return one figure; raise `KeyError` where it was not measured."""
        for row in self.rows:
            if (row.subset, row.stage, row.metric) == (subset, stage, metric):
                return row.value
        raise KeyError((subset, stage, metric))


@dataclass(frozen=True, slots=True)
class RankingTask:
    """Queries with their embeddings, and the gallery that each is asked of."""

    subset: str
    queries: Sequence[TestQuery]
    query_rows: NDArray[np.float32]
    gallery: Vectors


def evaluate(
    folder: Path,
    model: Path | None = None,
    subset: str | None = None,
    encoder: str | None = None,
    cache: VectorCache | None = None,
    progress: Progress | None = None,
    policy_file: Path | None = None,
    *,
    withhold: bool = True,
) -> EvaluationReport:
    """Measure the reranker in `model`, by default the shipped one, on the data in `folder`: judged, or with captions.

    All photos and queries are measured. `withhold` leaves those out of `queries` and `run` that the policy withholds.

    Raises:
        DataError: the folder does not hold what `subset` asks for; without a subset, it holds nothing at all.
        WeightsError: the reranker belongs to another encoder.
        PolicyError: the policy is broken, or it is mandatory and was to be switched off.
    """
    if not withhold and load_policy(policy_file).mandatory:
        raise PolicyError("the policy is mandatory and cannot be switched off; leave out --no-policy")
    if subset is not None and subset not in SUBSETS:
        raise UsageError(f"no subset is called {subset!r}; there are {', '.join(SUBSETS)}")
    if (folder / CAPTIONS_FILE).is_file() and subset is None:
        from index_store.training.evaluate.captioned import evaluate_captions  # which imports this module

        return evaluate_captions(folder, model, encoder, cache, progress, policy_file, withhold=withhold)
    judgements = read_judgements(folder)
    reranker = open_reranker(model, encoder)
    report = EvaluationReport(reranker.version, reranker.encoder)
    report.notes.extend(str(problem) for problem in judgements.problems)
    evaluation = _Evaluation(
        judgements, reranker, encoder, report, cache or VectorCache(), progress, policy_file, withhold
    )
    if subset != "test" and _has_pairs(judgements, required=subset == "train"):
        evaluation.of_train()
    if subset == "test":
        require_queries(judgements)
    if subset != "train" and judgements.queries:
        evaluation.of_test()
    return report


def open_reranker(model: Path | None, encoder: str | None) -> Reranker:
    """Return the reranker in `model`, by default the encoder's own, once it is known to belong to the encoder."""
    card = encoder_card(encoder)
    name = card.name
    if model is None:
        folder = find_model(RERANKER, name, encoder)
        if folder is None:
            advice = training_advice(RERANKER, card, encoder or name)
            raise WeightsError(
                f"no reranker belongs to the encoder {name}: train one with `{advice}`, or name a --model"
            )
        return load_reranker(card.towers, folder)
    reranker = read_reranker(model)
    if reranker.encoder != card.towers:
        raise WeightsError(
            f"{model}: was trained on the encoder {reranker.encoder}, not on {card.towers}; name it by --encoder"
        )
    return reranker


def rank_gallery(
    query_row: NDArray[np.float32], gallery: Vectors, reranker: Reranker, pool: int = DEFAULT_POOL
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Return the gallery's places as retrieved, as reranked, and the scores of the reranked; the only way to rank here.

    Retrieval is exact: all photos by falling cosine. The first `pool` are reranked, the others stay behind them.
    """
    similarities = gallery.rows @ query_row
    retrieved = np.lexsort((np.asarray(gallery.names), -similarities))
    candidates = [
        Candidate(gallery.names[place], float(similarities[place]), gallery.rows[place]) for place in retrieved[:pool]
    ]
    place_of = {candidate.key: place for candidate, place in zip(candidates, retrieved, strict=False)}
    ranked = rank(query_row, candidates, reranker)
    first = np.array([place_of[candidate.key] for _, candidate in ranked], dtype=np.int64)
    scores = np.array([score for score, _ in ranked])
    return retrieved, np.concatenate([first, retrieved[pool:]]), scores


def measure_task(task: RankingTask, reranker: Reranker, report: EvaluationReport) -> None:
    """Rank every query of a task and add metrics, ranks and the run to the report."""
    place_of = {name: place for place, name in enumerate(task.gallery.names)}
    before: list[RankingMetrics] = []
    after: list[RankingMetrics] = []
    for query, row in zip(task.queries, task.query_rows, strict=True):
        gains = {place_of[query.image]: 1.0}
        retrieved, reranked, scores = rank_gallery(row, task.gallery, reranker)
        before.append(measure_ranking(retrieved, gains))
        after.append(measure_ranking(reranked, gains))
        report.queries.append(_query_row(task, query, place_of[query.image], retrieved, reranked, scores))
        report.run.extend(
            RankedPhoto(task.subset, query.query_id, task.gallery.names[place], position, float(score))
            for position, (place, score) in enumerate(zip(reranked, scores, strict=False), start=1)
        )
    size = len(task.gallery.names)
    for stage, measured in (("retrieval", before), ("reranked", after)):
        for metric, value in mean_ranking(measured).named().items():
            report.rows.append(MetricRow(task.subset, stage, metric, value, len(measured), size))


def write_run(path: Path, run: Sequence[RankedPhoto], tag: str) -> None:
    """Write a run in TREC format: query_id Q0 photo rank score tag; blanks inside a name become %20."""
    lines = (
        f"{_field(line.query_id)} Q0 {_field(line.image)} {line.rank} {line.score:.6f} {_field(tag)}\n" for line in run
    )
    try:
        path.write_text("".join(lines), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path}: the run cannot be written: {error.strerror}") from error


def _field(text: str) -> str:
    return text.replace("%", "%25").replace(" ", "%20").replace("\t", "%09")


def _query_row(
    task: RankingTask,
    query: TestQuery,
    place: int,
    retrieved: NDArray[np.int64],
    reranked: NDArray[np.int64],
    scores: NDArray[np.float64],
) -> QueryRow:
    rank_after = int(np.flatnonzero(reranked == place)[0]) + 1
    return QueryRow(
        task.subset,
        query.query_id,
        query.text,
        query.image,
        rank_retrieval=int(np.flatnonzero(retrieved == place)[0]) + 1,
        rank_reranked=rank_after,
        score=float(scores[rank_after - 1]) if rank_after <= len(scores) else 0.0,
        gallery=len(task.gallery.names),
    )


def _measure_min_score(
    judgements: Judgements, reranker: Reranker, texts: Vectors, gallery: Vectors, report: EvaluationReport
) -> None:
    """Add the shares of real and of absent queries that the default least score answers (see `absent.py`)."""
    rows = dict(zip(texts.names, texts.rows, strict=True))
    owned = {query.query_id: rows[query.query_id] for query in judgements.queries if own_photo(query) in gallery.names}
    if not owned:
        return
    good = good_answers(judgements, rows, gallery.names)
    best = best_scores(reranker.score, owned, gallery.names, gallery.rows, good)
    absent, real = best.answered(reranker.min_score)
    for metric, value in (("answered_real", real), ("answered_absent", absent)):
        report.rows.append(
            MetricRow("test", "reranked", metric, value, len(owned), min(len(gallery.names), GALLERY_SIZE))
        )


def own_photo(query: TestQuery) -> str | None:
    """Return the photo of a query where its query_id names it, so that its other texts can be found."""
    return query.image if photo_of(query.query_id) == query.image else None


def _has_pairs(judgements: Judgements, required: bool) -> bool:
    if judgements.expert or judgements.crowd:
        return True
    if required:
        raise DataError(f"{judgements.folder}: no judged pair can be used; --subset test needs none")
    return False


@dataclass(frozen=True, slots=True)
class _Evaluation:
    """What is measured, with what, and the report that it goes to."""

    judgements: Judgements
    reranker: Reranker
    encoder: str | None
    report: EvaluationReport
    cache: VectorCache
    progress: Progress | None
    policy_file: Path | None
    withhold: bool

    def of_train(self) -> None:
        """Measure agreement with the judged pairs, and retrieval by each photo's own text."""
        judged = self.judgements
        photos = [(image, judged.train_photo(image)) for image in judged.photos]
        texts, gallery = encoder_vectors(self.encoder, sorted(judged.texts.items()), photos, self.cache, self.progress)
        measure_judgements(judged, self.reranker, texts, gallery, self.report)
        present = set(gallery.names)
        own = [TestQuery(name, judged.texts[name], photo_of(name)) for name in texts.names if photo_of(name) in present]
        if own:
            rows = texts.rows[texts.places([query.query_id for query in own])]
            measure_task(RankingTask("train", own, rows, gallery), self.reranker, self.report)
        self._count_withheld("train", judged.texts, photos)

    def of_test(self) -> None:
        """Measure retrieval by the test queries, and what the least score does to answers."""
        judged = self.judgements
        photos = [(image, judged.test_photo(image)) for image in judged.gallery]
        named = [(query.query_id, query.text) for query in judged.queries]
        texts, gallery = encoder_vectors(self.encoder, named, photos, self.cache, self.progress)
        measure_task(RankingTask("test", judged.queries, texts.rows, gallery), self.reranker, self.report)
        _measure_min_score(judged, self.reranker, texts, gallery, self.report)
        self._count_withheld("test", dict(named), photos)

    def _count_withheld(self, subset: str, texts: Mapping[str, str], photos: Sequence[tuple[str, Path]]) -> None:
        """Add how many queries and photos the policy withholds, and do not name them."""
        queries = withheld_texts(texts, self.policy_file) & texts.keys()
        self.report.rows.append(MetricRow(subset, "policy", "withheld_queries", float(len(queries)), len(texts)))
        hidden = withheld_photos(photos, self.encoder, self.cache, self.policy_file)
        self.report.rows.append(MetricRow(subset, "policy", "withheld_photos", float(len(hidden)), len(photos)))
        if self.withhold:
            _leave_unnamed(self.report, subset, queries, hidden)


def _leave_unnamed(report: EvaluationReport, subset: str, queries: Collection[str], photos: Collection[str]) -> None:
    """Take withheld queries and photos out of what names them; a query's own id names the photo it was written for."""

    def names(row: QueryRow | RankedPhoto) -> bool:
        hidden = row.query_id in queries or row.image in photos or photo_of(row.query_id) in photos
        return row.subset == subset and hidden

    report.queries[:] = [row for row in report.queries if not names(row)]
    report.run[:] = [line for line in report.run if not names(line)]


def measure_judgements(
    judgements: Judgements, reranker: Reranker, texts: Vectors, photos: Vectors, report: EvaluationReport
) -> None:
    """Add the figures on judged pairs: the reranker's, the constant's, and the cosine's agreement with people."""
    target = "mean" if judgements.expert else "crowd"
    if target == "crowd":
        report.notes.append("no expert judged: errors are measured against the crowd's shares")
    if not judgements.crowd:
        report.notes.append("no crowd judged: tau_b_crowd is left out")
    pairs = make_pairs(make_examples(judgements, target), texts, photos)
    scores = reranker.score_pairs(pairs.text_rows, pairs.photo_rows).astype(np.float64)
    constant = np.full(len(pairs), pairs.relevance.mean())
    everything = _all_scores(judgements, texts, photos)
    agreement = {
        "reranker": measure_agreement(everything(reranker.score_pairs), judgements),
        "retrieval": measure_agreement(everything(_cosines), judgements),
    }
    others = sum(not pair.own for pair in judgements.expert)
    counts = {"tau_b_crowd": len(judgements.crowd), "tau_c_expert_others": others}
    rows = {
        "reranker": measure_pairs(scores, pairs.relevance) | agreement["reranker"],
        "constant": measure_pairs(constant, pairs.relevance),
        "retrieval": agreement["retrieval"],
    }
    for stage, values in rows.items():
        for metric, value in values.items():
            report.rows.append(MetricRow("train", stage, metric, value, counts.get(metric, len(pairs))))
    seen = frozenset(reranker.card.get("trained_on", ()))
    known = sum(photo_print(image) in seen for image in photos.names)
    if known:
        held_out = reranker.card.get("validation", {}).get("rmse_ratio")
        report.notes.append(
            f"{known:,} of these {len(photos.names):,} photos were trained on, so the figures on judgements flatter; "
            f"on held-out photos RMSE / constant is {held_out} (see the model's card)"
        )


def _all_scores(
    judgements: Judgements, texts: Vectors, photos: Vectors
) -> Callable[
    [Callable[[NDArray[np.float32], NDArray[np.float32]], NDArray[np.float32]]], Mapping[tuple[str, str], float]
]:
    """Return a function that scores all judged pairs, experts' and crowd's, by a scorer of rows."""
    judged = {(pair.image, pair.query_id) for pair in judgements.expert}
    named = sorted(judged | {(pair.image, pair.query_id) for pair in judgements.crowd})
    images, query_ids = [image for image, _ in named], [query_id for _, query_id in named]
    text_places, photo_places = texts.places(query_ids), photos.places(images)

    def scored(
        scorer: Callable[[NDArray[np.float32], NDArray[np.float32]], NDArray[np.float32]],
    ) -> Mapping[tuple[str, str], float]:
        scores = scorer(texts.rows[text_places], photos.rows[photo_places])
        return keyed(images, query_ids, scores.astype(np.float64))

    return scored


def _cosines(texts: NDArray[np.float32], photos: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(np.einsum("ij,ij->i", texts, photos))
