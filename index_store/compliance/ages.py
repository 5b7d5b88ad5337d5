"""Find ages in a text: "7-year-old", "aged 12", "under-10s", "who is nine", "Wendy, 9", "Year 5 class".

Standard library only.
"""

from __future__ import annotations

import re
import time
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
_NUMBER = rf"(?<![\d.,$€£])(?P<number>\d{{1,3}}(?![\d%°])|(?:(?:{_FULL_TENS})[ -]?)?(?:{_UNITS})\b|(?:{_FULL_TENS})\b)"
_WORDS = frozenset([*_NUMBERS, *_TENS, *_PLACES])
_ANCHORS = (
    *(
        "year",
        "month",
        "week",
        "day",
        "old",
        "age",
        "under",
        "below",
        "young",
        "turn",
        "less than",
        "not yet",
        "not even",
    ),
    *("barely", "candle", "grade", "form", "male", " of ", ",", "(", "between", "up to", "at most", "before"),
)
"""One of these stands by every age whose number is spelled out, but for decades and what `_IS` ties to somebody."""

_IS = r"(?:'s|'m|'re| is| are| was| were| am| turns| turned| turning| just turned| has turned| looks| will be| must be)"
_HEDGES = (
    r"(?: (?:just|only|not|yet|barely|about|almost|nearly|now|maybe|perhaps|probably|around|turning|going on|even"
    r"|still))*"
)
_SOMEBODY = "(?:people|persons?|anyone|anybody|someone|somebody|players?|everyone|fans|those|nobody|no one|swimmers?)"
_WHOSE = r"(?:his|her|their|the|my|your|our|a)"
_END = (
    r"(?= *(?:$|[,.;:!?)]|(?:in(?! total| all| number)|on|at|with|and|or|who|that|is|are|was|were|by|near|from|beside|"
    r"under|behind|sits|stands|plays|blows|smiles|rides|runs|jumps|poses|holds|wears|(?!evening|morning|building|string|king|ring|"
    r"wing|thing|spring|ceiling|swing)[a-z]{2,}ing)\b))"
)
"""What may follow a bare number that is an age: an end, a link, or what somebody does, but no noun to count."""
_MEASURES = (
    r"\b(?:price[ds]?|cost(?:s|ing)?|dollars?|euros?|pounds|bucks|budget|cheap|degrees|celsius|fahrenheit|temperatures?|"
    r"weigh(?:s|t)?|speed|minutes|hours|seconds|par|size|handicap|score|items?|calories|zero|mph|km|miles|kg|gbp|usd)\b"
)
_SCHOOL = (
    "(?:class(?:es|room|mates?)?|pupils?|students?|photos?|pictures?|portrait|trip|play|assembly|group|concert|lesson|"
    "camp|teams?|choir|recital|graduation|learners?|boys|girls|maths?|reading|swimming|sports day|"
    "nativity|leavers?|outing|party)"
)


class Age(NamedTuple):
    """An age in a text: whole years, and the place of the word that ties it to its owner ("old", "aged").

    `named`: it stands behind a name, "Wendy, 9", and is an age only if that is one. `personal`: things have none of its
    kind, such as birthdays and school years.
    """

    years: int
    start: int
    end: int
    anchor: int
    named: bool = False
    personal: bool = False


