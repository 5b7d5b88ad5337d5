"""Training the rule for photos, on embeddings in which a child is a direction."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sklearn")

from index_store.compliance.photo_rule import CARD_FILE, load_photo_rule
from index_store.compliance.policy import load_policy
from index_store.errors import DataError
from index_store.training.data.captions import CaptionedPhoto
from index_store.training.photo_rule.candidates import CANDIDATES
from index_store.training.photo_rule.data import JudgedPhotos, LearningData
from index_store.training.photo_rule.fitting import NetworkFit, fit_network
from index_store.training.photo_rule.labels import Labels
from index_store.training.photo_rule.train import PhotoRuleTraining, simplest, train_photo_rule
from index_store.training.photo_rule.trials import HOME, SEEN, MeasuredSet, Trials, measure

QUICK = PhotoRuleTraining(folds=3, candidates=("logistic", "person and under 16, logistic"))


def learning_data(count: int = 200, kept_out: int = 40) -> tuple[LearningData, Labels]:
    """Photos by two: a child, and nobody; half of them at home, half looked at."""
    chance = np.random.default_rng(0)
    child = np.arange(count) % 2 == 0
    rows = chance.normal(size=(count, 8)).astype(np.float32)
    rows[:, 0] += np.where(child, 2, -2)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    home = np.arange(count) < count // 2
    photos = [
        CaptionedPhoto(Path("home" if at_home else "web") / "images" / f"{number}.jpg", ("a caption",))
        for number, at_home in enumerate(home)
    ]
    ones, target = np.ones(count, np.float32), child.astype(np.float32)
    person = (child | (np.arange(count) % 4 == 1)).astype(np.float32)  # half of the others are grown up
    seen = np.where(home, "", np.where(child, "yes", "no"))
    data = LearningData(photos, rows, "colours-1", np.arange(count) < kept_out, home, ones)
    return data, Labels(target, ones, person, ones, child, seen, seen != "")


def test_training_learns_saves_and_reports(tmp_path):
    data, labels = learning_data()
    judged = JudgedPhotos(["a", "b"], [["a girl"], ["a car"]], data.embeddings[:2])
    other = MeasuredSet("elsewhere", data.embeddings[:20], np.array(["yes", "no"] * 10))
    report = train_photo_rule(data, labels, tmp_path, [other], {"test": judged}, QUICK)
    assert report.kept == "logistic"
    figures = {name: (each.photos, each.positives) for name, each in report.evaluation.items()}
    assert figures == {
        HOME: (40, 20),
        SEEN: (100, 50),
        f"{SEEN}, web": (100, 50),
        "elsewhere": (20, 10),
        "test": (2, 1),
    }
    assert report.evaluation[SEEN].average_precision > 0.95
    rule = load_photo_rule("colours-1", load_policy(), tmp_path)
    probabilities = rule.probabilities(data.embeddings)
    assert np.mean((probabilities > 0.5) == (np.arange(200) % 2 == 0)) > 0.95
    card = json.loads((tmp_path / CARD_FILE).read_text())
    assert card["version"] == report.version == rule.version
    assert card["advised_threshold"] == report.threshold
    assert card["data"] == {"photos": 160, "with_a_child": 80, "looked_at": 100, "kept_out": 40, "copies": 0}


def test_the_same_seed_gives_the_same_version(tmp_path):
    data, labels = learning_data(60, 12)
    first = train_photo_rule(data, labels, tmp_path / "1", (), None, QUICK)
    assert train_photo_rule(data, labels, tmp_path / "2", (), None, QUICK).version == first.version


def test_photos_kept_out_are_not_learned_from(tmp_path):
    data, labels = learning_data()
    wrong = replace(labels, child=np.where(data.kept_out, 1 - labels.child, labels.child))
    report = train_photo_rule(data, labels, tmp_path / "1", (), None, QUICK)
    assert train_photo_rule(data, wrong, tmp_path / "2", (), None, QUICK).version == report.version


def test_each_photo_is_judged_by_a_model_that_did_not_see_it():
    """Labels by chance: what was learned by heart would be told right."""
    data, labels = learning_data(400, 0)
    chance = np.random.default_rng(1).random(400) < 0.5
    rows = np.random.default_rng(2).normal(size=(400, 300)).astype(np.float32)
    by_chance = replace(labels, child=chance.astype(np.float32), truth=chance)
    trials = Trials(replace(data, embeddings=rows), by_chance, (), ("logistic",))
    found = trials.logits("logistic", lambda done, total: None)["learned from"]
    assert 0.4 < np.mean((found > 0) == chance) < 0.6


def test_a_folder_counts_by_its_weight(tmp_path):
    data, labels = learning_data()
    alike = train_photo_rule(data, labels, tmp_path / "1", (), None, QUICK).version
    heavy = replace(data, weights=np.where(data.home, 3, 1).astype(np.float32))
    assert train_photo_rule(heavy, labels, tmp_path / "2", (), None, QUICK).version != alike


def test_the_threshold_has_the_recall_that_is_wanted_in_both_parts():
    data, labels = learning_data(40, 20)
    trials = Trials(data, labels, (), ("logistic",))
    probabilities = np.zeros(40, np.float32)
    probabilities[0:20:2] = np.linspace(0.91, 1.0, 10)  # at home; nine of ten need .92
    probabilities[20:40:2] = np.linspace(0.305, 0.755, 10)  # looked at; eight of ten need .405
    assert trials.threshold(probabilities, {HOME: 0.9, SEEN: 0.8}) == 0.4
    assert trials.threshold(probabilities, {HOME: 0.9}) == 0.92


def test_two_questions_multiply():
    data, labels = learning_data()
    model = CANDIDATES["person and under 16, logistic"].model(data.embeddings, labels, 0)
    there, young = (
        1 / (1 + np.exp(-networks[0].logits(data.embeddings))) for networks in (model.person, model.networks)
    )
    assert model.probabilities(data.embeddings) == pytest.approx(there * young, abs=1e-5)


def test_the_simplest_of_equals_is_kept():
    study = {"plain": {HOME: 0.9, SEEN: 0.795}, "better": {HOME: 0.9, SEEN: 0.8}, "much": {HOME: 0.9, SEEN: 0.7}}
    assert simplest(study) == "plain"
    assert simplest({**study, "better": {HOME: 0.9, SEEN: 0.83, "elsewhere": 0.1}}) == "better"


def test_photos_without_a_child_cannot_be_learned_from(tmp_path):
    data, labels = learning_data(20, 0)
    nobody = replace(labels, child=labels.child * 0, truth=labels.truth & False)
    with pytest.raises(DataError, match="too few photos with and without children"):
        train_photo_rule(data, nobody, tmp_path, (), None, QUICK)


def test_the_network_learns_what_no_line_can_separate():
    chance = np.random.default_rng(1)
    rows = chance.normal(size=(400, 2)).astype(np.float32)
    targets = (rows[:, 0] * rows[:, 1] > 0).astype(np.float32)
    network = fit_network(rows, targets, NetworkFit(64, 0.0, 0.1, epochs=60, rate=1e-2, decay=0.0), seed=0)
    assert np.mean((network.logits(rows) > 0) == (targets > 0)) > 0.95


def test_the_network_passes_over_what_does_not_count():
    rows = np.random.default_rng(1).normal(size=(400, 2)).astype(np.float32)
    targets = (rows[:, 0] > 0).astype(np.float32)
    wrong = np.arange(400) < 250
    fit = NetworkFit(16, 0.0, 0.1, epochs=60, rate=1e-2, decay=0.0)
    told = np.where(wrong, 1 - targets, targets)
    network = fit_network(rows, told, fit, seed=0, weights=(~wrong).astype(np.float32))
    assert np.mean((network.logits(rows) > 0) == (targets > 0)) > 0.95


def test_measured_by_hand():
    measured = measure(np.array([0.9, 0.6, 0.04, 0.2], np.float32), np.array([True, False, True, False]))
    row = next(row for row in measured.rows if row.threshold == 0.5)
    assert (row.recall, row.precision, row.harmless_withheld) == (0.5, 0.5, 0.5)
    assert measured.brier == pytest.approx((0.01 + 0.36 + 0.9216 + 0.04) / 4, abs=1e-4)
