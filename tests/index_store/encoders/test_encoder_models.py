"""An encoder's reranker and photo rule are those that ship with it, or those in its own folder, and no others."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from index_store.encoders import cards
from index_store.encoders.encoder_models import (
    PHOTO_RULE,
    RERANKER,
    SHIPPED,
    belongs_to,
    find_model,
    towers_of,
    training_advice,
)
from index_store.encoders.registry import DEFAULT_ENCODER, encoder_card

KINDS = (RERANKER, PHOTO_RULE)


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An encoder in a folder of its own, without models, for a user who has named none yet."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    folder = tmp_path / "mine"
    shutil.copytree(SHIPPED / "encoder", folder)
    card = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps(card | {"name": "mine-12345678"}))
    return folder


def add_model(folder: Path, kind: str) -> Path:
    (folder / kind).mkdir()
    (folder / kind / "card.json").write_text(json.dumps({"encoder": "mine-12345678"}))
    return folder / kind


@pytest.mark.parametrize("kind", KINDS)
def test_the_encoder_that_ships_has_the_models_that_ship(kind):
    name = encoder_card(DEFAULT_ENCODER).name
    assert find_model(kind, name) == SHIPPED / kind
    assert belongs_to(SHIPPED / kind) == (name if kind == PHOTO_RULE else encoder_card(DEFAULT_ENCODER).towers)


@pytest.mark.parametrize("kind", KINDS)
def test_the_models_in_an_encoders_folder_are_found_when_the_folder_is_named(own, kind):
    assert find_model(kind, "mine-12345678", str(own)) is None
    made = add_model(own, kind)
    assert find_model(kind, "mine-12345678", str(own)) == made
    assert find_model(kind, "mine-12345678") is None


def test_a_reranker_belongs_to_both_towers_of_the_encoder_that_a_store_names(own):
    assert towers_of("mine-12345678", str(own)) == encoder_card(str(own)).towers
    assert towers_of(encoder_card().name) == encoder_card().towers
    assert towers_of("other-1", str(own)) == towers_of("other-1") == "other-1"


def test_an_own_text_tower_beside_the_photo_tower_that_ships_has_its_rule_and_not_its_reranker(own):
    card, shipped = json.loads((own / "card.json").read_text()), encoder_card()
    (own / "card.json").write_text(json.dumps(card | {"name": shipped.name, "fingerprint": "ab" * 32}))
    assert find_model(PHOTO_RULE, shipped.name, str(own)) == SHIPPED / PHOTO_RULE
    assert find_model(RERANKER, shipped.name, str(own)) is None
    assert towers_of(shipped.name, str(own)) == f"{shipped.name}.abababab"
    made = add_model(own, RERANKER)
    assert find_model(RERANKER, shipped.name, str(own)) == made
    assert find_model(RERANKER, shipped.name) == SHIPPED / RERANKER


def test_a_card_is_read_once_until_its_file_changes(own, monkeypatch):
    reads = []
    monkeypatch.setattr(cards, "read_user_text", lambda path, **more: reads.append(path) or path.read_text())
    first = encoder_card(str(own))
    assert encoder_card(str(own)) is first
    assert len(reads) == 1
    content = json.loads((own / "card.json").read_text())
    (own / "card.json").write_text(json.dumps(content | {"name": "mine-87654321"}))
    assert (encoder_card(str(own)).name, len(reads)) == ("mine-87654321", 2)


def test_a_folder_named_for_another_encoder_gives_no_model(own):
    add_model(own, RERANKER)
    assert find_model(RERANKER, "other-1", str(own)) is None


def test_a_name_in_a_store_opens_no_folder(own, monkeypatch):
    add_model(own, RERANKER)
    monkeypatch.chdir(own.parent)
    for name in (str(own), "mine", ".", "./mine"):
        assert find_model(RERANKER, name) is None


@pytest.mark.parametrize(
    "damage", ["{", "[]", "[" * 100_000, b"\xff", None], ids=["cut", "list", "deep", "bytes", "gone"]
)
def test_a_card_that_cannot_be_read_belongs_to_nobody(tmp_path, damage):
    if damage is not None:
        (tmp_path / "card.json").write_bytes(damage if isinstance(damage, bytes) else damage.encode())
    assert belongs_to(tmp_path) is None


@pytest.mark.parametrize("damage", [None, "{"])
def test_damage_to_an_encoders_own_card_is_no_model(own, damage):
    add_model(own, RERANKER)
    if damage is None:
        (own / "card.json").unlink()
    else:
        (own / "card.json").write_text(damage)
    assert find_model(RERANKER, "mine-12345678", str(own)) is None


def test_the_advice_makes_the_model_where_it_will_be_found(own):
    card = encoder_card(str(own))
    assert (
        training_advice(RERANKER, card, "mine")
        == f"imgsearch train reranker DATA --encoder mine --output {own}/reranker"
    )
    assert training_advice(PHOTO_RULE, card, "mine") == (
        f"imgsearch train minors DATA --encoder mine --output {own}/minors"
    )
