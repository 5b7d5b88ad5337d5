"""Judge a text in context by its grammar: the long way of the rule for texts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from index_store.compliance.ages import Age, find_ages
from index_store.compliance.excuses import Excuses, Mention, is_in
from index_store.compliance.lemmas import is_english, is_name, pipeline
from index_store.compliance.reading import WORD
from index_store.compliance.texts import NOTHING_SEEN, TextRule, TextVerdict

if TYPE_CHECKING:
    from spacy.tokens import Doc, Token

_OLD_ENOUGH = "of an age over the limit"
_PRONOUNS = frozenset(("he", "she", "his", "her", "i", "my", "who"))
_MAX_EXCUSES = 10
_PIECE, _OVERLAP = 60, 10
"""Words that are read together, and how many of them the next piece reads again: time grows with the length alone."""

NEAR = 6
"""How many words may lie between the two words of a pair that need only stand near each other."""


class Grammar:
    """Decide for each mention of a child whether the text really speaks of one."""

    def __init__(self, rule: TextRule) -> None:
        self._rule = rule
        self._policy = rule.policy
        self._contexts = rule.policy.contexts
        self._excuses = Excuses(rule)
        self._nlp = pipeline()

    def judge(self, text: str) -> TextVerdict:
        """Return the verdict on a text that `TextRule` has prepared (lower case, spelling mended)."""
        excuses: list[str] = []
        text = self._apart(text)
        settled: set[str] = set()
        for piece, first, last in _pieces(text):
            for mention, excuse in self._judged(piece):
                if not first <= mention.token.idx < last:
                    continue  # judged with the piece that holds more of its context
                if excuse is None:
                    return TextVerdict(True, f"{mention.shown!r}: {mention.sense}", grammar=True)
                excuses.append(f"{mention.shown!r}: {excuse}")
                settled.update((mention.token.text, mention.shown))
        rest = _without(text, settled) if settled else None
        return TextVerdict(False, "; ".join(excuses[:_MAX_EXCUSES]) or NOTHING_SEEN, grammar=True, rest=rest)

    def _judged(self, text: str) -> Iterator[tuple[Mention, str | None]]:
        doc = self._nlp(text)
        ages = find_ages(text)
        old_enough = {
            owner.i for age in ages if age.years >= self._policy.age_limit and (owner := self._owner(doc, age))
        }
        for mention in self._mentions(doc, ages):
            grown_up = mention.kind == "word" and mention.token.i in old_enough
            yield mention, _OLD_ENOUGH if grown_up else self._excuses.find(mention)

    def _apart(self, text: str) -> str:
        """Return the text with "girlsdancing" and "littlegirl" as two words, where both are English."""
        return WORD.sub(lambda word: " ".join(self._rule.glued(word.group(), is_english) or (word.group(),)), text)

    # ---- mentions

    def _mentions(self, doc: Doc, ages: list[Age]) -> Iterator[Mention]:
        yield from self._young(doc, ages)
        yield from self._words(doc)
        yield from self._pairs(doc)
        yield from self._phrases(doc)

    def _young(self, doc: Doc, ages: list[Age]) -> Iterator[Mention]:
        for age in ages:
            if age.years < self._policy.age_limit:
                token = _token_at(doc, age.anchor)
                if (age.named and not self._is_a_person(token)) or (age.personal and self._is_no_person(token)):
                    continue
                token = token if age.named or age.personal else self._owner(doc, age) or token
                yield Mention(
                    "birthday" if age.personal else "age",
                    token,
                    doc.text[age.start : age.end],
                    f"an age under {self._policy.age_limit}",
                )

    def _is_a_person(self, token: Token) -> bool:
        """Return whether "Wendy" in "Wendy, 9" can be a person: a word for one, or no English word at all."""
        if token.tag_ == "NNS" or is_in(token, self._contexts.things | self._contexts.animals):
            return False
        return is_in(token, self._contexts.people) or is_name(token.lower_)

    def _is_no_person(self, token: Token) -> bool:
        """Return whether "a dog's fourth birthday", "the company's first birthday" is no person's."""
        contexts, doc = self._contexts, token.doc
        owners = [child for child in token.children if child.dep_ in ("poss", "compound", "nmod")]
        if any(is_in(owner, contexts.animals | contexts.things | contexts.belongings) for owner in owners):
            return True
        someone = any(is_in(word, contexts.people) or word.lower_ in _PRONOUNS for word in doc)
        return not someone and any(is_in(word, contexts.animals) and word.tag_[0] == "N" for word in doc)

    def _words(self, doc: Doc) -> Iterator[Mention]:
        senses = self._rule.senses
        for token in doc:
            sense = senses.get(token.lower_) or (senses.get(token.lemma_) if token.tag_[0] in "NJ" else None)
            if sense is not None:
                yield Mention("word", token, token.text, sense)

    def _pairs(self, doc: Doc) -> Iterator[Mention]:
        text = " ".join(doc.text.replace("-", " ").split())
        for pair, all_firsts, seconds in self._rule.pairs:
            modifies = pair.relation == "modifies"
            firsts = [words for words in all_firsts if words.replace("-", " ") in text]
            for second in (token for token in doc if token.lower_ in seconds):
                for first in (token for words in firsts for token in _sequences(doc, words)):
                    if self._describes(first, second) if modifies else 0 < abs(first.i - second.i) <= NEAR:
                        yield Mention("pair", second, f"{first.text} ... {second.text}", pair.sense)

    def _describes(self, first: Token, second: Token) -> bool:
        """Return whether "young" belongs to "player": by the parse, or at most two plain words before it."""
        between = first.doc[first.i + 1 : second.i]
        plain_words = all(word.tag_[0] in "NJ" and word.lemma_ not in self._contexts.people for word in between)
        return first.head == second or (0 < second.i - first.i <= 3 and plain_words)

    def _phrases(self, doc: Doc) -> Iterator[Mention]:
        text = " ".join(doc.text.replace("-", " ").split())
        for phrase in (each for each in self._policy.withheld_phrases if each.replace("-", " ") in text):
            for token in _sequences(doc, phrase):
                yield Mention("phrase", token, phrase, "speaks of children")
        for school in (each for each in self._policy.schools.names if each.replace("-", " ") in text):
            for token in _sequences(doc, school):
                yield Mention("school", token, school, "a school of people under the limit")

    def _owner(self, doc: Doc, age: Age) -> Token | None:
        """Return the noun that an age belongs to: "a 12 year old dog", "the dog is 12 years old", "wine aged 12"."""
        anchor = _token_at(doc, age.anchor)
        for token in (anchor, *anchor.ancestors):
            if (
                token.pos_ in ("NOUN", "PROPN")
                and token.i != anchor.i
                and token.lower_ not in ("year", "years", "month", "months")
            ):
                return token
            subject = next(
                (child for child in token.children if child.dep_ in ("nsubj", "nsubjpass") and child.pos_ != "PRON"),
                None,
            )
            if subject is not None and subject.i != anchor.i:
                return subject
        return None


