"""Training the rule for photos, on embeddings in which a child is a direction."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sklearn")

from index_store.compliance.photo_rule import CARD_FILE, load_photo_rule
from index_store.compliance.policy import load_policy
from index_store.errors import DataError
from index_store.training.data.captions import CaptionedPhoto
from index_store.training.photo_rule.data import JudgedPhotos, LearningData
from index_store.training.photo_rule.fitting import NetworkFit, fit_network
from index_store.training.photo_rule.train import PhotoRuleTraining, caption_shares, measure, train_photo_rule

QUICK = PhotoRuleTraining(folds=3, candidates=("logistic, C 0.01", "network 128, soft labels"))


def learning_data(count: int = 200) -> LearningData:
    chance = np.random.default_rng(0)
    child = np.arange(count) % 2 == 0
    rows = chance.normal(size=(count, 8)).astype(np.float32)
    rows[:, 0] += np.where(child, 2, -2)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    captions = [("a boy", "two kids", "a dog") if each else ("a dog", "a dog runs", "a man") for each in child]
    photos = [CaptionedPhoto(Path(f"{number}.jpg"), texts) for number, texts in enumerate(captions)]
    return LearningData(photos, rows, "colours-1", 0.0)


def test_shares_count_the_captions_that_speak_of_a_child():
    assert caption_shares([["a boy", "a dog", "a cow", "a cat"], ["baby elephant"]]).tolist() == [0.25, 0.0]


def test_training_learns_saves_and_reports(tmp_path):
    data = learning_data()
    judged = JudgedPhotos(["a", "b"], [["a girl"], ["a car"]], data.embeddings[:2])
    report = train_photo_rule(data, tmp_path, {"test": judged}, QUICK)
    assert report.kept in QUICK.candidates
    assert report.validation.average_precision > 0.95
    assert report.evaluation["test"].photos == 2
    rule = load_photo_rule("colours-1", load_policy(), tmp_path)
    probabilities = rule.probabilities(data.embeddings)
    assert np.mean((probabilities > 0.5) == (np.arange(200) % 2 == 0)) > 0.95
    card = json.loads((tmp_path / CARD_FILE).read_text())
    assert card["version"] == report.version == rule.version
    assert card["data"] == {"photos": 200, "with_a_child": 100}


def test_the_same_seed_gives_the_same_version(tmp_path):
    data = learning_data(60)
    first = train_photo_rule(data, tmp_path / "1", None, QUICK)
    assert train_photo_rule(data, tmp_path / "2", None, QUICK).version == first.version


def test_photos_that_the_encoder_has_seen_are_not_measured_on(tmp_path):
    data = learning_data()
    seen = LearningData(data.photos, data.embeddings, data.encoder, 0.5)
    report = train_photo_rule(seen, tmp_path, None, QUICK)
    assert 60 < report.validation.photos < 140
    assert report.trusted.endswith("out of fold, unseen by the encoder colours-1")


def test_a_twin_is_studied_and_the_rule_still_belongs_to_the_encoder(tmp_path):
    data = learning_data()
    twin = LearningData(data.photos, data.embeddings[:, ::-1].copy(), "colours-twin", 0.5)
    report = train_photo_rule(data, tmp_path, None, QUICK, twin=twin)
    assert (report.encoder, report.validation.photos < 140) == ("colours-1", True)
    rule = load_photo_rule("colours-1", load_policy(), tmp_path)
    assert np.mean((rule.probabilities(data.embeddings) > 0.5) == (np.arange(200) % 2 == 0)) > 0.95


def test_photos_without_a_child_cannot_be_learned_from(tmp_path):
    data = learning_data(20)
    dogs = [CaptionedPhoto(photo.path, ("a dog",)) for photo in data.photos]
    with pytest.raises(DataError, match="too few photos with and without children"):
        train_photo_rule(LearningData(dogs, data.embeddings, data.encoder, 0.0), tmp_path, None, QUICK)


def test_the_network_learns_what_no_line_can_separate():
    chance = np.random.default_rng(1)
    rows = chance.normal(size=(400, 2)).astype(np.float32)
    targets = (rows[:, 0] * rows[:, 1] > 0).astype(np.float32)
    network = fit_network(rows, targets, NetworkFit(64, 0.0, 0.1, epochs=60, rate=1e-2, decay=0.0), seed=0)
    assert np.mean((network.logits(rows) > 0) == (targets > 0)) > 0.95


def test_measured_by_hand():
    measured = measure(np.array([0.9, 0.6, 0.04, 0.2], np.float32), np.array([True, False, True, False]))
    row = next(row for row in measured.rows if row.threshold == 0.5)
    assert (row.recall, row.precision, row.harmless_withheld) == (0.5, 0.5, 0.5)
    assert measured.brier == pytest.approx((0.01 + 0.36 + 0.9216 + 0.04) / 4, abs=1e-4)
