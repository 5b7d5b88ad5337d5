"""Decide for each text whether the shipped tower or the multilingual one reads it, and open the latter when needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from index_store.encoders.languages.card import read_language_card
from index_store.encoders.languages.choice import AUTO, ENGLISH, NAMES, check_language, is_foreign
from index_store.encoders.languages.wheel import is_installed, wheel_folder
from index_store.encoders.registry import encoder_card
from index_store.errors import UsageError
from index_store.once import once

if TYPE_CHECKING:
    from index_store.encoders.languages.head import LanguageEncoder
    from index_store.records import Embedding


class OtherLanguages:
    """The way of texts that are not English; several threads may ask at the same time."""

    def __init__(self, language: str | None = None) -> None:
        """Take the language of the texts: `auto`, `en`, `other`, or a code such as `de`; None is `auto`.

        Raises:
            UsageError: it is none of these.
        """
        self.language = (language or AUTO).lower()
        if not self.language.replace("-", "").isalpha() or not self.language.isascii() or len(self.language) > 10:
            raise UsageError(f"{language!r} is no language; write auto, en, other, or a code such as de")
        if self.language.partition("-")[0] in (ENGLISH, *NAMES):
            self.language = self.language.partition("-")[0]

    def read(self, text: str) -> bool:
        """Return whether the multilingual tower reads a normalised text; without the extra none is, unless asked for.

        Raises:
            UsageError: the text is in a language that is not searched.
            MissingExtraError: a language was named, and the extra `languages` is not installed.
            WeightsError: head and card are missing, or made for another encoder.
        """
        if self.language == ENGLISH or (self.language == AUTO and not (is_installed() and is_foreign(text))):
            return False
        wheel_folder()
        check_language(text, self.language, self.searched)
        return True

    @once
    def searched(self) -> tuple[str, ...]:
        """The codes of the languages that are searched: those whose texts about children are refused."""
        measured = read_language_card(encoder_card().name)
        return tuple(code for code, refusals in measured.items() if refusals.searched and code in NAMES)

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
