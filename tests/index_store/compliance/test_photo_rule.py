"""The rule for photos: probabilities, verdicts, saved weights, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest

from index_store.compliance.photo_rule import (
    ARRAYS_FILE,
    CARD_FILE,
    Network,
    PhotoModel,
    PhotoRule,
    load_model,
    load_photo_rule,
    recall_and_precision,
    save_model,
)
from index_store.compliance.policy import load_policy
from index_store.errors import WeightsError


def first_coordinate(times: float = 1.0) -> PhotoModel:
    """A model whose logit is the first coordinate."""
    weights = np.array([[times], [0.0]], np.float32)
    return PhotoModel((Network(((weights, np.zeros(1, np.float32)),)),), 1.0, 0.0)


def policy(threshold: float):
    return load_policy()._replace(photo_threshold=threshold)


def test_probabilities_are_the_sigmoid_of_the_mean_logit():
    model = PhotoModel((*first_coordinate(1).networks, *first_coordinate(3).networks), 2.0, 0.5)
    row = np.array([[0.25, 9.0]], np.float32)  # mean logit (0.25 + 0.75) / 2 = 0.5; 2 * 0.5 + 0.5 = 1.5
    assert model.probabilities(row) == pytest.approx([1 / (1 + np.exp(-1.5))])


def test_a_child_is_a_person_and_under_16():
    person, young = first_coordinate(2.0).networks, first_coordinate(-1.0).networks
    model = PhotoModel(young, 1.0, 0.0, person)
    rows = np.array([[0.0, 0], [1.5, 0], [-30, 0], [200, 0]], np.float32)
    first = rows[:, 0].astype(float)
    product = 1 / (1 + np.exp(-2 * first)) / (1 + np.exp(first))  # at 0: a half of a half
    assert model.probabilities(rows) == pytest.approx(product, abs=1e-6)
    assert model.probabilities(rows)[0] == pytest.approx(0.25)


def test_both_questions_are_saved(tmp_path):
    model = PhotoModel(first_coordinate(-1.0).networks, 1.5, 0.5, first_coordinate(2.0).networks)
    save_model(model, tmp_path)
    rows = np.random.default_rng(0).normal(size=(50, 2)).astype(np.float32)
    assert load_model(tmp_path).probabilities(rows) == pytest.approx(model.probabilities(rows), abs=0.002)


def test_hidden_layers_are_rectified():
    hidden = (np.array([[1.0, -1.0]], np.float32), np.zeros(2, np.float32))
    out = (np.array([[1.0], [1.0]], np.float32), np.zeros(1, np.float32))
    network = Network((hidden, out))
    assert network.logits(np.array([[2.0], [-3.0]], np.float32)).tolist() == [2.0, 3.0]


def test_a_photo_is_withheld_from_the_threshold_upwards():
    rule = PhotoRule(first_coordinate(), "minors-1", policy(0.5))
    below, at = rule.judge(np.array([[-0.1, 0], [0, 0]], np.float32))
    assert (below.withheld, at.withheld) == (False, True)
    assert at.probability == pytest.approx(0.5)
    assert at.reason == "probability 0.50 of a child reaches the threshold 0.5"
    assert (at.rule, at.policy) == ("minors-1", load_policy().digest)


def test_an_embedding_that_is_not_finite_is_withheld():
    rule = PhotoRule(first_coordinate(), "minors-1", policy(1.0))
    verdict = rule.judge(np.array([[np.nan, 0]], np.float32))[0]
    assert verdict.withheld
    assert verdict.reason == "the embedding cannot be judged"


def test_no_photos_no_verdicts():
    assert PhotoRule(first_coordinate(), "minors-1", policy(0.5)).judge(np.zeros((0, 2), np.float32)) == []


def saved(folder, encoder="colours-1"):
    save_model(first_coordinate(2.0), folder)
    (folder / CARD_FILE).write_text(json.dumps({"version": "minors-1", "encoder": encoder}))
    return folder


def test_a_saved_rule_judges_as_before(tmp_path):
    rows = np.random.default_rng(0).normal(size=(50, 2)).astype(np.float32)
    rule = load_photo_rule("colours-1", policy(0.5), saved(tmp_path))
    assert rule.version == "minors-1"
    assert np.abs(rule.probabilities(rows) - first_coordinate(2.0).probabilities(rows)).max() < 0.002


def test_the_rule_of_another_encoder_is_refused(tmp_path):
    with pytest.raises(WeightsError, match="trained for the encoder 'colours-1', not 'other-2'"):
        load_photo_rule("other-2", policy(0.5), saved(tmp_path))


@pytest.mark.parametrize("name", [CARD_FILE, ARRAYS_FILE])
def test_missing_and_damaged_weights_are_refused(tmp_path, name):
    content = (saved(tmp_path) / name).read_bytes()
    (tmp_path / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(WeightsError, match="damaged"):
        load_photo_rule("colours-1", policy(0.5), tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(WeightsError, match="missing"):
        load_photo_rule("colours-1", policy(0.5), tmp_path)


def test_load_model_needs_a_folder(tmp_path):
    with pytest.raises(WeightsError, match="missing"):
        load_model(tmp_path / "none")


def test_recall_and_precision_by_hand():
    probabilities = np.array([0.9, 0.8, 0.3, 0.1], np.float32)
    assert recall_and_precision(probabilities, [True, False, True, False], 0.5) == (0.5, 0.5)
