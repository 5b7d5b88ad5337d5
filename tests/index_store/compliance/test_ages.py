"""Ages in texts."""

from __future__ import annotations

import pytest

from index_store.compliance.ages import find_ages

AGES = {
    0: "a 3-month-old | born last week",
    3: "ages 3 to 5",
    5: "his fifth birthday",
    6: "blowing out six candles",
    7: "a 7 year old | a 7-year-old girl | under-10s football",
    8: "grade 3 pupils",
    9: "u12 team | she's nine | wendy, 9 | wendy (9) at the zoo | year 5 class | younger than twelve",
    11: "eleven years",
    12: "aged 12 | 12 years of age | female, 12",
    13: "anyone under 16 | under sixteen | someone who is 13 | nobody under sixteen",
    14: "fourteen-year-old",
    19: "boy of 19 years",
    20: "a woman in her twenties",
    21: "twenty-one-year-old | her 21st birthday",
    30: "thirty year old",
    None: (
        "a 2,000 year old tree | a 2000 year old tree | ice age 3 | u2 concert | under 12 feet of snow | two "
        "dogs | eleven years ago | after eleven years | year 2000 party | grade 8 bolt | under two umbrellas "
        "| a price under 15 | three candles on a table | she is one of the best | two women, one looking down "
        "| a song under 5 minutes"
    ),
}
"""Texts, separated by bars, in which this one age is seen, or none."""


@pytest.mark.parametrize(
    ("text", "years"), [(text, years) for years, texts in AGES.items() for text in texts.split(" | ")]
)
def test_find_ages(text, years):
    assert {age.years for age in find_ages(text)} == ({years} if years is not None else set())


def test_the_anchor_is_the_word_that_ties_the_age_to_its_owner():
    text = "a 12 year old dog"
    assert text[find_ages(text)[0].anchor :].startswith("old dog")