@cache
def _patterns() -> tuple[list[re.Pattern[str]], list[re.Pattern[str]], list[re.Pattern[str]]]:
    """Return the patterns of exact ages, of upper ages, of ordinals; compiling costs 20 ms, so only on a hint."""
    exact = [
        rf"\b{_NUMBER}(?:\.5|½)?[ -]*(?:and a half[ -]*)?(?P<unit>year|month|week|day)s?[ -]+(?P<anchor>olds?|young)\b",
        rf"(?<!ice )\b(?P<anchor>aged?|ages)(?: of| between| from|:)?{_HEDGES} {_NUMBER}\b"
        r"(?!(?:-| )(?:minutes|hours|century))",
        rf"\b{_NUMBER}[ -](?P<unit>year|month|week|day)s? of (?P<anchor>age)\b",
        r"\b(?:boys?|girls?|men|man|women|woman|people|persons?|ladies|lady|somebody|someone|anyone) (?P<anchor>of) "
        rf"{_NUMBER}\b",
        rf"\b(?P<anchor>turn(?:s|ed|ing)?) {_NUMBER}(?:{_END}| years|(?= today| tomorrow| next| this))",
        rf"\b(?P<anchor>who|he|she|i|they|we){_IS}{_HEDGES} {_NUMBER}{_END}",
        rf"\b(?P<anchor>barely|not yet|not even|nearly|almost) {_NUMBER}(?= *$| years(?: of age)? *$)",
        rf"(?:^|[,;(] ?)(?:(?:only|just|barely|nearly|almost|about|at|maybe) )*{_NUMBER} (?P<anchor>years|yrs)"
        r"(?= *(?:$|[,;)]))",
        rf"\b(?:fe)?(?P<anchor>male),? {_NUMBER}{_END}",
        rf"\b{_NUMBER},? (?:fe)?(?P<anchor>male){_END}",
        rf"\b(?:blow\w*|birthday|cake)\b.{{0,40}}?\b{_NUMBER} (?P<anchor>candles)\b",
        rf"\b{_NUMBER} (?P<anchor>candles) (?:on|atop) (?:{_WHOSE} )?(?:birthday )?cake\b",
    ]
    upper = [
        rf"\b(?:under|below)[ -]?{_NUMBER}'?s\b",
        rf"\bunder-{_NUMBER}\b",
        r"\bu-?(?P<number>[5-9]|1\d)s?\b(?!\.)",
        rf"\b(?:under|below|younger than|before|less than) (?:the )?age of {_NUMBER}",
        rf"\b(?:under|younger than|less than|at most|up to|no more than) {_NUMBER} years(?= old| of age| *$|,)",
        rf"\b{_SOMEBODY}(?: (?:who|that) (?:is|are))? (?:under|below|younger than|less than|up to|not yet) "
        rf"{_NUMBER}{_END}",
        rf"\b(?:younger|(?:no|not|never) older) than {_NUMBER}{_END}",
        rf"\bbetween {_NUMBER} and \w+ (?:years|of age)\b",
    ]
    bare = rf"\b(?:under|below) {_NUMBER}{_END}"
    ordinal = "|".join(_PLACES[1:])
    placed = [
        rf"\b(?:(?P<digits>\d{{1,3}})(?:st|nd|rd|th)|(?P<word>{ordinal}))[ -](?P<anchor>birthday|bday|b-day)",
        rf"\bin (?:his|her|their|my) (?:(?P<digits>\d{{1,3}})(?:st|nd|rd|th)|(?P<word>{ordinal})) (?P<anchor>year)"
        r"(?! (?:as|of|at|in|with))",
    ]
    return (
        [re.compile(each) for each in exact],
        [re.compile(each) for each in (*upper, bare)],
        [re.compile(each) for each in placed],
    )


@cache
def _more_patterns() -> tuple[re.Pattern[str], ...]:
    """Return the patterns of decades, of names with an age, of school years, of births."""
    decade = (
        rf"\b(?P<anchor>in) (?:his|her|their|the|my|your) (?:early |mid |late |mid-)?(?P<decade>{'|'.join(_DECADES)})\b"
    )
    named = rf"\b(?P<anchor>[^\W\d]{{2,}}) ?(?:, ?|\( ?){_NUMBER}(?: years)?{_END}"
    school = (
        r"\b(?P<kind>year|yr|grade|form) ?(?P<number>\d{1,2}|"
        + "|".join(_NUMBERS[1:13])
        + rf")(?:'?s)?\b(?:(?: \w+)? {_SCHOOL}\b)"
    )
    pupil = r"\b(?:in|of) (?P<kind>year|grade) (?P<number>\d{1,2}|" + "|".join(_NUMBERS[1:13]) + rf")\b{_END}"
    born = (
        r"\bborn (?:\w+ ){0,3}?(?:(?P<year>20\d\d)\b|this (?:year|month|week|morning)|last (?:year|month|week)"
        r"|yesterday|today)"
    )
    return tuple(re.compile(each) for each in (decade, named, school, pupil, born))


