"""The rule for texts, on labelled phrases and on captions read by a person."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import pytest

from index_store.compliance.policy import load_policy
from index_store.compliance.texts import TextRule

TABLES = Path(__file__).parents[2] / "data"
KNOWN_MISTAKES = {"a kid standing beside its mother goat", "bear with two babies crossing a road"}
"""Harmless phrases that the rule withholds: a change that mends one takes it out of here."""


@dataclass(frozen=True)
class Phrase:
    text: str
    withheld: bool
    hard: bool
    reason: str


def read_phrases() -> list[Phrase]:
    with (TABLES / "phrases.tsv").open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        return [Phrase(row["text"], row["withheld"] == "1", row["hard"] == "1", row["reason"]) for row in rows]


PHRASES = read_phrases()


@pytest.fixture(scope="module")
def rule() -> TextRule:
    return TextRule(load_policy())


@pytest.fixture(scope="module")
def captions(data) -> dict[str, str]:
    with (data / "flickr8k_pretrain" / "captions.tsv").open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        return {row["caption_id"]: row["caption"] for row in rows}


def test_there_are_enough_phrases_and_a_third_of_them_is_hard():
    assert len({phrase.text for phrase in PHRASES}) == len(PHRASES) >= 250
    assert sum(phrase.hard for phrase in PHRASES) >= len(PHRASES) / 3
    assert all(phrase.reason for phrase in PHRASES)


def test_phrases_are_withheld_as_they_are_labelled(rule):
    wrong = {phrase.text: phrase.reason for phrase in PHRASES if rule.check(phrase.text).withheld != phrase.withheld}
    assert set(wrong) == KNOWN_MISTAKES, wrong


def test_recall_and_precision_on_the_phrases(rule):
    withheld = {phrase.text for phrase in PHRASES if rule.check(phrase.text).withheld}
    wanted = {phrase.text for phrase in PHRASES if phrase.withheld}
    assert len(withheld & wanted) / len(wanted) >= 0.99
    assert len(withheld & wanted) / len(withheld) >= 0.97


def test_the_short_way_agrees_with_spacy_on_the_phrases(rule):
    texts = [phrase.text for phrase in PHRASES]
    assert [t for t in texts if rule.check(t).withheld != rule.check_by_grammar(t).withheld] == []


@pytest.mark.slow
@pytest.mark.needs_data
def test_the_short_way_agrees_with_spacy_on_thousands_of_captions(rule, captions):
    texts = sorted(set(captions.values()))[::7]
    assert len(texts) > 4000
    clean = [text for text in texts if not rule.check(text).grammar]
    assert len(clean) > 2500
    assert [text for text in clean if rule.check_by_grammar(text).withheld] == []


@pytest.mark.needs_data
def test_the_rule_agrees_with_a_reader_on_300_captions(rule, captions):
    with (TABLES / "caption_labels.tsv").open(encoding="utf-8", newline="") as file:
        labels = {row["caption_id"]: row["withheld"] == "1" for row in csv.DictReader(file, delimiter="\t")}
    agreed = sum(rule.check(captions[caption_id]).withheld == label for caption_id, label in labels.items())
    assert len(labels) == 300
    assert agreed / len(labels) >= 0.99


@pytest.mark.parametrize(
    "text",
    [
        *(
            "girls+dancing",
            "two kids!playing",
            "boy&dog",
            "child_on_swing",
            "girl4life",
            "-girl-",
            "2girls",
            "girl'dancing",
        ),
        *(
            "babyyyyy",
            "kidz",
            "k1ds",
            "b0ys",
            "b@by",
            "kid$",
            "gιrl",
            "ɡirl",
            "βογ on a bike",
            "g i r l",
            "a b.o.y swims",
        ),
        *("girlsdancing", "littlegirl on a swing", "ki\u0085ds", "g\u0300irl with dog", "k\u0301i\u0301d\u0301s"),
        *(
            "someone who is 13",
            "Wendy, 9",
            "Tom (6) on a pony",
            "female, 12",
            "Year 5 class",
            "her fourth birthday",
            "born in 2020",
        ),
        *(
            "firstborn",
            "our offspring at the lake",
            "tiny humans",
            "first steps",
            "a babe in arms",
            "minor crossing the street",
        ),
    ],
)
def test_what_walked_past_the_rule_is_withheld(rule, text):
    assert rule.check(text).withheld, text


@pytest.mark.parametrize(
    "text",
    [
        *("a ball boy's machine", "a tomboy's haircut", "a tot of rum", "a famous painting", "the blue boy painting"),
        *(
            "kidney beans",
            "a boycott banner",
            "ladle",
            "Jason Kidd",
            "u2 concert",
            "room 12",
            "grade 8 bolt",
            "year 2000 party",
        ),
        *("under two umbrellas", "a price under 15", "page 9", "man, 45", "rottweiler, 3", "a dog's fourth birthday"),
        *(
            "a minor swelling in the arm",
            "a dog breastfeeding",
            "an offspring of a lion",
            "10,000 metres",
            "smørbrød",
            "5½ eggs",
        ),
    ],
)
def test_what_only_sounds_alike_is_clean(rule, text):
    assert not rule.check(text).withheld, rule.check(text).reason


def test_a_verdict_says_what_was_seen_and_why(rule):
    assert rule.check("two boys with water guns").reason == "'boys': a child"
    assert rule.check("baby elephant").reason == "'baby': describes 'elephant', an animal"
    assert rule.check("dog on beach").reason == "no word speaks of a child"
    assert rule.check("👶").reason == "👶 shows a child"


@pytest.mark.parametrize("text", ["", " ", "\n", "?!", "1234", "a" * 10_000, "dog " * 2500, "\ud800", "baby " * 2000])
def test_odd_texts_are_judged_without_an_error(rule, text):
    assert isinstance(rule.check(text).withheld, bool)
