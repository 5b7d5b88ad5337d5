"""The rule for an encoder's photos, and that nothing is shown where there is none."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from index_store.compliance import choose_photo_rule as choosing
from index_store.compliance.choose_photo_rule import NOBODY, choose_photo_rule
from index_store.compliance.policy import Policy, load_policy
from index_store.encoders.encoder_models import SHIPPED
from index_store.encoders.registry import EncoderCard, encoder_card
from index_store.errors import PolicyError, WeightsError


@pytest.fixture(scope="module")
def policy() -> Policy:
    return load_policy()


@pytest.fixture
def own(tmp_path: Path) -> EncoderCard:
    """An encoder in a folder of its own, for which there is no rule."""
    shutil.copytree(SHIPPED / "encoder", tmp_path / "mine")
    card = tmp_path / "mine" / "card.json"
    card.write_text(json.dumps(json.loads(card.read_text()) | {"name": "mine-12345678"}))
    return encoder_card(str(tmp_path / "mine"))


def rows(card: EncoderCard, count: int) -> np.ndarray:
    made = np.random.default_rng(0).normal(size=(count, card.dimension)).astype(np.float32)
    return made / np.linalg.norm(made, axis=1, keepdims=True)


@pytest.mark.parametrize("unjudged", [False, True])
def test_the_rule_that_ships_judges_the_photos_of_the_encoder_that_ships(policy, unjudged):
    card = encoder_card()
    version, load = choose_photo_rule(card, policy, unjudged=unjudged)
    verdicts = load()(rows(card, 3))
    assert version != NOBODY
    assert [(verdict.rule, verdict.policy) for verdict in verdicts] == [(version, policy.digest)] * 3
    assert all(verdict.withheld == (verdict.probability >= policy.photo_threshold) for verdict in verdicts)


def test_without_a_rule_nothing_is_judged_and_the_way_to_one_is_named(policy, own):
    with pytest.raises(WeightsError) as caught:
        choose_photo_rule(own, policy, named=str(own.folder))
    assert f"`imgsearch train minors DATA --unseen-share 1 --encoder {own.folder} --output" in str(caught.value)
    assert str(caught.value).endswith("; nothing was changed")


def test_photos_that_nobody_judged_are_withheld_under_every_threshold(policy, own):
    version, load = choose_photo_rule(own, policy, named=str(own.folder), unjudged=True)
    verdicts = load()(rows(own, 2))
    assert version == NOBODY
    assert [(v.withheld, v.withheld_up_to, v.rule, v.policy) for v in verdicts] == [
        (True, 1.0, NOBODY, policy.digest)
    ] * 2
    assert load()(rows(own, 0)) == []


def test_the_rule_in_the_encoders_folder_is_found_and_opened_only_when_it_is_loaded(policy, own):
    shutil.copytree(SHIPPED / "minors", own.folder / "minors")
    card = own.folder / "minors" / "card.json"
    card.write_text(json.dumps(json.loads(card.read_text()) | {"encoder": own.name}))
    version, load = choose_photo_rule(own, policy, named=str(own.folder))
    assert len(load()(rows(own, 2))) == 2
    assert version != NOBODY
    (own.folder / "minors" / "minors.npz").unlink()
    _, load = choose_photo_rule(own, policy, named=str(own.folder))
    with pytest.raises(WeightsError):
        load()


def test_a_mandatory_policy_leaves_no_photo_unjudged(policy):
    with pytest.raises(PolicyError, match="the policy is mandatory and cannot be switched off"):
        choose_photo_rule(encoder_card(), policy._replace(mandatory=True), unjudged=True)


def test_a_machines_policy_is_asked_about_the_encoder_and_its_rule(policy, monkeypatch):
    asked: list[Path] = []
    monkeypatch.setattr(choosing, "refuse_models_of_users", lambda *folders: asked.extend(folders))
    choose_photo_rule(encoder_card(), policy)
    assert asked == [encoder_card().folder, SHIPPED / "minors"]
