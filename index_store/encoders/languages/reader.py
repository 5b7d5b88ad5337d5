"""Decide for each text whether the shipped tower or the multilingual one reads it, and open the latter when needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from index_store.encoders.languages.card import read_language_card
from index_store.encoders.languages.choice import (
    AUTO,
    ENGLISH,
    NAMES,
    check_language,
    is_english_with_names,
    is_foreign,
    refuse_unknown_words,
)
from index_store.encoders.languages.wheel import is_installed, wheel_folder
from index_store.encoders.registry import encoder_card
from index_store.errors import UsageError, WeightsError
from index_store.once import once

if TYPE_CHECKING:
    from index_store.encoders.languages.head import LanguageEncoder
    from index_store.records import Embedding

_LONGEST_CODE = 10


class OtherLanguages:
    """The way of texts that are not English; several threads may ask at the same time."""

    def __init__(self, language: str | None = None) -> None:
        """Take the language of texts for which none is named: `auto`, `en`, `other`, or a code such as `de`.

        Raises:
            UsageError: it is none of these.
        """
        self.language = language_code(language or AUTO)

    def read(self, text: str, language: str | None = None) -> bool:
        """Return whether the multilingual tower reads a normalised text; without the extra none is, unless asked for.

        Raises:
            UsageError: the text is in a language that is not searched, or `language` is none.
            MissingExtraError: a language was named, and the extra `languages` is not installed.
            WeightsError: head and card are missing, or made for another encoder.
        """
        code = language_code(language) if language else self.language
        if code == ENGLISH or (code == AUTO and not (self._installed and is_foreign(text))):
            return False
        wheel_folder()
        try:
            check_language(text, code, self.searched)
        except UsageError:
            if code == AUTO and is_english_with_names(text):
                return False
            raise
        if code == AUTO:
            refuse_unknown_words(text, self._knows)
        return True

    @once
    def _installed(self) -> bool:
        return is_installed()

    def _knows(self, word: str) -> bool:
        return self._encoder.knows(word)

    @once
    def searched(self) -> tuple[str, ...]:
        """The codes of the languages that are searched: those whose texts about children are refused."""
        measured = read_language_card(encoder_card().towers)
        return tuple(code for code, refusals in measured.items() if refusals.searched and code in NAMES)

    def towers(self) -> dict[str, str]:
        """Return the name of the tower that reads each language that is searched here, by its code."""
        english = {ENGLISH: encoder_card().name}
        try:
            return english | dict.fromkeys(self.searched, self.name) if is_installed() else english
        except WeightsError:  # of another encoder, or damaged: `read` says so
            return english

    @once
    def name(self) -> str:
        """The name of tower and head together; it changes when the embeddings change."""
        from index_store.encoders.languages.head import encoder_name

        return encoder_name()

    def encode(self, text: str) -> Embedding:
        """Return the embedding of a text, shape (dimension,)."""
        embedding: Embedding = self._encoder.encode_texts([text])[0]
        return embedding

    @once
    def _encoder(self) -> LanguageEncoder:
        from index_store.encoders.languages.head import LanguageEncoder

        return LanguageEncoder()


def language_code(language: str) -> str:
    """Return `auto`, `en`, `other` or a code for what a user calls a language: "DE" and "de-AT" are "de".

    Raises:
        UsageError: it is none of these.
    """
    code = language.lower()
    if not code.replace("-", "").isalpha() or not code.isascii() or len(code) > _LONGEST_CODE:
        raise UsageError(f"{language[:40]!r} is no language; write auto, en, other, or a code such as de")
    first = code.partition("-")[0]
    return first if first in (ENGLISH, *NAMES) else code