def _token_at(doc: Doc, offset: int) -> Token:
    return next(token for token in doc if token.idx + len(token) > offset)


def _sequences(doc: Doc, words: str) -> Iterator[Token]:
    """Yield the last token of each place where the words stand one after another; hyphens in the text are skipped."""
    wanted = words.replace("-", " ").split()
    tokens = [token for token in doc if token.text != "-"]
    for place in range(len(tokens) - len(wanted) + 1):
        if all(tokens[place + step].lower_ == word for step, word in enumerate(wanted)):
            yield tokens[place + len(wanted) - 1]


def _pieces(text: str) -> Iterator[tuple[str, int, int]]:
    """Yield the pieces of a long text, each with the places between which its mentions are judged; they overlap."""
    words = text.split(" ")
    start = 0
    while True:
        piece = words[start : start + _PIECE]
        is_last = start + _PIECE >= len(words)
        margin = _OVERLAP // 2
        first = len(" ".join(piece[:margin])) if start else 0
        last = len(" ".join(piece)) + 1 if is_last else len(" ".join(piece[:-margin]))
        yield " ".join(piece), first, last
        if is_last:
            return
        start += _PIECE - _OVERLAP


def _without(text: str, settled: Iterable[str]) -> str:
    """Return a text without the words, and without the 's behind them."""
    words = "|".join(re.escape(each) for each in sorted(settled, key=len, reverse=True))
    return re.sub(rf"(?<!\w)(?:{words})(?!\w)(?:'s?)?", "", text)
