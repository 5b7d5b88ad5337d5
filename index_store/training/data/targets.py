"""Turn the judgements of experts and crowd into one relevance from 0 to 1 for each pair of photo and text.

Experts' scores 1..4 become (score - 1) / 3; the crowd's share of yes is a relevance as it stands.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median

from index_store.errors import DataError, UsageError
from index_store.training.data.judgements import EXPERT_SCALE, Judgements, require_pairs

CROWD_PAIR_WEIGHT = 0.25
"""The weight of a pair judged by the crowd alone, relative to a pair that experts judged."""

MIN_SPREAD = 1e-6


@dataclass(frozen=True, slots=True)
class Example:
    """A photo, a text, the relevance that people give the two in [0, 1], and how much the pair counts in training."""

    image: str
    query_id: str
    relevance: float
    weight: float = 1.0


Scores = Sequence[int]
Pair = tuple[str, str]


def relevance_of_score(score: float) -> float:
    """Return an expert score 1..4 as a relevance in [0, 1]."""
    low, high = EXPERT_SCALE
    return (score - low) / (high - low)


def mean_relevance(scores: Scores) -> float:
    """Return the mean of the experts as a relevance."""
    return relevance_of_score(fmean(scores))


def median_relevance(scores: Scores) -> float:
    """Return the median of the experts as a relevance."""
    return relevance_of_score(median(scores))


def majority_relevance(scores: Scores) -> float | None:
    """Return the score that most experts gave as a relevance; None where all differ."""
    (score, votes), *_ = Counter(scores).most_common(1)
    return relevance_of_score(score) if votes > 1 or len(scores) == 1 else None


def majority_or_mean_relevance(scores: Scores) -> float:
    """Return the majority's relevance, or the mean where all experts differ."""
    majority = majority_relevance(scores)
    return mean_relevance(scores) if majority is None else majority


def expert_relevance(judgements: Judgements, rule: Callable[[Scores], float | None]) -> dict[Pair, float]:
    """Return the relevance of each pair that experts judged and `rule` decides."""
    found = ((pair, rule(pair.scores)) for pair in judgements.expert)
    return {(pair.image, pair.query_id): relevance for pair, relevance in found if relevance is not None}


def crowd_relevance(judgements: Judgements) -> dict[Pair, float]:
    """Return the relevance of each pair that the crowd judged."""
    return {(pair.image, pair.query_id): pair.share for pair in judgements.crowd}


def blend(expert: Mapping[Pair, float], crowd: Mapping[Pair, float], expert_weight: float) -> dict[Pair, float]:
    """Return w * expert + (1 - w) * crowd for pairs that have both, and the one there is for the others."""
    both = expert.keys() & crowd.keys()
    mixed = {pair: expert_weight * expert[pair] + (1.0 - expert_weight) * crowd[pair] for pair in sorted(both)}
    return {**expert, **crowd, **mixed}


def _median_min_max(judgements: Judgements) -> dict[Pair, float]:
    """Return the experts' median, stretched so that the smallest is 0 and the largest 1."""
    found = expert_relevance(judgements, median_relevance)
    low, high = min(found.values()), max(found.values())
    if high - low < MIN_SPREAD:
        raise DataError(
            f"{judgements.folder}: every expert median is the same; a target without spread teaches nothing"
        )
    return {pair: (relevance - low) / (high - low) for pair, relevance in found.items()}


def _blended(judgements: Judgements, expert_weight: float) -> dict[Pair, float]:
    return blend(expert_relevance(judgements, mean_relevance), crowd_relevance(judgements), expert_weight)


def _both(judgements: Judgements, expert_weight: float) -> dict[Pair, float]:
    expert, crowd = expert_relevance(judgements, mean_relevance), crowd_relevance(judgements)
    return {
        pair: relevance
        for pair, relevance in blend(expert, crowd, expert_weight).items()
        if pair in expert and pair in crowd
    }


@dataclass(frozen=True, slots=True)
class TargetRule:
    """How a target is made; `needs_*` name the judgements without which it means nothing."""

    make: Callable[[Judgements, float], dict[Pair, float]]
    needs_experts: bool = True
    needs_crowd: bool = False
    adds_crowd: bool = False


TARGETS: dict[str, TargetRule] = {
    "mean": TargetRule(lambda judgements, _: expert_relevance(judgements, mean_relevance)),
    "median": TargetRule(lambda judgements, _: _median_min_max(judgements)),
    "majority": TargetRule(lambda judgements, _: expert_relevance(judgements, majority_relevance)),
    "majority-or-mean": TargetRule(lambda judgements, _: expert_relevance(judgements, majority_or_mean_relevance)),
    "crowd": TargetRule(lambda judgements, _: crowd_relevance(judgements), needs_experts=False, needs_crowd=True),
    "blend": TargetRule(_blended, needs_crowd=True),
    "both": TargetRule(_both, needs_crowd=True),
    "mean+crowd": TargetRule(
        lambda judgements, _: expert_relevance(judgements, mean_relevance), needs_crowd=True, adds_crowd=True
    ),
}
"""Every target by the name that `--target` takes."""

DEFAULT_TARGET = "mean"


def make_examples(judgements: Judgements, target: str = DEFAULT_TARGET, expert_weight: float = 0.7) -> list[Example]:
    """Return the examples of a target, sorted by photo and text.

    `expert_weight` in [0, 1] is the share of the experts in `blend` and `both`. With `mean+crowd`, pairs that only the
    crowd judged are added with the weight `CROWD_PAIR_WEIGHT`. Raises `DataError` where the judgements that the target
    needs are missing or all relevances are the same.
    """
    if target not in TARGETS:
        raise UsageError(f"unknown target {target!r}; there are {', '.join(TARGETS)}")
    if not 0.0 <= expert_weight <= 1.0:
        raise UsageError(f"the experts' weight {expert_weight:g} is outside 0..1")
    rule = TARGETS[target]
    require_pairs(judgements, experts=rule.needs_experts, crowd=rule.needs_crowd)
    relevance = rule.make(judgements, expert_weight)
    examples = [Example(image, query_id, value) for (image, query_id), value in relevance.items()]
    if rule.adds_crowd:
        examples += [
            Example(image, query_id, share, CROWD_PAIR_WEIGHT)
            for (image, query_id), share in crowd_relevance(judgements).items()
            if (image, query_id) not in relevance
        ]
    require_spread([example.relevance for example in examples], f"{judgements.folder}: target {target}")
    return sorted(examples, key=lambda example: (example.image, example.query_id))


def require_spread(relevance: Sequence[float], what: str) -> None:
    """Raise `DataError` for a target of which all values are the same, or that has none."""
    if not relevance:
        raise DataError(f"{what}: no pair is left")
    if max(relevance) - min(relevance) < MIN_SPREAD:
        raise DataError(f"{what}: all {len(relevance):,} values are {relevance[0]:g}; nothing can be learned from that")
