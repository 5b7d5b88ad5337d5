"""What a word for a child means where it stands: a measure, a title, a key of music, an eye, or a child after all."""

from __future__ import annotations

import pytest

from index_store.compliance.policy import load_policy
from index_store.compliance.texts import TextRule


@pytest.fixture(scope="module")
def rule() -> TextRule:
    return TextRule(load_policy())


@pytest.mark.parametrize(
    "text",
    [
        "a tot of rum",
        "tots of whisky on a tray",
        "a generous tot of scotch",
        "two tots of navy rum",
        "a ball boy's machine",
        "ball boy machine",
        "a tomboy's haircut",
        "a pixie tomboy cut on a woman",
        "a page boy haircut",
        "a choirboy's robe on a hook",
        "girl reading a letter at an open window by vermeer",
        "gainsborough's blue boy",
        "boy bitten by a lizard",
        "velazquez las meninas",
        "girl with a pearl earring",
        "nocturne in c sharp minor",
        "sonata in a minor",
        "first steps on the moon",
        "first steps in programming",
        "pupils of a cat",
        "a juvenile kingfisher",
        "newborn okapi at the zoo",
        "minor building damage",
        "minor parking offence",
        "a teen movie poster",
        "son et lumiere show",
        "smith and son bakery",
    ],
)
def test_no_child_is_meant(rule, text):
    assert not rule.check(text).withheld, rule.check(text).reason


@pytest.mark.parametrize(
    "text",
    [
        "a tot of two on a swing",
        "a tot of the family",
        "a tot with a glass of rum",
        "tomboy climbing a tree",
        "ball boy on the court",
        "a boy in a robe",
        "girl with a pearl",
        "girl on beach by vermeer",
        "boy by picasso",
        "minor in d",
        "her first steps",
        "his first steps in the garden",
        "babe in arms",
        "a baby in a high chair",
        "eating peas in her high chair",
        "a brownie pack meeting",
        "pupils of a dog school",
        "a minor",
        "a minor at a bar",
        "a minor buying cigarettes",
        "a minor drinking beer",
        "minors drinking wine",
        "teens watching a movie",
        "smith and his son in a bakery",
    ],
)
def test_a_child_is_meant(rule, text):
    assert rule.check(text).withheld, text
