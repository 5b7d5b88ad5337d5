"""Ages in texts."""

from __future__ import annotations

import pytest

from index_store.compliance.ages import find_ages


@pytest.mark.parametrize(
    ("text", "years"),
    [
        ("a 7 year old", [7]),
        ("a 7-year-old girl", [7]),
        ("fourteen-year-old", [14]),
        ("twenty-one-year-old", [21]),
        ("thirty year old", [30]),
        ("a 2,000 year old tree", []),
        ("a 2000 year old tree", []),
        ("a 3-month-old", [0]),
        ("aged 12", [12]),
        ("ages 3 to 5", [3]),
        ("ice age 3", []),
        ("12 years of age", [12]),
        ("boy of 19 years", [19]),
        ("his fifth birthday", [5]),
        ("her 21st birthday", [21]),
        ("a woman in her twenties", [20]),
        ("under-10s football", [7]),
        ("u12 team", [9]),
        ("u2 concert", []),
        ("anyone under 16", [13]),
        ("under 12 feet of snow", []),
        ("two dogs", []),
        ("under sixteen", [13]),
        ("someone who is 13", [13]),
        ("she's nine", [9]),
        ("eleven years", [11]),
        ("eleven years ago", []),
        ("after eleven years", []),
        ("wendy, 9", [9]),
        ("wendy (9) at the zoo", [9]),
        ("female, 12", [12]),
        ("year 5 class", [9]),
        ("grade 3 pupils", [8]),
        ("year 2000 party", []),
        ("grade 8 bolt", []),
        ("younger than twelve", [9]),
        ("nobody under sixteen", [13]),
        ("under two umbrellas", []),
        ("a price under 15", []),
        ("blowing out six candles", [6]),
        ("three candles on a table", []),
        ("born last week", [0]),
        ("she is one of the best", []),
        ("two women, one looking down", []),
        ("a song under 5 minutes", []),
    ],
)
def test_find_ages(text, years):
    assert sorted({age.years for age in find_ages(text)}) == years


def test_the_anchor_is_the_word_that_ties_the_age_to_its_owner():
    text = "a 12 year old dog"
    assert text[find_ages(text)[0].anchor :].startswith("old dog")
