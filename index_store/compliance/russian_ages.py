"""Find ages in a Russian text: "ей 9", "лет пяти", "двухмесячный", "в пятом классе". Standard library only."""

from __future__ import annotations

import re
from functools import cache
from itertools import takewhile
from typing import TYPE_CHECKING

from index_store.compliance.reading import WORD

if TYPE_CHECKING:
    from index_store.compliance.policy import RussianWords

_TENS_TEXT = (
    "одно двух трех четырех пяти шести семи восьми девяти десяти одиннадцати двенадцати тринадцати четырнадцати "
    "пятнадцати"
)
_STEMS = {stem: years for years, stem in enumerate(_TENS_TEXT.split(), start=1)} | {"полутора": 1}
_COUNTS_TEXT = (
    "один два три четыре пять шесть семь восемь девять десять одиннадцать двенадцать тринадцать четырнадцать "
    "пятнадцать шестнадцать семнадцать восемнадцать девятнадцать двадцать тридцать сорок пятьдесят шестьдесят"
)
_COUNTS = _COUNTS_TEXT.split()
_PLACES_TEXT = (
    "перв втор трет четверт пят шест седьм восьм девят десят одиннадцат двенадцат тринадцат четырнадцат пятнадцат"
)
_PLACES = _PLACES_TEXT.split()
_SOMEBODY_TEXT = "он она ему ей его ее мне я им они кто кому возраст возрасте человек девушка девушки девушке девушку"
_SOMEBODY_TEXT += " девушкой парень парня парню юноша юноши юношу сестра сестре сестру брат брата брату"
_SOMEBODY = frozenset(_SOMEBODY_TEXT.split())
_BEFORE = frozenset(("на", "после", "около"))
"""Spans that stand before their number: "на 5 лет", but "пятилетка на велосипеде"."""


_STOPS = frozenset(["и", "с", "со", "на", "в", "у", "под", "за", "возле", "рядом"])
"""Where the search for an animal by an age ends: "девятилетний и две собаки"."""


def _longest_first(words: list[str]) -> str:
    return "|".join(sorted(words, key=len, reverse=True))


_N = rf"(?P<n>\d{{1,3}}|{_longest_first(_COUNTS)}|{_longest_first([*_STEMS])})"
_PLACE = rf"(?P<n>{_longest_first(_PLACES)})(?:ый|ий|ой|ого|ьего|ому|ьему|ым|ьим|ом|ьем|ая|ья|ую|ью|ей)"


def find_russian_age(read: str, russian: RussianWords, limit: int) -> str | None:
    """Return the reason where a Russian text, as `plain` reads it, tells the age of a person under the limit."""
    for pattern, offset in _patterns():
        for match in pattern.finditer(read):
            if _number(match.groupdict().get("n")) + offset >= limit:
                continue
            before, after = WORD.findall(read[: match.start()]), WORD.findall(read[match.end() :])
            noun = WORD.findall((match.groupdict().get("noun") or "").replace(",", " "))
            near = {*before[-1:], *noun, *after[:2]}
            if not russian.things.isdisjoint(near) or not russian.spans.isdisjoint(near - (_BEFORE & {*after})):
                continue
            animals = {*_until_stop(before[::-1][:2]), *noun, *_until_stop(after[:2])}
            if russian.animals.isdisjoint(animals) or not _SOMEBODY.isdisjoint({*before, *after}):
                return f"{match[0].strip()!r}: an age under {limit}"
    return None


def _until_stop(words: list[str]) -> list[str]:
    return list(takewhile(lambda word: word not in _STOPS, words))


@cache
def _patterns() -> list[tuple[re.Pattern[str], int]]:
    """Return patterns of ages, each with what is added to its number: "5 класс" is about 11."""
    somebody = "|".join(sorted(_SOMEBODY))
    hedges = r"(?: (?:уже|еще|всего|почти|только|скоро|исполнилось|исполнится|было|около|не|нет))*"
    end = r"(?= *(?:$|[,.;:!?)]|(?:на|в|с|и|у|за|под|играет|играют|сидит|стоит|катается|бежит|идет|ест|спит)\b))"
    stems = _longest_first([*_STEMS])
    return [
        (re.compile(rf"\b{_N}[ -]?(?:летн|летк|леток|годовал|годик)\w*"), 0),
        (re.compile(r"\b(?:полу)?годовал\w*"), 0),
        (re.compile(rf"\b(?:{stems})(?:месячн|недельн|дневн)\w+{end}"), 0),
        (re.compile(rf"\b{_N} (?:лет|года?)(?: и \w+ \w+)? от роду\b"), 0),
        (re.compile(r"\b(?:месяц|недел|ден|дн)\w* от роду\b"), 0),
        (re.compile(rf"\b(?:{somebody}){hedges} {_N}(?: (?:лет|год|года|месяц|месяца|месяцев))?{end}"), 0),
        (re.compile(rf"(?:^|[,(] ?|возраст[ае]?:? |лет )(?:всего |около )?{_N} ?(?:лет|год|года|годик\w*){end}"), 0),
        (re.compile(rf"(?<![а-я])(?P<noun>(?:[а-я]{{1,30}} )?[а-я]{{1,30}}),? {_N} (?:лет|года?){end}"), 0),
        (re.compile(rf"\bвозраст[ае]?: ?{_N}{end}"), 0),
        (re.compile(rf"\b(?:лет|годик\w*)(?: около)? {_N}(?: на вид)?{end}"), 0),
        (re.compile(rf"\b(?:исполнилось|исполнится|исполняется|стукнуло){hedges} {_N}{end}"), 0),
        (
            re.compile(
                rf"\b(?:младше|моложе|не старше|до|менее|не достигш\w+) {_N}(?: (?:лет|года))?(?= *(?:$|[,.])|.*\bлет)"
            ),
            -1,
        ),
        (re.compile(rf"^[а-я]+, ?{_N}{end}"), 0),
        (re.compile(rf"\b(?:в|во|из|учени\w+) {_N}(?:[- ]?(?:й|м|го|ом))? класс[еа]?\b"), 6),
        (re.compile(rf"\b{_N} ?[«\"' ]? ?[а-е][»\"' ]? ?класс\w{{0,2}}{end}"), 6),
        (re.compile(rf"\b(?:в|во|из|учени\w+) {_PLACE} класс\w{{0,2}}{end}"), 6),
        (re.compile(rf"\b(?!перв){_PLACE} класс\w{{0,2}}{end}"), 6),  # the first class may be one of a train
        (re.compile(rf"\b{_PLACE} д(?:ень|ня|ню|нем) рождения\b(?! (?:фирмы|компании|клуба|магазина|города))"), 0),
        (re.compile(rf"\bрождения\b.{{0,40}}?\b{_N} свеч\w*"), 0),
    ]


def _number(number: str | None) -> int:
    """Return 7 for "7", "семь", "семи" and "седьм", 0 for none."""
    if number is None:
        return 0
    if number.isdigit():
        return int(number)
    if number in _PLACES:
        return _PLACES.index(number) + 1
    years = _STEMS.get(number)
    return _COUNTS.index(number) + 1 if years is None else years  # thirty and more come out as 21 to 24, old enough too
