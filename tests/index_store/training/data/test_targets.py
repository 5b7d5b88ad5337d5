from __future__ import annotations

import pytest

from index_store.errors import DataError, UsageError
from index_store.training.data.judgements import CrowdPair, ExpertPair, Judgements
from index_store.training.data.targets import (
    CROWD_PAIR_WEIGHT,
    Example,
    majority_relevance,
    make_examples,
    require_spread,
)

EXPERT = [
    ExpertPair("a", "t", (4, 4, 3)),
    ExpertPair("b", "t", (1, 2, 4)),
    ExpertPair("c", "t", (1, 1, 1)),
]
CROWD = [CrowdPair("a", "t", 0.5), CrowdPair("d", "t", 1.0)]


@pytest.fixture
def judgements(tmp_path) -> Judgements:
    return Judgements(tmp_path, {"t": "a text"}, EXPERT, CROWD)


def relevance(judgements, target, weight=0.7) -> dict[str, float]:
    return {example.image: example.relevance for example in make_examples(judgements, target, weight)}


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("mean", {"a": 8 / 9, "b": 4 / 9, "c": 0.0}),
        ("median", {"a": 1.0, "b": 1 / 3, "c": 0.0}),
        ("majority", {"a": 1.0, "c": 0.0}),
        ("majority-or-mean", {"a": 1.0, "b": 4 / 9, "c": 0.0}),
        ("crowd", {"a": 0.5, "d": 1.0}),
        ("blend", {"a": 0.7 * 8 / 9 + 0.3 * 0.5, "b": 4 / 9, "c": 0.0, "d": 1.0}),
        ("mean+crowd", {"a": 8 / 9, "b": 4 / 9, "c": 0.0, "d": 1.0}),
    ],
)
def test_each_target_is_what_its_name_says(judgements, target, expected):
    assert relevance(judgements, target) == pytest.approx(expected)


def test_added_crowd_pairs_weigh_less(judgements):
    weights = {example.image: example.weight for example in make_examples(judgements, "mean+crowd")}
    assert weights == {"a": 1.0, "b": 1.0, "c": 1.0, "d": CROWD_PAIR_WEIGHT}


def test_pairs_that_both_judged_weigh_the_sources_as_told(tmp_path):
    crowd = [*CROWD, CrowdPair("c", "t", 0.0)]
    judgements = Judgements(tmp_path, {"t": "a text"}, EXPERT, crowd)
    assert relevance(judgements, "both", 0.5) == pytest.approx({"a": (8 / 9 + 0.5) / 2, "c": 0.0})


def test_three_different_scores_have_no_majority():
    assert majority_relevance((1, 2, 4)) is None
    assert majority_relevance((2, 4, 4)) == 1.0


def test_a_target_without_spread_is_refused(tmp_path):
    flat = [ExpertPair(name, "t", (2, 2, 2)) for name in "ab"]
    with pytest.raises(DataError, match=r"all 2 values are 0\.333333"):
        make_examples(Judgements(tmp_path, {"t": "a text"}, flat), "mean")
    with pytest.raises(DataError, match="no pair is left"):
        require_spread([], "target mean")


def test_a_target_without_its_judgements_is_refused(tmp_path):
    only_crowd = Judgements(tmp_path, {"t": "a text"}, crowd=CROWD)
    with pytest.raises(DataError, match="no usable pair in ExpertAnnotations"):
        make_examples(only_crowd, "mean")


@pytest.mark.parametrize(("target", "weight"), [("median-ish", 0.7), ("blend", 1.5)])
def test_unknown_targets_and_weights_are_refused(judgements, target, weight):
    with pytest.raises(UsageError, match="unknown target|outside"):
        make_examples(judgements, target, weight)


def test_examples_are_sorted(judgements):
    assert make_examples(judgements, "mean")[0] == Example("a", "t", pytest.approx(8 / 9))
