"""Texts in plain form: look-alike letters, hyphens, misspellings."""

from __future__ import annotations

import itertools
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from index_store.compliance.normalising import MAX_CHARACTERS, normalise
from index_store.compliance.reading import join_hyphens, join_letters, plain, split_words
from index_store.compliance.spelling import Spelling, one_letter_apart


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("TWO Dogs", "two dogs"),
        ("ｃｈｉｌｄ", "child"),
        ("сhild", "child"),  # the first letter is Cyrillic
        ("chi\u200bld", "child"),
        ("chi\u00adld", "child"),
        ("chíld", "child"),
        ("child’s play", "child's play"),
        ("ребёнок", "ребенок"),
        ("йога", "йога"),
        ("7yo boy", "7 year old boy"),
        ("11 yr old", "11 year old"),
        ("a b testing", "a b testing"),
    ],
)
def test_plain(text, expected):
    assert plain(normalise(text).text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("c h i l d r e n play", "children play"),
        ("k.i.d.s", "kids"),
        ("a b o y swims", "a boy swims"),
        ("a b testing", "a b testing"),
        ("a b c", "a b c"),
    ],
)
def test_spaced_letters_are_joined(text, expected):
    assert join_letters(text, {"kids": 1, "boy": 1, "children": 1}) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a dog  on\ta\nbeach ", "a dog on a beach"),
        ("ki\x85ds", "kids"),
        ("ki\x7fds\x9f", "kids"),
        ("g\u0300irl", "girl"),
        ("ｇｉｒｌ", "girl"),
        ("𝐤𝐢𝐝𝐬", "kids"),
        ("ⓑⓞⓨ", "boy"),
        ("ɢɪʀʟ", "girl"),
        ("bаby", "baby"),  # the a is Cyrillic
        ("дeти", "дети"),  # the e is Latin, and no Latin word has a д
        ("ребёнок и мальчик", "ребёнок и мальчик"),
        ("niños", "niños"),
        ("Mädchen", "Mädchen"),
        ("女孩", "女孩"),
        ("बच्चे", "बच्चे"),
        ("k\u094dids", "kids"),
        ("α particle", "α particle"),
        ("\ud800dog", "dog"),
    ],
)
def test_a_text_is_normalised(text, expected):
    assert normalise(text).text == expected


@given(st.text(max_size=40))
def test_normalising_again_changes_nothing(text):
    once = normalise(text).text
    assert normalise(once).text == once


def test_a_long_text_is_cut_and_says_so():
    assert normalise("x" * MAX_CHARACTERS) == ("x" * MAX_CHARACTERS, False)
    assert normalise("x" * MAX_CHARACTERS + " girl") == ("x" * MAX_CHARACTERS, True)
    text, cut = normalise("\ufdfa" * 9_000)  # one letter that stands for eighteen
    assert cut
    assert len(text) <= MAX_CHARACTERS


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("girls+dancing", "girls dancing"),
        ("two kids!playing", "two kids! playing"),
        ("boy&dog", "boy and dog"),
        ("child_on_swing", "child on swing"),
        ("girl4life", "girl 4 life"),
        ("2girls", "2 girls"),
        ("-girl-", "girl"),
        ("kid-friendly", "kid-friendly"),
        ("the boys' bikes", "the boys' bikes"),
        ("girl'dancing", "girl dancing"),
        ("7-year-old", "7-year-old"),
        ("u12 team", "u12 team"),
        ("the 5th of 20s", "the 5th of 20s"),
    ],
)
def test_words_are_split_where_a_tokenizer_splits_them(text, expected):
    assert split_words(text) == expected


def test_hyphens_are_joined_where_the_word_is_listed():
    assert join_hyphens("a pre-teen on a half-pipe", {"preteen": 1}) == "a preteen on a half-pipe"


def brute_force(left: str, right: str) -> bool:
    letters = sorted(set(left + right))
    places = range(len(left) + 1)
    edits = {left[:i] + left[i + 1 :] for i in range(len(left))}
    edits |= {left[:i] + c + left[i:] for i, c in itertools.product(places, letters)}
    edits |= {left[:i] + c + left[i + 1 :] for i, c in itertools.product(range(len(left)), letters)}
    edits |= {left[:i] + left[i + 1] + left[i] + left[i + 2 :] for i in range(len(left) - 1)}
    return right in edits - {left}


@given(st.text("abc", max_size=6), st.text("abc", max_size=6))
def test_one_letter_apart_agrees_with_trying_every_edit(left, right):
    assert one_letter_apart(left, right) == brute_force(left, right)


def test_a_misspelling_is_found_but_a_real_word_is_none():
    spelling = Spelling(["child", "boy"], ["chili"])
    assert spelling.meant("chidl") == "child"
    assert spelling.meant("chili") is None
    assert spelling.meant("bou") is None  # words of fewer than five letters are not mended
    assert spelling.meant("house") is None


@pytest.mark.parametrize(
    "letters", ["x\u03c7\u05aa", "X\u0231\u0396\u06ed", "X\u03a7\u082d", "UP\u03a1\u08f3", "I\u03a7\u0fb3"]
)
def test_a_mark_on_a_letter_that_becomes_latin_is_dropped_at_once(letters):
    once = normalise(letters).text
    assert normalise(once).text == once
    assert not [letter for letter in once if unicodedata.category(letter)[0] == "M"]
