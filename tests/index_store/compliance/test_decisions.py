from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from index_store.compliance.decisions import Decision, HandDecisions, decide, overrule, packed
from index_store.compliance.shipped_vectors import pack_shipped
from index_store.indexing.run import index_photos, judge_again
from index_store.indexing.write import IndexModels
from index_store.photos.places import Place
from index_store.records import BY_HAND, Verdict

MODEL = Verdict(True, 0.8, "probability 0.80", "rule-1", "p")


def decision(content: str, withheld: bool, time: str) -> Decision:
    return Decision(content, withheld, "because", "/a.jpg", time, "ann")


def test_the_last_decision_stands_in_whatever_order_they_come():
    old, new = decision("x", True, "2026-01-01T00:00:00"), decision("x", False, "2026-01-02T00:00:00")
    assert HandDecisions([new, old]).standing == {"x": new}


def test_a_decision_wins_over_the_rule_and_keeps_its_probability():
    verdict = overrule(MODEL, decision("x", False, "2026-01-02T00:00:00"))
    assert verdict == Verdict(False, 0.8, "allowed by ann on 2026-01-02: because", BY_HAND, "p")
    assert overrule(MODEL, None) == MODEL


@pytest.mark.parametrize(("threshold", "withheld"), [(0.5, True), (0.8, True), (0.9, False)])
def test_the_threshold_that_holds_now_decides_unless_a_person_did(threshold, withheld):
    assert MODEL.withholds_at(threshold) is withheld
    assert replace(MODEL, rule=BY_HAND).withholds_at(threshold) is True
    assert replace(MODEL, rule=BY_HAND, withheld=False).withholds_at(threshold) is False


@pytest.fixture
def indexed(store, encoder, judge, paint, tmp_path):
    """Return a function that indexes tmp_path/photos with the decisions that stand in the store."""
    paint("photos/red.png", "red")
    paint("photos/white.png", "white")

    def indexed():
        decisions = HandDecisions(store.decisions(), encoder.name)
        models = IndexModels(encoder.photo_input, lambda: encoder, lambda: judge, decisions)
        return index_photos([Place(str(tmp_path / "photos"))], store, models)

    indexed()
    return indexed


def names(photos) -> list[str]:
    return [Path(photo.image_id).name for photo in photos]


def test_decisions_survive_changed_times_moves_and_a_new_index(indexed, store, tmp_path, paint):
    red = next(photo for photo in store.photos() if photo.image_id.endswith("red.png"))
    store.add_decisions([decide(red.content_hash, red.image_id, withheld=True, reason="asked for")])
    store.delete([red.content_hash])
    indexed()
    assert names(store.withheld(0.5)) == ["red.png", "white.png"]
    (tmp_path / "photos" / "red.png").rename(tmp_path / "photos" / "rouge.png")
    indexed()
    assert names(store.withheld(0.5)) == ["rouge.png", "white.png"]


def test_the_log_only_grows(indexed, store):
    for withheld in (True, False, True):
        store.add_decisions([decide("x", "/a.jpg", withheld=withheld, reason="")])
    assert [each.withheld for each in store.decisions()] == [True, False, True]
    assert all(each.user and each.time for each in store.decisions())


def test_a_new_policy_judges_stored_embeddings_anew_and_opens_no_photo(indexed, store, encoder, tmp_path):
    white = next(photo for photo in store.photos() if photo.image_id.endswith("white.png"))
    by_hand = decision(white.content_hash, True, "2026-01-01")
    store.update([replace(white, verdict=overrule(white.verdict, by_hand))])
    for path in (tmp_path / "photos").iterdir():
        path.unlink()

    class Nobody:
        version = "rule-2"

        def judge_rows(self, embeddings, shipped_vectors):
            return [Verdict(False, 0.1, "", "rule-2", "p2") for _ in embeddings]

    assert judge_again(store, Nobody(), "p2", HandDecisions()) == 1
    verdicts = {Path(photo.image_id).name: photo.verdict for photo in store.photos()}
    assert (verdicts["red.png"].rule, verdicts["red.png"].policy) == ("rule-2", "p2")
    assert (verdicts["white.png"].withheld, verdicts["white.png"].rule) == (True, BY_HAND)
    assert judge_again(store, Nobody(), "p2", HandDecisions()) == 0


def test_which_photos_look_equal_is_seen_by_the_tower_that_ships_where_a_row_has_its_embedding():
    """A foreign encoder may have .95 and more for any two photos; the tower that ships has not."""
    wide, first, second = (np.array(row, dtype=np.float32) for row in ([0.6, 0.8], [1, 0], [0, 1]))
    by_hand = replace(decision("x", True, "2026-01-01"), embeddings={"theirs": packed(wide), "ships-1": packed(first)})
    decisions = HandDecisions([by_hand], "theirs")
    shown = Verdict(False, 0.1, "", "r", "p")
    assert decisions.apply("y", wide, shown, pack_shipped("ships-1", second)) == shown
    assert decisions.apply("y", second, shown, pack_shipped("ships-1", first)).near == "x"
    # a row without it, or with that of another release, is compared by the encoder itself
    assert decisions.apply("y", wide, shown).near == "x"
    assert decisions.apply("y", wide, shown, pack_shipped("ships-0", first)).near == "x"
    assert decisions.withheld_near(wide, "ships-1 no embedding") == by_hand
