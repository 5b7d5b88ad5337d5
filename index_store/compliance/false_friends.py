"""Find ordinary words of other languages that look like English words for a child: "un homme et son chien".

They are passed over only where the text is in that language, so that "my son" and "tot on beach" stay what they are.
Standard library only, until a word is met that is an English word for a child itself.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from typing import TYPE_CHECKING

from index_store.compliance.reading import WORD

if TYPE_CHECKING:
    from index_store.compliance.policy import Language

_ENGLISH_TEXT = (
    "the my your our his her its their this that these those some and by for from with are were she who they young old "
    "little"
)
_ENGLISH = frozenset(_ENGLISH_TEXT.split())
"""Small English words: a text that has one is English, unless the language has the same word."""

_BOTH_TEXT = "a am an as at con do dos due he in is me met no on or pod so we"
_BOTH = frozenset(_BOTH_TEXT.split())
"""Small words of other languages that are English words too: no sign of either."""


class FalseFriends:
    """The false friends of the languages that a policy lists.

    `listed` holds the English words for a child; `is_english` tells, at some cost, whether any word is English.
    """

    def __init__(
        self, languages: Iterable[Language], listed: Container[str], is_english: Callable[[str], bool]
    ) -> None:
        self._languages = [each for each in languages if each.false_friends]
        self._words: dict[str, list[Language]] = {}
        self._endings: dict[str, list[Language]] = {}
        for each in self._languages:
            for word in each.false_friends:
                kept = self._endings if word.startswith("-") else self._words
                kept.setdefault(word.lstrip("-"), []).append(each)
        self._listed = listed
        self._is_english = is_english

    def find(self, text: str) -> frozenset[str]:
        """Return the words of a plain text (lower case, no accents) that are false friends in the text's language."""
        words = WORD.findall(text.replace("'", " "))
        present = set(words)
        return frozenset(word for word in present if any(self._passes(word, each, words) for each in self._of(word)))

    def _of(self, word: str) -> list[Language]:
        """Return the languages in which a word is a false friend."""
        found = self._words.get(word, [])
        return found + [each for ending, of in self._endings.items() if word.endswith(ending) for each in of]

    def _passes(self, word: str, language: Language, words: list[str]) -> bool:
        """Say whether the text is in the language, as far as small words tell; for "son" its other words count too."""
        others = set(words) - {word}
        signs = (others & language.markers) - _ENGLISH - _BOTH
        if not signs or others & (_ENGLISH - language.markers):
            return False
        if word not in self._listed:
            return True
        rest = others - language.markers - _BOTH
        foreign = {other for other in rest if other in language.false_friends or not self._is_english(other)}
        return bool(foreign) and len(rest - foreign) < len(foreign | signs)
