"""Describe a data set of judgements: what it holds, what is irregular, how people agree, what the policy removes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from index_store.errors import EncoderError, WeightsError
from index_store.training.data.judgements import TEST_PHOTOS, TRAIN_PHOTOS, Judgements, read_judgements
from index_store.training.data.metrics import tau_b
from index_store.training.data.targets import (
    crowd_relevance,
    expert_relevance,
    make_examples,
    mean_relevance,
)
from index_store.training.data.vectors import VectorCache
from index_store.training.data.withholding import leave_out, withheld_photos, withheld_texts


@dataclass(frozen=True, slots=True)
class Exploration:
    """What was found; `counts` and `agreement` by name, histograms as (value, count) in order."""

    folder: str
    counts: Mapping[str, int]
    agreement: Mapping[str, float]
    histograms: Mapping[str, Sequence[tuple[str, int]]]
    expert_by_crowd: Sequence[tuple[str, float, int]]
    policy: Mapping[str, int]
    notes: list[str] = field(default_factory=list)

    def facts(self) -> list[tuple[str, object]]:
        """Return names and values as they are shown."""
        figures = {name: f"{value:.3f}" for name, value in self.agreement.items()}
        counted = {name: f"{value:,}" for name, value in {**self.counts, **self.policy}.items()}
        return list({**counted, **figures}.items())

    def as_json(self) -> dict[str, object]:
        """Return everything as plain values."""
        return {
            "folder": self.folder,
            "counts": dict(self.counts),
            "agreement": dict(self.agreement),
            "histograms": {name: [list(row) for row in rows] for name, rows in self.histograms.items()},
            "expert_by_crowd": [list(row) for row in self.expert_by_crowd],
            "policy": dict(self.policy),
            "notes": self.notes,
        }


def explore_judgements(
    folder: Path, encoder: str | None = None, policy_file: Path | None = None, cache: VectorCache | None = None
) -> Exploration:
    """Describe the data in `folder`; irregular lines become notes, nothing is changed."""
    judgements = read_judgements(folder)
    notes = [str(problem) for problem in judgements.problems]
    policy = _what_the_policy_removes(judgements, encoder, policy_file, cache or VectorCache(), notes)
    return Exploration(
        folder.name,
        _counts(judgements),
        _agreement(judgements),
        _histograms(judgements),
        _expert_by_crowd(judgements),
        policy,
        notes,
    )


def _counts(judgements: Judgements) -> dict[str, int]:
    expert = {(pair.image, pair.query_id) for pair in judgements.expert}
    crowd = {(pair.image, pair.query_id) for pair in judgements.crowd}
    judged = set(judgements.photos)
    return {
        "texts": len(judgements.texts),
        "texts that are there twice": len(judgements.texts) - len(set(judgements.texts.values())),
        "judged photos": len(judged),
        "photos without a judgement": len(_photos_in(judgements.folder / TRAIN_PHOTOS) - judged),
        "expert pairs": len(expert),
        "crowd pairs": len(crowd),
        "pairs that both judged": len(expert & crowd),
        "pairs in all": len(expert | crowd),
        "photos with their own text, experts": sum(pair.own for pair in judgements.expert),
        "test queries": len(judgements.queries),
        "test queries with a text that is there twice": len(judgements.queries)
        - len({query.text for query in judgements.queries}),
        "test photos": len(judgements.gallery),
        "test photos without a query": len(
            _photos_in(judgements.folder / TEST_PHOTOS) - {query.image for query in judgements.queries}
        ),
        "irregularities (kinds)": len(judgements.problems),
    }


def _photos_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} if folder.is_dir() else set()


def _agreement(judgements: Judgements) -> dict[str, float]:
    """Return how far the experts agree with each other and with the crowd, and the shape of the target."""
    found: dict[str, float] = {}
    if judgements.expert:
        kinds = Counter(len(set(pair.scores)) for pair in judgements.expert)
        total = len(judgements.expert)
        found["expert pairs that are unanimous, share"] = kinds[1] / total
        found["expert pairs with three different scores, share"] = kinds[3] / total
        relevance = np.array([mean_relevance(pair.scores) for pair in judgements.expert])
        found["experts' mean relevance"] = float(relevance.mean())
        found["its spread: the constant predictor's RMSE"] = float(relevance.std())
        found["its skewness"] = float(((relevance - relevance.mean()) ** 3).mean() / max(relevance.std(), 1e-9) ** 3)
        table = np.array([pair.scores for pair in judgements.expert if len(pair.scores) == 3], dtype=np.float64)
        if len(table) > 1:
            pairs = ((0, 1), (0, 2), (1, 2))
            found["tau-b of two experts, mean"] = float(np.mean([tau_b(table[:, a], table[:, b]) for a, b in pairs]))
    expert, crowd = expert_relevance(judgements, mean_relevance), crowd_relevance(judgements)
    both = sorted(expert.keys() & crowd.keys())
    if len(both) > 1:
        rows = np.array([(expert[pair], crowd[pair]) for pair in both])
        found["tau-b of experts and crowd"] = tau_b(rows[:, 0], rows[:, 1])
    if crowd:
        found["crowd pairs with no yes at all, share"] = sum(share == 0 for share in crowd.values()) / len(crowd)
    return {name: value for name, value in found.items() if np.isfinite(value)}


def _histograms(judgements: Judgements) -> dict[str, list[tuple[str, int]]]:
    scores = Counter(score for pair in judgements.expert for score in pair.scores)
    means = Counter(round(mean_relevance(pair.scores), 2) for pair in judgements.expert)
    shares = Counter(round(pair.share, 2) for pair in judgements.crowd)
    per_photo = Counter(Counter(pair.image for pair in judgements.expert).values())
    return {
        "single expert scores": [(str(key), scores[key]) for key in sorted(scores)],
        "experts' mean relevance": [(f"{key:.2f}", means[key]) for key in sorted(means)],
        "crowd's share of yes": [(f"{key:.2f}", shares[key]) for key in sorted(shares)],
        "expert pairs for each photo": [(str(key), per_photo[key]) for key in sorted(per_photo)],
    }


def _expert_by_crowd(judgements: Judgements) -> list[tuple[str, float, int]]:
    """Return, for each third of the crowd's share, the experts' mean relevance and the number of pairs."""
    expert, crowd = expert_relevance(judgements, mean_relevance), crowd_relevance(judgements)
    groups: dict[str, list[float]] = {}
    for pair in sorted(expert.keys() & crowd.keys()):
        groups.setdefault(f"{round(crowd[pair] * 3) / 3:.2f}", []).append(expert[pair])
    return [(share, float(np.mean(values)), len(values)) for share, values in sorted(groups.items())]


def _what_the_policy_removes(
    judgements: Judgements, encoder: str | None, policy_file: Path | None, cache: VectorCache, notes: list[str]
) -> dict[str, int]:
    """Return how many texts, photos and pairs the policy leaves; without a rule for photos, by texts alone."""
    if not judgements.expert and not judgements.crowd:
        return {}
    texts = withheld_texts(judgements.texts, policy_file)
    photos: frozenset[str] = frozenset()
    try:
        paths = [(image, judgements.train_photo(image)) for image in judgements.photos]
        photos = withheld_photos(paths, encoder, cache, policy_file)
    except (WeightsError, EncoderError) as error:
        notes.append(f"photos were not judged by the policy, texts alone were: {error}")
    examples = make_examples(judgements, "mean" if judgements.expert else "crowd")
    report = leave_out(examples, texts, photos)[1]
    return {
        "texts that the policy withholds": len(texts),
        "photos that the policy withholds": report.withheld_photos,
        "photos that it leaves": report.photos_after,
        "pairs that it leaves": report.pairs_after,
    }
