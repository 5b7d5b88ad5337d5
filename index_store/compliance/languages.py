"""Find plain words for child, and ages, in other languages than English. Standard library only."""

from __future__ import annotations

import re
from functools import cached_property
from typing import TYPE_CHECKING

from index_store.compliance.latin_ages import find_latin_age
from index_store.compliance.negated import Negated
from index_store.compliance.reading import WORD, join_letters, plain, split_words
from index_store.compliance.russian_ages import find_russian_age
from index_store.compliance.spelling import Spelling

if TYPE_CHECKING:
    from index_store.compliance.policy import Policy, RussianWords


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
        self._negated = Negated(policy)
        self._things_listed = frozenset(thing for each in policy.languages for thing in each.things)

    def without_harmless(self, written: str) -> str:
        """Return a normalised text without what names a child and shows none: "carrinho de bebê", "ohne Kinder"."""
        lower = written.lower()
        if any(phrase.lower() in lower for phrase in self._harmless):
            written = re.sub(self._harmless_pattern, " ", written, flags=re.IGNORECASE)
        return self._negated.without(written)

    def for_look(self, written: str) -> str:
        """Return what the look at the embedding is to see of a text without harmless phrases.

        Russian words that are near to a child's and mean none ("девушка", "пальчик"), and the young of animals
        ("малыш слона"), are left out, because the look knows no excuses.
        """
        words = list(re.finditer(r"[^\W\d_]+", written))
        read = [plain(word[0]) for word in words]
        russian = self._russian
        for place in range(len(words) - 1, -1, -1):
            if read[place].isascii():
                continue
            young = read[place + 1 : place + 2] and read[place + 1] in russian.animals and read[place] in russian.forms
            if read[place] in russian.harmless or young:
                start, end = words[place].span()
                written = f"{written[:start]} {written[end:]}"
        return " ".join(written.split())

    def child_word(self, written: str, read: str, whole: str) -> str | None:
        """Return the reason for withholding where a text has such a word, else None.

        `written` is the normalised text without harmless phrases, `read` what `plain` makes of it, and `whole` of the
        text with them, because the age of a puppy is no person's.
        """
        words = WORD.findall(read.replace("'", " "))
        aged = split_words(join_letters(whole, {}))
        found = self._foreign_word(set(words), read) or self._capital_word(written, set(words))
        if found is None and not written.isascii():
            found = self._accented_word(written.lower()) or self._part(written.lower(), read)
            found = found or self._russian_word(words) or find_russian_age(aged, self._russian, self._limit)
            if found is None:
                from index_store.compliance.eastern_ages import find_eastern_age

                found = find_eastern_age(written, aged, self._things, self._limit)
        return found or find_latin_age(aged, self._things, self._limit)

    @cached_property
    def _things(self) -> frozenset[str]:
        return frozenset(map(plain, self._things_listed))

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
            after = words[place + 1] if place + 1 < len(words) else ""
            if after not in russian.animals:
                return f"{word!r}: Russian for a child"
        return None

    def _is_russian_child(self, word: str) -> bool:
        russian = self._russian
        if word in russian.forms:
            return True
        if self._russian_spelling is None:
            self._russian_spelling = Spelling(russian.forms, russian.harmless, shortest=7)
        return self._russian_spelling.meant(word) is not None or self._russian_spelling.drawn_out(word) is not None


def _is_spaced(phrase: str) -> bool:
    """Return whether a phrase is in letters of a language that puts spaces between words."""
    return " " in phrase or phrase < "\u0e00"
