"""Find children that a text in another language than English says are not there: "без детей", "ohne Kinder".

The word that denies and the word for a child must stand side by side, because "ohne Hund, Kinder" shows children; and
nothing in the text may deny the denial: "nicht ohne Kinder". Standard library only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING

from index_store.compliance.reading import WORD, plain

if TYPE_CHECKING:
    from index_store.compliance.policy import Policy


class Negated:
    """The negations of the languages that a policy lists, each with the words for a child that it may stand before."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    def without(self, written: str) -> str:
        """Return a normalised text without the children that are denied in it."""
        if self._first_words.isdisjoint(WORD.findall(written.lower())):
            return written
        kept, end = [], 0
        for match in self._pattern.finditer(written.replace("ё", "е").replace("Ё", "Е")):
            if self._denies(match, written):
                kept.append(written[end : match.start()])
                end = match.end()
        return " ".join((*kept, written[end:])) if end else written

    def _denies(self, match: re.Match[str], written: str) -> bool:
        negation, child = match["negation"].lower(), plain(match["child"])
        words = set(WORD.findall(written.lower().replace("'", " ")))
        before = WORD.findall(written[: match.start()].lower())[-1:]
        return any(
            child in children and words.isdisjoint(denials) and _first_words(negations).isdisjoint(before)
            for negations, denials, children in self._languages
            if negation in negations
        )

    @cached_property
    def _languages(self) -> list[tuple[frozenset[str], frozenset[str], frozenset[str]]]:
        """The negations of each language, what may not stand in a text that has one, and its words for a child."""
        russian = self._policy.russian
        return [(russian.negations, russian.denials, russian.forms)] + [
            (frozenset(each.negations), each.denials, frozenset(map(plain, each.words)))
            for each in self._policy.languages
            if each.negations
        ]

    @cached_property
    def _first_words(self) -> frozenset[str]:
        return _first_words(each for negations, _, _ in self._languages for each in negations)

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        every = sorted((each for negations, _, _ in self._languages for each in negations), key=len, reverse=True)
        either = "|".join(re.escape(each).replace("\\ ", r"\s+") for each in every)
        return re.compile(
            rf"(?<![\w'-])(?P<negation>{either})(?:(?<=')|\s+)(?P<child>[^\W\d_]+(?:-[^\W\d_]+)?)(?![\w-])",
            re.IGNORECASE,
        )


def _first_words(phrases: Iterable[str]) -> frozenset[str]:
    return frozenset(re.split(r"[ ']", phrase)[0] for phrase in phrases)
