"""Turn the texts of queries into embeddings, and refuse those that the policy refuses."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING

from index_store.compliance.judging import TextJudge
from index_store.encoders.languages.reader import OtherLanguages
from index_store.encoders.registry import load_text_encoder
from index_store.errors import UsageError
from index_store.once import once
from index_store.paths import cache_folder
from index_store.queries.text_cache import TextCache

if TYPE_CHECKING:
    from index_store.compliance.policy import Policy
    from index_store.encoders.protocols import TextEncoder
    from index_store.queries.opened_store import OpenedStore
    from index_store.question import Question
    from index_store.records import Embedding

_LOG = logging.getLogger(__name__)

_LEAST_TOGETHER = 4
"""Texts for which it pays to encode them together."""


class QueryTexts:
    """Reads texts with the tower that ships, the multilingual one, or the store's own; several threads may ask."""

    def __init__(self, opened: OpenedStore, policy: Policy, language: str | None, *, withhold: bool) -> None:
        """Take the store that is searched, and the language of texts for which none is named.

        Raises:
            UsageError: `language` is none.
        """
        self._opened = opened
        self._withhold = withhold
        self._languages = OtherLanguages(language)
        self._judge = TextJudge(policy, self._languages)
        self._ahead: Mapping[str, Embedding] = {}

    def encode_ahead(self, texts: Iterable[tuple[str, str | None]]) -> None:
        """Encode normalised texts, each with its language, together: half the time. `embedding` is asked for them next.

        A number of an embedding moves by at most .0005 for it.
        """
        self._ahead = {}
        if not (self._withhold or self._opened.has_shipped_texts):
            return
        languages = {text: language for text, language in texts if text}
        if self._withhold:  # a text that its words give away is not encoded
            for text in self._judge.refused_by_words(languages):
                del languages[text]
        english = []
        for text, language in languages.items():
            with suppress(UsageError):  # raised again where the text's own embedding is asked for
                if not self._languages.read(text, language):
                    english.append(text)
        if len(english) >= _LEAST_TOGETHER:
            self._ahead = dict(zip(english, self._shipped_tower.encode_texts(english), strict=True))

    def embedding(self, text: str, language: str | None) -> Embedding | None:
        """Return the embedding of a normalised text, None where the policy refuses it; a refused one is not kept.

        Raises:
            UsageError: the text is in a language that is not searched.
        """
        shipped = self._opened.shipped_card
        fresh = "_shipped_tower" not in self.__dict__  # to open a tower costs what the cache saves, to run it less
        known = self._cache.get(shipped.towers, text, shipped.dimension) if fresh else self._ahead.get(text)

        def by_shipped(wanted: str) -> Embedding:
            return known if known is not None and wanted == text else self._shipped_tower.encode_texts([wanted])[0]

        made = None
        if self._withhold:
            judgement = self._judge.judge(text, by_shipped, self._in_other_language, language)
            if judgement.withheld:
                return None
            made, other = judgement.embedding, judgement.other
        elif other := self._languages.read(text, language):
            made = self._in_other_language(text)
        elif self._opened.named_card.towers == shipped.towers:
            made = by_shipped(text)
        if other:
            return self._kept(text, made)
        _LOG.info("text read by %s", self._opened.store.manifest.encoder)
        if made is not None and known is None and fresh:
            self._cache.put(shipped.towers, text, made)
        return made if made is not None and self._opened.has_shipped_texts else self._by_own(text)

    def lead_to_children(self, question: Question, text: Embedding, away: Sequence[Embedding]) -> bool:
        """Whether a text, moved away from the others, comes to mean what would be refused: "people", not "adults".

        `text` and `away` are their vectors by the store's encoder; the look knows those of the tower that ships alone.
        """
        from index_store.queries.combining import combined  # late: numpy

        texts = [question.text, *question.away]
        others = [self._languages.read(each, question.language) for each in texts]
        if not self._opened.has_shipped_texts:
            by_shipped = self._shipped_tower.encode_texts
            text, *away = (
                self._languages.encode(each) if other else by_shipped([each])[0]
                for each, other in zip(texts, others, strict=True)
            )
        return self._judge.refuses(combined(text, [], away), other=any(others))

    def _in_other_language(self, text: str) -> Embedding:
        """Return the embedding of a text that is not English by the multilingual tower, from the cache if known."""
        known = self._cache.get(self._languages.name, text, self._opened.shipped_card.dimension)
        return self._languages.encode(text) if known is None else known

    def _kept(self, text: str, made: Embedding | None) -> Embedding:
        """Remember the embedding that the multilingual tower made; return it, or the one by the store's own encoder."""
        if made is None or not self._opened.has_shipped_texts:
            _LOG.info("text read by %s", self._opened.store.manifest.encoder)
            return self._by_own(text)
        _LOG.info("text read by %s", self._languages.name)
        self._cache.put(self._languages.name, text, made)
        return made

    def _by_own(self, text: str) -> Embedding:
        """Return the embedding of a text by the store's encoder, from the cache where it is known."""
        fresh = "own_tower" not in self.__dict__
        card = self._opened.card
        known = self._cache.get(card.towers, text, self._opened.store.manifest.dimension) if fresh else None
        if known is None:
            known = self.own_tower.encode_texts([text])[0]
            if fresh:
                self._cache.put(card.towers, text, known)
        return known

    @once
    def own_tower(self) -> TextEncoder:
        """The text encoder that the store was built with."""
        return self._shipped_tower if self._opened.has_shipped_texts else load_text_encoder(self._opened.card)

    @once
    def _shipped_tower(self) -> TextEncoder:
        """The text tower that ships, whatever encoder the store has: the look at texts needs it.

        In a fresh process it is opened while the store is: each takes about as long as the other.
        """
        if self._opened.is_open or self._opened.named_card.towers != self._opened.shipped_card.towers:
            return load_text_encoder()
        with ThreadPoolExecutor(1, thread_name_prefix="encoder") as thread:
            opening = thread.submit(load_text_encoder)
            self._opened.store  # noqa: B018 - opened and kept
            return opening.result()

    @once
    def _cache(self) -> TextCache:
        return TextCache(cache_folder())
