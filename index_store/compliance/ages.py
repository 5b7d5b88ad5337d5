"""Find ages in a text: "7-year-old", "aged 12", "under-10s", "fifth birthday". Standard library only."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

_CARDINALS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen"
)
_ORDINALS = (
    "zeroth first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth "
    "fifteenth sixteenth seventeenth eighteenth nineteenth twentieth"
)
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_NUMBERS, _PLACES = _CARDINALS.split(), _ORDINALS.split()
_DECADES = {
    **{f"{number}s": number for number in range(20, 100, 10)},
    **{ten.removesuffix("y") + "ies": 10 * place for place, ten in enumerate(_TENS, start=2)},
}
# Longer words first, or "four" would be found in "fourteen".
_UNITS, _FULL_TENS = "|".join(reversed(_NUMBERS[1:])), "|".join(_TENS)
_NUMBER = rf"(?<![\d.,])(?P<number>\d{{1,3}}|(?:(?:{_FULL_TENS})[ -]?)?(?:{_UNITS})|{_FULL_TENS})"
_WORDS = frozenset([*_NUMBERS, *_TENS, *_PLACES])
_ANCHORS = ("year", "month", "week", "day", "old", "age", "under", "below", "younger", "turn", " of ")
"""One of these stands by every age whose number is spelled out, but for decades; a birthday has a day in it."""


@cache
def _patterns() -> tuple[list[re.Pattern[str]], list[re.Pattern[str]], re.Pattern[str], re.Pattern[str]]:
    """Return the patterns of exact ages, upper ages, birthdays, decades; compiling costs 10 ms, so only on a hint."""
    people = "(?:people|persons?|anyone|anybody|players?|everyone|fans|those)"
    exact = [
        rf"\b{_NUMBER}(?:\.5|½)?[ -]*(?:and a half[ -]*)?(?P<unit>year|month|week|day)s?[ -]+(?P<anchor>olds?)\b",
        rf"(?<!ice )\b(?P<anchor>aged?|ages)(?: of| between| from|:)? {_NUMBER}\b(?!(?:-| )(?:minutes|hours|century))",
        rf"\b{_NUMBER}[ -](?P<unit>year|month|week|day)s? of (?P<anchor>age)\b",
        rf"\b(?:boys?|girls?|men|man|women|woman|people|persons?|ladies|lady) (?P<anchor>of) {_NUMBER}\b",
        rf"\b(?P<anchor>turn(?:s|ed|ing)?) {_NUMBER}(?=[ ,.!]*$| years)",
    ]
    upper = [
        rf"\b(?:under|below)[ -]?{_NUMBER}'?s\b",
        rf"\bunder-{_NUMBER}\b",
        r"\bu-?(?P<number>[5-9]|1\d)s?\b(?!\.)",
        rf"\b(?:under|below|younger than) (?:the )?age of {_NUMBER}",
        rf"\b(?:under|younger than) {_NUMBER} years",
        rf"\b{people} (?:under|below|younger than) {_NUMBER}\b",
    ]
    ordinal = "|".join(_PLACES[1:])
    decade = (
        rf"\b(?P<anchor>in) (?:his|her|their|the|my|your) (?:early |mid |late |mid-)?(?P<decade>{'|'.join(_DECADES)})\b"
    )
    birthday = rf"\b(?:(?P<digits>\d{{1,3}})(?:st|nd|rd|th)|(?P<word>{ordinal}))[ -](?P<anchor>birthday)"
    return (
        [re.compile(each) for each in exact],
        [re.compile(each) for each in upper],
        re.compile(birthday),
        re.compile(decade),
    )


class Age(NamedTuple):
    """An age in a text: whole years, and the place of the word that ties it to its owner ("old", "aged")."""

    years: int
    start: int
    end: int
    anchor: int


def find_ages(text: str) -> list[Age]:
    """Return the ages that a plain text (lower case) speaks of, in order; "under-10s" count as 7."""
    if not _could_tell_an_age(text):
        return []
    return sorted(
        {*_exact_ages(text), *_upper_ages(text), *_birthdays(text), *_decades(text)},
        key=lambda age: (age.start, age.end),
    )


def _could_tell_an_age(text: str) -> bool:
    """Whether a text has what all ages have: most texts do not, and need no pattern compiled."""
    words = text.replace("-", " ").split()
    return (
        any(map(str.isdigit, text))
        or not _DECADES.keys().isdisjoint(words)
        or (not _WORDS.isdisjoint(words) and any(anchor in text for anchor in _ANCHORS))
    )


def _exact_ages(text: str) -> Iterator[Age]:
    for pattern in _patterns()[0]:
        for match in pattern.finditer(text):
            groups = match.groupdict()
            years = _value(groups["number"]) if (groups.get("unit") or "year") == "year" else 0
            yield Age(years, match.start(), match.end(), match.start("anchor"))


def _upper_ages(text: str) -> Iterator[Age]:
    for pattern in _patterns()[1]:
        for match in pattern.finditer(text):
            # Whoever is under 18 may well be 15: count from two years below the oldest.
            yield Age(max(0, _value(match["number"]) - 3), match.start(), match.end(), match.start())


def _birthdays(text: str) -> Iterator[Age]:
    for match in _patterns()[2].finditer(text):
        years = int(match["digits"]) if match["digits"] else _PLACES.index(match["word"])
        yield Age(years, match.start(), match.end(), match.start("anchor"))


def _decades(text: str) -> Iterator[Age]:
    for match in _patterns()[3].finditer(text):
        yield Age(_DECADES[match["decade"]], match.start(), match.end(), match.start("anchor"))


def _value(number: str) -> int:
    """Return 7 for "7", 14 for "fourteen", 32 for "thirty-two"."""
    if number.isdigit():
        return int(number)
    parts = re.split(r"[ -]", number)
    return sum(_NUMBERS.index(part) if part in _NUMBERS else 10 * (_TENS.index(part) + 2) for part in parts)
