"""Find plain words for child in other languages than English. Standard library only."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

from index_store.compliance.reading import WORD, plain
from index_store.compliance.spelling import Spelling

if TYPE_CHECKING:
    from index_store.compliance.policy import Policy, RussianWords


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
_N = (
    r"(?P<n>\d{1,3}|"
    + "|".join(sorted(_COUNTS, key=len, reverse=True))
    + r"|"
    + "|".join(sorted(_STEMS, key=len, reverse=True))
    + ")"
)


class Languages:
    """The words for a child in the languages that a policy lists, each with its own way of being told apart."""

    def __init__(self, policy: Policy) -> None:
        self._limit = policy.age_limit
        self._russian: RussianWords = policy.russian
        self._russian_spelling: Spelling | None = None
        self._languages = {each.language: each for each in policy.languages}
        self._written: dict[str, str] = {}
        self._read: dict[str, list[str]] = {}
        self._phrases: list[tuple[str, str]] = []
        for each in policy.languages:
            for word in each.words:
                read = word if word.isascii() else policy.unaccented.get(word) or plain(word)
                if " " in word or "-" in word:
                    self._phrases.append((read, each.language))
                else:
                    self._written[word] = each.language
                    if word[0].isupper():
                        continue
                    self._read.setdefault(read, []).append(each.language)
        self._capitals = {word for word in self._written if word[0].isupper()}
        self._parts = [(part, each.language) for each in policy.languages for part in each.parts]
        self._harmless = [phrase for each in policy.languages for phrase in each.harmless]
        spaced = [rf"(?<!\w){re.escape(phrase)}(?!\w)" for phrase in self._harmless if _is_spaced(phrase)]
        joined = [re.escape(phrase) for phrase in self._harmless if not _is_spaced(phrase)]
        self._harmless_pattern = "|".join((*spaced, *joined))

    def without_harmless(self, written: str) -> str:
        """Return a normalised text without the phrases that name a child and show none: "carrinho de bebê"."""
        lower = written.lower()
        if not any(phrase.lower() in lower for phrase in self._harmless):
            return written
        return re.sub(self._harmless_pattern, " ", written, flags=re.IGNORECASE)

    def child_word(self, written: str, read: str) -> str | None:
        """Return the reason for withholding where a text has such a word, else None.

        `written` is the normalised text, `read` what `plain` makes of it.
        """
        words = WORD.findall(read.replace("'", " "))
        found = self._foreign_word(set(words), read) or self._capital_word(written, set(words))
        if found is None and not written.isascii():
            found = self._accented_word(written.lower()) or self._part(written.lower(), read)
            found = found or self._russian_word(words) or self._russian_age(read, words)
        return found

    def _foreign_word(self, present: set[str], read: str) -> str | None:
        for word in present & self._read.keys():
            for language in self._read[word]:
                known = self._languages[language]
                if word not in known.shared or not known.markers.isdisjoint(present):
                    return f"{word!r}: {language} for a child"
        for phrase, language in self._phrases:
            if phrase in read and re.search(rf"(?<!\w){re.escape(phrase)}(?!\w)", read):
                return f"{phrase!r}: {language} for a child"
        return None

    def _capital_word(self, written: str, present: set[str]) -> str | None:
        """Find the German "Junge", which in small letters means young."""
        for word in self._capitals & set(WORD.findall(written)):
            language = self._written[word]
            if not self._languages[language].markers.isdisjoint(present):
                return f"{word!r}: {language} for a child"
        return None

    def _accented_word(self, written: str) -> str | None:
        """Find "niña" and "bébé", which without their accents may be names or English words."""
        words = (word for word in WORD.findall(written.replace("'", " ")) if not word.isascii())
        return next((f"{word!r}: {self._written[word]} for a child" for word in words if word in self._written), None)

    def _part(self, written: str, read: str) -> str | None:
        """Find words of languages that put no space between words, or join them with endings."""
        return next(
            (f"{part!r}: {language} for a child" for part, language in self._parts if part in written or part in read),
            None,
        )

    def _russian_word(self, words: list[str]) -> str | None:
        russian = self._russian
        for place, word in enumerate(words):
            if word.isascii() or not self._is_russian_child(word):
                continue
            before = words[place - 1] if place else ""
            after = words[place + 1] if place + 1 < len(words) else ""
            if before not in russian.negations and after not in russian.animals:
                return f"{word!r}: Russian for a child"
        return None

    def _is_russian_child(self, word: str) -> bool:
        russian = self._russian
        if word in russian.forms:
            return True
        if self._russian_spelling is None:
            self._russian_spelling = Spelling(russian.forms, russian.harmless, shortest=7)
        return self._russian_spelling.meant(word) is not None or self._russian_spelling.drawn_out(word) is not None

    def _russian_age(self, read: str, words: list[str]) -> str | None:
        """Return the reason where a Russian text tells the age of a person under the limit."""
        russian = self._russian
        if not russian.animals.isdisjoint(words) and not any(word in _SOMEBODY for word in words):
            return None  # "пятилетняя собака"
        for pattern, offset in _russian_ages():
            for match in pattern.finditer(read):
                if _russian_number(match["n"]) + offset >= self._limit:
                    continue
                around = [*WORD.findall(read[: match.start()])[-1:], *WORD.findall(read[match.end() :])[:2]]
                if russian.things.isdisjoint(around) and russian.spans.isdisjoint(around):
                    return f"{match[0].strip()!r}: an age under {self._limit}"
        return None


def _is_spaced(phrase: str) -> bool:
    """Tell whether a phrase is in letters of a language that puts spaces between words."""
    return " " in phrase or phrase < "\u0e00"


_SOMEBODY_TEXT = "он она ему ей его ее мне я им они кто кому возраст возрасте человек"
_SOMEBODY = frozenset(_SOMEBODY_TEXT.split())


@cache
def _russian_ages() -> list[tuple[re.Pattern[str], int]]:
    """Return patterns of ages, each with what is added to its number: "5 класс" is about 11."""
    somebody = "|".join(sorted(_SOMEBODY))
    hedges = r"(?: (?:уже|еще|всего|почти|только|скоро|исполнилось|исполнится|было|около|не|нет))*"
    end = r"(?= *(?:$|[,.;:!?)]|(?:на|в|с|и|у|за|под|играет|играют|сидит|стоит|катается|бежит|идет|ест|спит)\b))"
    return [
        (re.compile(rf"\b{_N}[ -]?(?:летн|летк|леток|годовал|годик)\w*"), 0),
        (re.compile(rf"\b(?:{somebody}){hedges} {_N}(?: (?:лет|год|года|месяц|месяца|месяцев))?{end}"), 0),
        (re.compile(rf"(?:^|[,(] ?|возраст[ае]? |лет )(?:всего |около )?{_N} ?(?:лет|год|года|годик\w*){end}"), 0),
        (
            re.compile(
                rf"\b(?:младше|моложе|не старше|до|менее|не достигш\w+) {_N}(?: (?:лет|года))?(?= *(?:$|[,.])|.*\bлет)"
            ),
            -1,
        ),
        (re.compile(rf"^[а-я]+, ?{_N}{end}"), 0),
        (re.compile(rf"\b(?:в|во|из|учени\w+) {_N}(?:[- ]?(?:й|м|го|ом))? класс[еа]?\b"), 6),
    ]


def _russian_number(number: str) -> int:
    if number.isdigit():
        return int(number)
    years = _STEMS.get(number)
    return _COUNTS.index(number) + 1 if years is None else years  # thirty and more come out as 21 to 24, old enough too
