from __future__ import annotations

import pytest

from index_store.training.data.short_queries import Phrase, all_wordings, joined, read_sayings, relevance, wordings


def phrases(*captions: str) -> dict[Phrase, int]:
    return dict(read_sayings([("a.jpg", captions)]).said[0])


def test_a_caption_says_things_what_they_are_like_and_what_they_do():
    said = phrases("A black dog is running on the beach .")
    assert said == {
        Phrase("thing", ("dog",)): 1,
        Phrase("thing", ("animal",)): 1,
        Phrase("thing", ("beach",)): 1,
        Phrase("described", ("black", "dog")): 1,
        Phrase("action", ("run",)): 1,
        Phrase("doing", ("dog", "run")): 1,
        Phrase("doing", ("animal", "run")): 1,
    }


@pytest.mark.parametrize(
    ("caption", "kind", "words"),
    [
        ("a man riding a bike", "acting_on", ("ride", "bike")),
        ("two tennis rackets on a table", "thing", ("tennis racket",)),
        ("a boat in the harbor", "placed", ("boat", "in", "harbor")),
        ("three kittens", "thing", ("cat",)),
        ("a bride and a groom", "thing", ("person",)),
    ],
)
def test_captions_say_phrases_of_every_kind(caption, kind, words):
    assert any(phrase.kind == kind and phrase.words[1:] == words[1:] for phrase in phrases(caption))
    if kind != "acting_on":  # the lemma of "riding" is the pipeline's affair
        assert Phrase(kind, words) in phrases(caption)


@pytest.mark.parametrize("caption", ["a picture of the background", "a couple of others", "it is there"])
def test_words_that_name_nothing_make_no_queries(caption):
    assert phrases(caption) == {}


def test_each_caption_counts_once_and_those_of_other_photos_not():
    said = read_sayings([("a.jpg", ["a dog and a dog", "a dog", "a cat"]), ("b.jpg", ["a cow"])])
    assert said.counts(Phrase("thing", ("dog",))) == [2, 0]
    assert said.counts(Phrase("thing", ("cow",))) == [0, 1]
    assert said.captions == [3, 1]
    assert said.common(1, 2) == [Phrase("thing", ("animal",)), Phrase("thing", ("dog",))]
    assert said.take([1]).images == ["b.jpg"]
    assert joined([said, said]).counts(Phrase("thing", ("dog",))) == [2, 0, 2, 0]


def test_what_people_leave_unsaid_counts_little_against_a_photo():
    assert relevance(0, 5) == 0.0
    assert relevance(1, 1) == 1.0
    assert relevance(1, 5) == pytest.approx(1 / 1.4)
    assert relevance(5, 5) == 1.0


def test_phrases_are_worded_as_people_type_them():
    said = read_sayings([("a.jpg", ["two red boxes", "an umbrella", "dogs running", "a man holding a cup"])])
    assert wordings(Phrase("thing", ("box",)), said) == ["box", "a box", "boxes"]
    assert wordings(Phrase("described", ("red", "box")), said) == ["red box", "a red box", "red boxes"]
    assert wordings(Phrase("thing", ("umbrella",)), said) == ["umbrella", "an umbrella"]
    assert wordings(Phrase("doing", ("dog", "run")), said) == ["dog running", "a dog running"]
    assert wordings(Phrase("acting_on", ("hold", "cup")), said) == ["holding cup", "holding a cup"]
    assert wordings(Phrase("placed", ("boat", "in", "harbor")), said) == ["boat in harbor", "a boat in the harbor"]
    assert wordings(Phrase("action", ("fly",)), said) == []
    assert all_wordings([Phrase("action", ("fly",))], said) == {}