def find_ages(text: str) -> list[Age]:
    """Return the ages that a plain text (lower case) speaks of, in order; "under-10s" count as 7."""
    if not _could_tell_an_age(text):
        return []
    found = {*_exact_ages(text), *_upper_ages(text), *_placed(text), *_decades(text), *_named(text), *_at_school(text)}
    return sorted({*found, *_births(text)}, key=lambda age: (age.start, age.end))


def _could_tell_an_age(text: str) -> bool:
    """Whether a text has what all ages have: most texts do not, and need no pattern compiled."""
    words = text.replace("-", " ").replace(",", " ").split()
    return (
        any(map(str.isdigit, text))
        or not _DECADES.keys().isdisjoint(words)
        or "born" in words
        or (
            any(word.removesuffix("s").removesuffix("'") in _WORDS or word in _WORDS for word in words)
            and (
                any(anchor in text for anchor in _ANCHORS)
                or re.search(rf"\b(?:who|he|she|i|they|we){_IS}", text) is not None
            )
        )
    )


def _exact_ages(text: str) -> Iterator[Age]:
    for pattern in _patterns()[0]:
        for match in pattern.finditer(text):
            groups = match.groupdict()
            years = _value(groups["number"]) if (groups.get("unit") or "year") == "year" else 0
            personal = match["anchor"] in ("candles", "he", "she", "i", "who")
            yield Age(years, match.start(), match.end(), match.start("anchor"), personal=personal)


def _upper_ages(text: str) -> Iterator[Age]:
    *patterns, bare = _patterns()[1]
    for pattern in patterns if re.search(_MEASURES, text) else (*patterns, bare):
        for match in pattern.finditer(text):
            yield Age(max(0, _value(match["number"]) - 3), match.start(), match.end(), match.start())


def _placed(text: str) -> Iterator[Age]:
    for pattern in _patterns()[2]:
        for match in pattern.finditer(text):
            years = int(match["digits"]) if match["digits"] else _PLACES.index(match["word"])
            yield Age(years, match.start(), match.end(), match.start("anchor"), personal=True)


def _decades(text: str) -> Iterator[Age]:
    for match in _more_patterns()[0].finditer(text):
        yield Age(_DECADES[match["decade"]], match.start(), match.end(), match.start("anchor"))


def _named(text: str) -> Iterator[Age]:
    for match in _more_patterns()[1].finditer(text):
        if match["number"] in ("one", "two"):
            continue  # "two women, one looking down"
        yield Age(_value(match["number"]), match.start(), match.end(), match.start("anchor"), named=True)


def _at_school(text: str) -> Iterator[Age]:
    """Yield the age of a school year: pupils of year 5 are nine or ten, of grade 5 ten or eleven."""
    for pattern in _more_patterns()[2:4]:
        for match in pattern.finditer(text):
            years = _value(match["number"]) + {"grade": 5, "form": 11}.get(match["kind"], 4)
            yield Age(years, match.start(), match.end(), match.start(), personal=True)


def _births(text: str) -> Iterator[Age]:
    for match in _more_patterns()[4].finditer(text):
        years = max(0, time.localtime().tm_year - int(match["year"])) if match["year"] else 0
        yield Age(years, match.start(), match.end(), match.start(), personal=True)


def _value(number: str) -> int:
    """Return 7 for "7", 14 for "fourteen", 32 for "thirty-two"."""
    if number.isdigit():
        return int(number)
    parts = re.split(r"[ -]", number)
    return sum(_NUMBERS.index(part) if part in _NUMBERS else 10 * (_TENS.index(part) + 2) for part in parts)
