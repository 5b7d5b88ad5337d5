"""What captions may be learned from, and which of them say the same."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch", reason="training needs torch")

from index_store.compliance.policy import load_policy
from index_store.errors import PolicyError
from index_store.training.data.captions import CaptionedPhoto
from index_store.training.encoder import prepare_captions as dual_texts
from index_store.training.encoder.prepare_captions import (
    CaptionRules,
    caption_key,
    caption_rules,
    in_templates,
    is_class_set,
    prepared,
    without_names,
)

POLICY = load_policy()


def photo(name: str, *captions: str, source: str = "") -> CaptionedPhoto:
    return CaptionedPhoto(Path("data/images") / name, captions, source)


def test_withheld_captions_are_left_out_and_photos_that_two_of_five_call_a_child(tmp_path):
    photos = [
        photo("one.jpg", "a dog runs", "a man and his dog", "a dog in a field", "a toddler by a dog", "a dog"),
        photo("two.jpg", "a toddler runs", "a toddler on grass", "a person", "somebody runs", "a run"),
        photo("web.jpg", "a baby sleeps"),
        photo("free.jpg", "a lighthouse"),
    ]
    kept = prepared(photos, CaptionRules(POLICY), tmp_path)
    assert [(each.image, each.captions) for each in kept] == [
        ("one.jpg", ("a dog runs", "a man and his dog", "a dog in a field", "a dog")),
        ("free.jpg", ("a lighthouse",)),
    ]
    assert prepared(photos, CaptionRules(None), tmp_path) == photos


def test_photos_that_a_table_names_are_left_out_by_the_end_of_their_path():
    photos = [photo("one.jpg", "a swing"), photo("two.jpg", "a swing"), photo("xone.jpg", "a swing")]
    kept = prepared(photos, CaptionRules(left_out=frozenset({"images/one.jpg", "data/images/two.jpg"})), None)
    assert [each.image for each in kept] == ["xone.jpg"]


def test_names_of_persons_are_replaced_in_the_sources_that_say_so():
    captions = ("Barack Obama speaks to the press",)
    web, own = photo("a.jpg", *captions, source="web"), photo("b.jpg", *captions, source="own")
    kept = prepared([web, own], CaptionRules(nameless=frozenset({"web"})), None)
    assert [each.captions for each in kept] == [("a person speaks to the press",), captions]


def test_two_names_become_people_and_places_stay():
    texts = ["Angela Merkel and Barack Obama shake hands in Berlin", "a red car in London", "two dogs on the beach"]
    assert without_names(texts) == ["people shake hands in Berlin", texts[1], texts[2]]


def test_names_without_capitals_are_found_and_food_is_no_person():
    names = ["actress jia lin yue attends the ceremony", "the autumn poems, written by jane klassson"]
    things = ["garlic drying in the sun", "garlic in a bowl", "a bed with pillows", "tomato soup with croutons"]
    assert without_names([*names, *things]) == [
        "actress a person attends the ceremony",
        "the autumn poems, written by a person",
        *things,
    ]


def test_words_that_grow_by_a_capital_do_no_harm():
    assert without_names(["ßa ßb on a hill with a view"]) == ["ßa ßb on a hill with a view"]


def test_what_was_read_before_is_not_read_again(tmp_path, monkeypatch):
    photos, rules = (
        [photo("a.jpg", "Barack Obama speaks", source="web")],
        CaptionRules(POLICY, nameless=frozenset({"web"})),
    )
    first = prepared(photos, rules, tmp_path)
    monkeypatch.setattr(dual_texts, "without_names", None)
    monkeypatch.setattr(dual_texts, "TextRule", None)
    assert prepared(photos, rules, tmp_path) == first


def test_a_mandatory_policy_cannot_be_switched_off(tmp_path):
    source = (Path(dual_texts.__file__).parents[2] / "compliance" / "policy.toml").read_text(encoding="utf-8")
    (tmp_path / "policy.toml").write_text(source.replace("mandatory = false", "mandatory = true"), encoding="utf-8")
    assert caption_rules(None, no_policy=True).policy is None
    with pytest.raises(PolicyError, match="the policy is mandatory and cannot be switched off"):
        caption_rules(tmp_path / "policy.toml", no_policy=True)


@pytest.mark.parametrize(
    "same",
    [
        ("a bakery", "A photo of a bakery.", "the bakery", "bakery", "a picture of the bakery"),
        ("an X-ray machine", "x ray machine"),
        ("a", "A"),
    ],
)
def test_captions_that_say_the_same_share_a_key(same):
    assert len({caption_key(caption) for caption in same}) == 1


def test_captions_that_differ_in_a_word_do_not_share_a_key():
    captions = ("a bakery", "a bakery shop", "two bakeries", "a photo of a photo of a bakery shop window", "")
    assert len({caption_key(caption) for caption in captions}) == len(captions)


def test_names_of_classes_are_said_in_several_ways_and_sentences_are_not():
    classes = [photo(f"{number}.jpg", ("a bakery", "an airport")[number % 2]) for number in range(6)]
    sentences = [photo(f"{number}.jpg", f"{number} dogs") for number in range(6)]
    assert is_class_set(classes)
    assert not is_class_set(sentences)
    ways = ("an airport", "a photo of an airport", "a picture of an airport", "airport")
    assert in_templates(classes)[1].captions == ways
    assert len({caption_key(way) for way in ways}) == 1
