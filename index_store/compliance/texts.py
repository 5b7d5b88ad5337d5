"""Judge whether a text speaks of a person under the age limit: the short way, standard library only.

Most queries hold no word that could concern a child; they are clean after a look at the list of forms made ahead. The
others are read in context by spaCy (`lemmas.py`), which is imported only then.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from index_store.compliance.ages import find_ages
from index_store.compliance.normalising import WORD, Spelling, join_hyphens, plain

if TYPE_CHECKING:
    from index_store.compliance.lemmas import Grammar
    from index_store.compliance.policy import Policy

NOTHING_SEEN = "no word speaks of a child"
MASK = "object"
"""What a harmless phrase is replaced by, a noun so that the grammar of the text stays."""


class TextVerdict(NamedTuple):
    """What the rule decided about a text, and why; `grammar` tells that spaCy was asked."""

    withheld: bool
    reason: str
    grammar: bool = False


class TextRule:
    """Judge texts by a policy: the short way first, the long way (spaCy) only where a word gives cause."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.senses = {
            form: group.sense for group in policy.words for lemma in group.lemmas for form in self.forms(lemma)
        }
        self.phrases = (*policy.withheld_phrases, *policy.schools.names)
        self.pairs = [
            (
                pair,
                [form for each in pair.first for form in self.forms(each)],
                frozenset(form for each in pair.second for form in self.forms(each)),
            )
            for pair in policy.pairs
        ]
        self._spelling: Spelling | None = None
        self._russian_spelling: Spelling | None = None
        self._grammar: Grammar | None = None

    def forms(self, lemma: str) -> Sequence[str]:
        """Return a lemma's forms: made ahead with spaCy, or the regular plural for words that are new to a policy."""
        known = self.policy.forms.get(lemma)
        return (lemma, *regular_plural(lemma)) if known is None else known

    def check(self, text: str) -> TextVerdict:
        """Return the verdict; costs well under a millisecond unless a word of the text could concern a child."""
        verdict, prepared = self._look(text)
        if verdict is not None:
            return verdict
        if not self._could_concern_a_child(prepared):
            return TextVerdict(False, NOTHING_SEEN)
        return self._read(prepared)

    def check_by_grammar(self, text: str) -> TextVerdict:
        """Return the verdict of the long way alone; training labels and the tests of the short way use it."""
        verdict, prepared = self._look(text)
        return self._read(prepared) if verdict is None else verdict

    def _read(self, prepared: str) -> TextVerdict:
        if self._grammar is None:
            from index_store.compliance.lemmas import Grammar

            self._grammar = Grammar(self)
        return self._grammar.judge(prepared)

    def _look(self, text: str) -> tuple[TextVerdict | None, str]:
        """Return a verdict where no grammar is needed for one (emoji, Russian), and the text prepared for reading."""
        for sign in self.policy.emoji:
            if sign in text:
                return TextVerdict(True, f"{sign} shows a child"), text
        prepared = self._corrected(self._masked(join_hyphens(plain(text), self.senses)))
        return None if prepared.isascii() else self._russian(prepared), prepared

    def _masked(self, text: str) -> str:
        for phrase in self.policy.harmless_phrases:
            if phrase in text:
                text = re.sub(rf"(?<!\w){re.escape(phrase)}(?!\w|'\w)", MASK, text)
        return text

    def _corrected(self, text: str) -> str:
        """Return the text with misspelled listed words mended."""

        def mended(match: re.Match[str]) -> str:
            word = match.group()
            stem, apostrophe, ending = word.partition("'")
            if not stem.isascii() or stem in self.senses:
                return word
            if self._spelling is None:
                self._spelling = Spelling(self.senses, self.policy.real_words)
            return (self._spelling.meant(stem) or stem) + apostrophe + ending

        return WORD.sub(mended, text)

    def _could_concern_a_child(self, text: str) -> bool:
        words = [part for word in WORD.findall(text) for part in (word, word.partition("'")[0])]
        present = set(words)
        return (
            not present.isdisjoint(self.senses)
            or any(
                not present.isdisjoint(seconds) and any(_stands_in(first, text, present) for first in firsts)
                for _, firsts, seconds in self.pairs
            )
            or any(phrase.replace("-", " ") in text.replace("-", " ") for phrase in self.phrases)
            or any(age.years < self.policy.age_limit for age in find_ages(text))
        )

    def _russian(self, text: str) -> TextVerdict | None:
        """Return the verdict on Russian words, None where the text has none that matter."""
        russian = self.policy.russian
        words = WORD.findall(text)
        for place, word in enumerate(words):
            if word.isascii() or not self._names_a_child(word):
                continue
            before = words[place - 1] if place else ""
            after = words[place + 1] if place + 1 < len(words) else ""
            if before not in russian.negations and after not in russian.animals:
                return TextVerdict(True, f"{word!r}: Russian for a child")
        age = re.search(r"\b(\d{1,2})[ -]?(?:летн|годовал|(?:лет|год|года|месяц|месяца|месяцев)\b)", text)
        if age and int(age[1]) < self.policy.age_limit and "летн" in age[0]:
            return TextVerdict(True, f"{age[0]!r}: an age under {self.policy.age_limit}")
        return None

    def _names_a_child(self, word: str) -> bool:
        russian = self.policy.russian
        if word in russian.forms:
            return True
        if self._russian_spelling is None:
            self._russian_spelling = Spelling(russian.forms, russian.harmless, shortest=7)
        return self._russian_spelling.meant(word) is not None


def _stands_in(words: str, text: str, present: set[str]) -> bool:
    return words in present if words.isalpha() else words.replace("-", " ") in text.replace("-", " ")


def regular_plural(lemma: str) -> tuple[str, ...]:
    """Return the regular plural of an English noun: babies, classes, boys."""
    if lemma.endswith("y") and lemma[-2:-1] not in "aeiou":
        return (lemma[:-1] + "ies",)
    return (lemma + ("es" if lemma.endswith(("s", "x", "z", "ch", "sh")) else "s"),)
