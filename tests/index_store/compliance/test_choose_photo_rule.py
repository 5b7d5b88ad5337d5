from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from index_store.compliance import choose_photo_rule as choosing
from index_store.compliance.choose_photo_rule import NOT_SEEN, choose_photo_rules
from index_store.compliance.policy import Policy, load_policy
from index_store.compliance.shipped_vectors import pack_shipped
from index_store.encoders.encoder_models import SHIPPED
from index_store.encoders.registry import EncoderCard, encoder_card
from index_store.errors import WeightsError


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


def rows(card: EncoderCard, count: int, seed: int = 0) -> np.ndarray:
    made = np.random.default_rng(seed).normal(size=(count, card.dimension)).astype(np.float32)
    return made / np.linalg.norm(made, axis=1, keepdims=True)


def give_rule(own: EncoderCard) -> None:
    shutil.copytree(SHIPPED / "minors", own.folder / "minors")
    card = own.folder / "minors" / "card.json"
    card.write_text(json.dumps(json.loads(card.read_text()) | {"encoder": own.name, "version": "mine-1"}))


def test_the_rule_that_ships_judges_the_photos_of_the_encoder_that_ships(policy):
    card = encoder_card()
    rules = choose_photo_rules(card, policy)
    verdicts = rules.judge_rows(rows(card, 3), [""] * 3)
    assert rules.shipped is None
    assert [(verdict.rule, verdict.policy) for verdict in verdicts] == [(rules.version, policy.digest)] * 3
    assert all(verdict.withheld == (verdict.probability >= policy.photo_threshold) for verdict in verdicts)


def test_it_judges_the_photos_of_another_encoder_by_what_the_tower_that_ships_saw(policy, own):
    card = encoder_card()
    seen = rows(card, 200)
    expected = choose_photo_rules(card, policy).judge_rows(seen, [""] * 200)
    rules = choose_photo_rules(own, policy, named=str(own.folder))
    verdicts = rules.judge_rows(rows(own, 200, seed=1), [pack_shipped(card.name, row) for row in seen])
    assert [v.probability for v in verdicts] == pytest.approx([v.probability for v in expected], abs=2e-3)
    assert {verdict.rule for verdict in verdicts} == {choose_photo_rules(card, policy).version}


@pytest.mark.parametrize(
    "vector", ["", "x", "lite2-minilm-00000000 {vector}", "{name} {vector}AAAA", "{name} {nan}", "{name} ]"]
)
def test_a_photo_that_the_tower_that_ships_has_not_seen_is_withheld_under_every_threshold(policy, own, vector):
    card = encoder_card()
    packed = pack_shipped(card.name, rows(card, 1)[0]).split()[1]
    nan = pack_shipped(card.name, np.full(card.dimension, np.nan, np.float32)).split()[1]
    rules = choose_photo_rules(own, policy, named=str(own.folder))
    [verdict] = rules.judge_rows(rows(own, 1), [vector.format(name=card.name, vector=packed, nan=nan)])
    assert (verdict.withheld, verdict.withheld_up_to, verdict.reason) == (True, 1.0, NOT_SEEN)
    assert rules.judge_rows(rows(own, 0), []) == []


def test_the_strictest_of_both_rules_holds(policy, own):
    give_rule(own)
    card = encoder_card()
    mine, seen = rows(own, 200), rows(card, 200, seed=1)
    rules = choose_photo_rules(own, policy, named=str(own.folder))
    by_shipped = choose_photo_rules(card, policy).judge_rows(seen, [""] * 200)
    by_own = choose_photo_rules(card, policy).judge_rows(mine, [""] * 200)  # the same weights, under another name
    expected = [
        max(pair) for pair in zip(*([v.probability for v in each] for each in (by_shipped, by_own)), strict=True)
    ]
    verdicts = rules.judge_rows(mine, [pack_shipped(card.name, row) for row in seen])
    assert [verdict.probability for verdict in verdicts] == pytest.approx(expected, abs=2e-3)
    assert {verdict.rule for verdict in verdicts} == {f"{by_shipped[0].rule}+mine-1"}


def test_rules_are_opened_only_when_they_are_needed(policy, own):
    give_rule(own)
    (own.folder / "minors" / "minors.npz").unlink()
    rules = choose_photo_rules(own, policy, named=str(own.folder))
    assert rules.version.endswith("+mine-1")
    with pytest.raises(WeightsError, match="weights are missing"):
        rules.judge_rows(rows(own, 1), [""])


def test_a_machines_policy_is_asked_about_what_has_the_name_of_the_encoder_that_ships(policy, own, monkeypatch):
    asked: list[Path] = []
    monkeypatch.setattr(choosing, "refuse_models_of_users", lambda *folders: asked.extend(folders))
    choose_photo_rules(own, policy, named=str(own.folder))
    assert asked == []  # whatever it embeds, the tower that ships looks at the photos
    choose_photo_rules(encoder_card(), policy)
    assert asked == [encoder_card().folder, SHIPPED / "minors"]
