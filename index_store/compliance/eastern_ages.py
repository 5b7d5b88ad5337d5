"""Find ages in Chinese and Arabic: "十岁", "未满12岁", "عمرها تسع سنوات". Standard library only."""

from __future__ import annotations

import re
from collections.abc import Collection

_DIGITS = "零一二三四五六七八九"
_CHINESE_AGE = (
    r"(?P<n>\d{1,3}|[一二两兩三四五六七八九十百]{1,5})"
    r"(?:(?:几|幾|多|来)?(?P<years>周?[岁歲])|(?:个|個)?半?(?:月|周|星期|天)大)(?:半|多|大|左右)?的?(?P<after>.{0,4})"
)
_LESS = ("未满", "未滿", "不到", "不满", "不滿", "小于", "低于")
_ROUGHLY_LESS = 3
"""People under ten are taken to be seven, as the English "under-10s" are."""
_CHINESE_GRADE = r"(?P<n>[一二三四五六七八九1-9]) ?年[级級](?!别|別)|初[一二三](?:学生|學生|班)"

_ARABIC_NUMBERS = (
    *("واحد[ةه]?", "اثن(?:ان|ين|تان|تين|ا|ي|تا|تي)", "ثلاث[ةه]?", "[أا]ربع[ةه]?", "خمس[ةه]?", "ست[ةه]?", "سبع[ةه]?"),
    *("ثماني?[ةه]?", "تسع[ةه]?", "عشر[ةه]?"),
)
_ARABIC_PLACES = (
    *("(?:[أا]ول[ىي]|حادي[ةه]?)", "ثاني[ةه]?", "ثالث[ةه]?", "رابع[ةه]?", "خامس[ةه]?", "سادس[ةه]?", "سابع[ةه]?"),
    *("ثامن[ةه]?", "تاسع[ةه]?", "عاشر[ةه]?"),
)
_TEEN = r"(?P<teen> عشر[ةه]?)?"
_TENS = r"(?! و(?:عشر|ثلاث|[أا]ربع|خمس|ست|سبع|ثمان|تسع)(?:ون|ين))"
"""After "five" this makes "twenty-five" of it: "خمس وعشرون"."""
_YEARS = r"(?:سنوات|سنين|سن[ةه]|[أا]عوام|عام(?:ا|ًا|اً)?|ربيعا?)"
_COUNT = rf"(?P<n>\d{{1,2}}|{'|'.join(_ARABIC_NUMBERS)}){_TEEN}{_TENS}"
_ARABIC_AGES = (
    rf"\b(?:ب?عمر\w{{0,3}}|العمر|سن(?:ه|ها)?|الأعمار)(?: (?:حوالي|نحو|لا يتجاوز|أقل من|دون|من))? {_COUNT}\b",
    rf"\b(?:ابن|ابنة|ذو|ذات|ذي|ذوي|يبلغ|تبلغ|دون|تحت) (?:سن )?{_COUNT} {_YEARS}",
    r"\b(?:ب?عمر\w{0,3}|العمر) (?:سنة واحدة|سن(?:تان|تين)|عام(?:ان|ين)?|[أا]شهر|شهر\w*)\b",
    rf"\bال(?P<place>{'|'.join(_ARABIC_PLACES)}){_TEEN} من (?:ال)?عمر",
    rf"\b(?:سن|ب?عمر|عيد ميلاد\w{{0,3}}) ال(?P<place>{'|'.join(_ARABIC_PLACES)}){_TEEN}\b{_TENS}",
    rf"\b{_COUNT} {_YEARS} من العمر",
)
"""These are compiled when they are first asked; most texts need none."""


def find_eastern_age(written: str, read: str, things: Collection[str], limit: int) -> str | None:
    """Return the reason where a Chinese or Arabic text tells the age of a person under the limit, else None.

    `read` is what `plain` makes of the text; `things` are the nouns whose age is no person's.
    """
    found = _chinese_age(written, things, limit) or _arabic_age(read, things, limit)
    return None if found is None else f"{found!r}: an age under {limit}"


def _chinese_age(written: str, things: Collection[str], limit: int) -> str | None:
    for match in re.finditer(_CHINESE_AGE, written):
        near = written[max(match.start() - 4, 0) : match.start()] + " " + match["after"]
        years = _chinese_number(match["n"]) if match["years"] else 0
        if near.partition(" ")[0].endswith(_LESS) or "以下" in match["after"]:
            years -= _ROUGHLY_LESS
        if years < limit and not any(thing in near for thing in things):
            return match[0].removesuffix(match["after"])
    for match in re.finditer(_CHINESE_GRADE, written):
        if match["n"] is None or _chinese_number(match["n"]) + 5 < limit:
            return match[0]
    return None


def _chinese_number(text: str) -> int:
    """Return 10 for 十, 12 for 十二, 30 for 三十; a hundred and more is 100."""
    if text.isdigit() and text.isascii():
        return int(text)
    text = text.replace("两", "二").replace("兩", "二")
    if "百" in text:
        return 100
    tens, ten, ones = text.partition("十")
    if not ten:
        return int("".join(str(_DIGITS.index(each)) for each in text))
    return 10 * (_DIGITS.index(tens[-1]) if tens else 1) + (
        _DIGITS.index(ones[0]) if ones and ones[0] in _DIGITS else 0
    )


def _arabic_age(read: str, things: Collection[str], limit: int) -> str | None:
    for pattern in _ARABIC_AGES:
        for match in re.finditer(pattern, read):
            before, after = read[: match.start()].split()[-2:], read[match.end() :].split()[:2]
            if _arabic_number(match.groupdict()) < limit and _are_no_things(things, [*before, *after]):
                return match[0]
    return None


def _are_no_things(things: Collection[str], words: Collection[str]) -> bool:
    """Return whether none of the words is a thing, with or without the Arabic article."""
    return not any(word in things or word.removeprefix("ال") in things for word in words)


def _arabic_number(groups: dict[str, str | None]) -> int:
    ten = 10 if groups.get("teen") else 0
    for name, words in (("n", _ARABIC_NUMBERS), ("place", _ARABIC_PLACES)):
        found = groups.get(name)
        if found and found.isdigit():
            return int(found)
        if found:
            return ten + next(years for years, word in enumerate(words, start=1) if re.fullmatch(word, found))
    return 0
