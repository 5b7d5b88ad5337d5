"""Judge whether a text speaks of a person under the age limit: the short way, standard library only.

Most queries hold no word that could concern a child; they are clean after a look at the list of forms made ahead. The
others are read in context by spaCy (`lemmas.py`), which is imported only then.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from index_store.compliance.ages import find_ages
from index_store.compliance.false_friends import FalseFriends
from index_store.compliance.languages import Languages
from index_store.compliance.normalising import normalise
from index_store.compliance.reading import WORD, join_hyphens, join_letters, plain, split_words
from index_store.compliance.spelling import SHORT, Spelling

if TYPE_CHECKING:
    from index_store.compliance.foreign_spelling import ForeignSpelling
    from index_store.compliance.grammar import Grammar
    from index_store.compliance.policy import Policy

NOTHING_SEEN = "no word speaks of a child"
_EMPTY_TEXT = "a an the no not any some of in on at with without for to as like and or nor here there"
_EMPTY_TEXT += " is are was were he she his her"
_EMPTY = frozenset(_EMPTY_TEXT.split())
"""What is left of "no kids here" says nothing about the photo."""
MASK = "object"
"""What a harmless phrase is replaced by, a noun so that the grammar of the text stays."""

_CHUNK = re.compile(r"[^\s\"'(),.;:?&/_=~-]+")


class TextVerdict(NamedTuple):
    """What the rule decided about a text, and why; `grammar` tells that spaCy was asked.

    `rest` is the text without what the words have settled: harmless phrases, excused words, ages over the limit, words
    of other alphabets. It is for the look at the embedding, which knows no excuses; None where nothing was settled.
    `rest_as_written` is the same for the tower that reads other languages: other alphabets stay in it.
    """

    withheld: bool
    reason: str
    grammar: bool = False
    rest: str | None = None
    rest_as_written: str | None = None


class TextRule:
    """Judge texts by a policy: the short way first, the long way (spaCy) only where a word gives cause."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.senses = {
            form: group.sense for group in policy.words for lemma in group.lemmas for form in self.forms(lemma)
        }
        self._gluable = {form for form in self.senses if is_gluable(form)}
        self._phrases = [phrase.replace("-", " ") for phrase in (*policy.withheld_phrases, *policy.schools.names)]
        self.pairs = [
            (
                pair,
                [form for each in pair.first for form in self.forms(each)],
                frozenset(form for each in pair.second for form in self.forms(each)),
            )
            for pair in policy.pairs
        ]
        self._languages = Languages(policy)
        self._foreign_spelling_made: ForeignSpelling | None = None
        self._false_friends = FalseFriends(policy.languages, self.senses, _is_english)
        self._spelling_made: Spelling | None = None
        self._grammar: Grammar | None = None

    def forms(self, lemma: str) -> Sequence[str]:
        """Return a lemma's forms: made ahead with spaCy, or the regular plural for words that are new to a policy."""
        known = self.policy.forms.get(lemma)
        return (lemma, *regular_plural(lemma)) if known is None else known

    def check(self, text: str) -> TextVerdict:
        """Return the verdict; costs well under a millisecond unless a word of the text could concern a child.

        The text is normalised first, so that it does not matter whether it was before.
        """
        text = normalise(text).text
        written = self._languages.without_harmless(text)
        verdict, prepared = self._look(text, written)
        if verdict is not None:
            return verdict
        found = self._read(prepared) if self._could_concern_a_child(prepared) else TextVerdict(False, NOTHING_SEEN)
        rest = self._rest(prepared if found.rest is None else found.rest)
        settled = written != text or rest != prepared
        if text.isascii():
            return found._replace(rest=rest if settled else None, rest_as_written=rest if settled else None)
        as_written = self._languages.for_look(written)  # `rest` has lost the words of other alphabets
        return found._replace(
            rest=rest if settled else None, rest_as_written=None if as_written == text else as_written
        )

    def misspelt(self, text: str) -> str | None:
        """Return the reason where a text that is not English has an odd spelling of a word for a child, else None."""
        if self._foreign_spelling_made is None:
            from index_store.compliance.foreign_spelling import ForeignSpelling

            self._foreign_spelling_made = ForeignSpelling(self.policy)
        return self._foreign_spelling_made.find(self._languages.without_harmless(normalise(text).text))

    def check_by_grammar(self, text: str) -> TextVerdict:
        """Return the verdict of the long way alone; training labels and the tests of the short way use it."""
        text = normalise(text).text
        verdict, prepared = self._look(text, self._languages.without_harmless(text))
        return self._read(prepared) if verdict is None else verdict

    def _read(self, prepared: str) -> TextVerdict:
        if self._grammar is None:
            from index_store.compliance.grammar import Grammar

            self._grammar = Grammar(self)
        return self._grammar.judge(prepared)

    def _look(self, text: str, written: str) -> tuple[TextVerdict | None, str]:
        """Return a verdict where no grammar is needed for one (emoji, other languages), and the text to be read.

        `written` is the normalised text without the harmless phrases of other languages.
        """
        for sign in self.policy.emoji:
            if sign in text:
                return TextVerdict(True, f"{sign} shows a child"), text
        seen = self._masked(plain(written))
        word = self._languages.child_word(written, seen, plain(text))
        if word is not None:
            return TextVerdict(True, word), seen
        if friends := self._false_friends.find(seen):
            seen = WORD.sub(lambda each: MASK if friends.intersection(each[0].split("'")) else each[0], seen)
        latin = sum(map(str.isascii, seen)) * 2 > len(seen)
        mended = split_words(
            _CHUNK.sub(lambda chunk: self._as_meant(chunk.group(), latin), join_letters(seen, self.senses))
        )
        return None, WORD.sub(self._corrected, self._masked(join_hyphens(mended, self.senses)))

    def _rest(self, text: str) -> str:
        """Return a prepared text without harmless phrases, ages over the limit, and words that the look cannot read."""
        for age in sorted(find_ages(text), key=lambda age: -age.start):
            if age.years >= self.policy.age_limit and not age.named:
                text = text[: age.start] + text[age.end :]
        settled = self.policy.compounds | {MASK}
        text = WORD.sub(lambda word: word[0] if word[0].isascii() and word[0] not in settled else "", text)
        return " ".join(text.split()) if set(WORD.findall(text)) - _EMPTY else ""

    def _as_meant(self, chunk: str, among_latin: bool) -> str:
        """Return a listed word for one that is written with signs for letters, or with letters drawn out."""
        if chunk in self.senses:
            return chunk
        if chunk.isalpha() and chunk.isascii():
            if chunk.endswith("z") and (chunk[:-1] in self.senses or chunk[:-1] + "s" in self.senses):
                return chunk[:-1] if chunk[:-1] in self.senses else chunk[:-1] + "s"  # "childrenz", "kidz"
            return self._spelling.drawn_out(chunk) or chunk
        return self._spelling.disguised(chunk, among_latin) or chunk

    def _masked(self, text: str) -> str:
        for phrase in self.policy.harmless_phrases:
            if phrase in text:
                text = re.sub(rf"(?<!\w){re.escape(phrase)}(?!\w|'\w)", MASK, text)
        return text

    def _corrected(self, match: re.Match[str]) -> str:
        """Return a listed word for a misspelled one."""
        word = match.group()
        stem, apostrophe, ending = word.partition("'")
        if not stem.isascii() or stem in self.senses:
            return word
        return (self._spelling.meant(stem) or stem) + apostrophe + ending

    @property
    def _spelling(self) -> Spelling:
        if self._spelling_made is None:
            self._spelling_made = Spelling(self.senses, self.policy.real_words, short=SHORT)
        return self._spelling_made

    def glued(self, word: str, is_word: Callable[[str], bool]) -> tuple[str, str] | None:
        """Return the two words of "girlsdancing" and "littlegirl", None where it is one; a tokenizer reads two.

        `is_word` decides about the other half.
        """
        if not 7 <= len(word) <= 30 or word in self.senses or word in self.policy.compounds:
            return None
        for place in range(len(word) - 3, 3, -1):
            if word[:place] in self._gluable and is_word(word[place:]):
                return word[:place], word[place:]
        for place in range(2, len(word) - 3):
            if word[place:] in self._gluable and is_word(word[:place]):
                return word[:place], word[place:]
        return None

    def _could_concern_a_child(self, text: str) -> bool:
        words = [part for word in WORD.findall(text) for part in (word, word.partition("'")[0])]
        present = set(words)
        unhyphened = text.replace("-", " ")
        return (
            not present.isdisjoint(self.senses)
            or any(self.glued(word, str.isascii) for word in present)
            or any(
                not present.isdisjoint(seconds) and any(_stands_in(first, text, present) for first in firsts)
                for _, firsts, seconds in self.pairs
            )
            or any(phrase in unhyphened for phrase in self._phrases)
            or any(age.years < self.policy.age_limit for age in find_ages(text))
        )


def _is_english(word: str) -> bool:
    from index_store.compliance.lemmas import is_english

    return is_english(word)


def _stands_in(words: str, text: str, present: set[str]) -> bool:
    return words in present if words.isalpha() else words.replace("-", " ") in text.replace("-", " ")


def is_gluable(form: str) -> bool:
    """Return whether a form is long enough to be looked for inside longer words; "lad" is part of too many."""
    return len(form) > 4 or form in ("girl", "baby", "kids", "boys")


def regular_plural(lemma: str) -> tuple[str, ...]:
    """Return the regular plural of an English noun: babies, classes, boys."""
    if lemma.endswith("y") and lemma[-2:-1] not in "aeiou":
        return (lemma[:-1] + "ies",)
    return (lemma + ("es" if lemma.endswith(("s", "x", "z", "ch", "sh")) else "s"),)
