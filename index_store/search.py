"""Answer a query: check the text, retrieve, rerank, withhold. The one path for the command line and for Python.

>>> from index_store.search import search
>>> for match in search("dog on beach").matches:
...     print(f"{match.score:.2f} {match.image_id}")
"""

from __future__ import annotations

import logging
import time
import unicodedata
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from index_store.compliance.policy import load_policy
from index_store.compliance.texts import TextRule
from index_store.encoders import encoder_card, load_text_encoder
from index_store.encoders.companions import RERANKER, find_companion
from index_store.errors import PolicyError, UsageError
from index_store.places import cache_folder, default_store
from index_store.records import Answer, Candidate, Match
from index_store.text_cache import TextCache

if TYPE_CHECKING:
    from index_store.encoders.protocols import TextEncoder
    from index_store.records import Embedding, StoredPhoto
    from index_store.relevance.cosine import Scorer
    from index_store.store import ImageStore

_LOG = logging.getLogger(__name__)

DEFAULT_K = 10
DEFAULT_POOL = 100
MAX_K = 10_000
"""The most matches, and the largest pool, that one query may ask for."""


class Searcher:
    """A store and its models, opened when first needed and kept for the queries that follow.

    After the first answer, several threads may ask at the same time.
    """

    def __init__(
        self,
        store: str | None = None,
        *,
        encoder: str | None = None,
        policy_file: Path | None = None,
        withhold: bool = True,
    ) -> None:
        """Name the store, by default the user's own, and the encoder, by default the one that the store was built with.

        `policy_file` is the compliance policy, by default the one that ships; `withhold=False` lets everything through.

        Raises:
            PolicyError: the policy is broken, or it is mandatory and was to be switched off.
        """
        self._place = store or default_store()
        self._encoder = encoder
        self._card = encoder_card(encoder)
        self.policy = load_policy(policy_file)
        if self.policy.mandatory and not withhold:
            raise PolicyError("the policy is mandatory and cannot be switched off; leave out --no-policy")
        self._withhold = withhold
        self._text_rule = TextRule(self.policy)
        self._checking = Lock()

    def ask(
        self, query: str, *, k: int = DEFAULT_K, pool: int = DEFAULT_POOL, min_score: float | None = None
    ) -> Answer:
        """Return the `k` best matches among the `pool` photos nearest to `query`, with a score of at least `min_score`.

        `min_score` in [0, 1] is by default the reranker's own threshold, below which a photo is no match.

        Raises:
            UsageError: the query is blank, or a number is out of range.
            StoreError, EncoderError, WeightsError, PolicyError: something that is needed is missing or broken.
        """
        text = " ".join(unicodedata.normalize("NFC", query).split())
        _check_usage(text, k, pool, min_score)
        if self._withhold and self._speaks_of_children(text):
            return Answer(query, notice=self.policy.notice, refused=True)
        started = time.perf_counter()
        query_embedding = self._embed(text)
        embedded = time.perf_counter()
        candidates = self.store.nearest(query_embedding, max(pool, k))
        found = time.perf_counter()
        ranked = rank(query_embedding, candidates, self.reranker)
        _LOG.info("text embedded by %s in %.0f ms", self.store.manifest.encoder, 1000 * (embedded - started))
        _LOG.info("%d candidates from %s in %.0f ms", len(candidates), self.store.place, 1000 * (found - embedded))
        _LOG.info("reranked by %s in %.0f ms", self.reranker.version, 1000 * (time.perf_counter() - found))
        least = self.reranker.min_score if min_score is None else min_score
        matches = self._matches([(score, candidate) for score, candidate in ranked[:k] if score >= least])
        return Answer(
            query,
            tuple(matches),
            reason=_nothing_found(ranked, least, self.store.place) if not matches else "",
            notice=self.policy.notice if any(match.withheld for match in matches) else None,
            calibrated=self.calibrated,
            warnings=_doubts(text),
        )

    def _speaks_of_children(self, text: str) -> bool:
        with self._checking:  # spaCy is not made for several threads
            return self._text_rule.check(text).withheld

    @cached_property
    def store(self) -> ImageStore:
        """The opened store."""
        from index_store.store import open_store

        return open_store(self._place, self._encoder and self._card.name, preferred=self._card.name, read_only=True)

    @cached_property
    def encoder(self) -> TextEncoder:
        """The text encoder that the store was built with."""
        # a folder can be found only by the name that the user gave it
        return load_text_encoder(self._encoder or self.store.manifest.encoder)

    def _embed(self, text: str) -> Embedding:
        """Return the embedding of a text, from the cache where it is there.

        In a fresh process the text encoder is opened while chromadb is imported: each takes about as long as the other.
        """
        card = self._card
        known = self._cache.get(card.name, text, card.dimension)
        if known is None and "store" not in self.__dict__:
            with ThreadPoolExecutor(1, thread_name_prefix="encoder") as aside:
                opening = aside.submit(load_text_encoder, self._encoder)
                if self.store.manifest.encoder == card.name:
                    self.__dict__["encoder"] = opening.result()
        name = self.store.manifest.encoder
        if name != card.name:
            known = self._cache.get(name, text, self.store.manifest.dimension)
        if known is None:
            known = self.encoder.encode_texts([text])[0]
            self._cache.put(name, text, known)
        return known

    @cached_property
    def _cache(self) -> TextCache:
        return TextCache(cache_folder())

    @cached_property
    def reranker(self) -> Scorer:
        """What turns a pair into a score in [0, 1]: the encoder's regressor, or the cosine where it has none."""
        from index_store.relevance.cosine import load_scorer

        return load_scorer(self.store.manifest.encoder, self._reranker_folder)

    @property
    def calibrated(self) -> bool:
        """Whether scores are calibrated, and not bare similarities."""
        return self._reranker_folder is not None

    @cached_property
    def _reranker_folder(self) -> Path | None:
        return find_companion(RERANKER, self.store.manifest.encoder, self._encoder)

    def _matches(self, ranked: Sequence[tuple[float, Candidate]]) -> list[Match]:
        """Return what is shown of the best; a photo that a writer has dropped meanwhile is left out."""
        known = self.store.photos_of([candidate.image_id for _, candidate in ranked])
        there = [(score, candidate) for score, candidate in ranked if candidate.image_id in known]
        return [
            self._match(rank, score, candidate, known[candidate.image_id])
            for rank, (score, candidate) in enumerate(there, start=1)
        ]

    def _match(self, position: int, score: float, candidate: Candidate, photo: StoredPhoto) -> Match:
        if self._withhold and photo.verdict.withholds_at(self.policy.photo_threshold):
            return Match(position, score, candidate.similarity, None, None, None)
        return Match(position, score, candidate.similarity, photo.image_id, photo.width, photo.height)


def search(
    query: str,
    *,
    store: str | None = None,
    k: int = DEFAULT_K,
    pool: int = DEFAULT_POOL,
    min_score: float | None = None,
) -> Answer:
    """Search a store by a description; the same as `imgsearch query`. For many queries keep a `Searcher`."""
    return Searcher(store).ask(query, k=k, pool=pool, min_score=min_score)


def rank(
    query_embedding: Embedding, candidates: Sequence[Candidate], reranker: Scorer
) -> list[tuple[float, Candidate]]:
    """Score candidates and sort them: by falling score, ties by falling similarity, then by path."""
    import numpy as np

    if not candidates:
        return []
    scores = reranker.score(query_embedding, np.stack([candidate.embedding for candidate in candidates]))
    ranked = zip((float(score) for score in scores), candidates, strict=True)
    return sorted(ranked, key=lambda pair: (-pair[0], -pair[1].similarity, pair[1].image_id))


def _nothing_found(ranked: Sequence[tuple[float, Candidate]], least: float, place: str) -> str:
    if not ranked:
        return f"{place} holds no photos"
    return f"no photo scores {least:.2f} or more (the best {ranked[0][0]:.2f}); --min-score 0 shows the nearest"


def _check_usage(text: str, k: int, pool: int, min_score: float | None) -> None:
    if not text:
        raise UsageError("the query is empty; describe the photo in a few words")
    for name, value in (("k", k), ("pool", pool)):
        if not 1 <= value <= MAX_K:
            raise UsageError(f"{name} is {value}; it must lie between 1 and {MAX_K}")
    if min_score is not None and not 0.0 <= min_score <= 1.0:
        raise UsageError(f"min_score is {min_score}; scores lie between 0 and 1")


def _doubts(text: str) -> tuple[str, ...]:
    """Return warnings about a text that the encoder may not understand."""
    letters = [letter for letter in text if letter.isalpha()]
    foreign = sum(not unicodedata.name(letter, "").startswith("LATIN") for letter in letters)
    if foreign * 2 > len(letters):
        return ("the encoder has learned English; a query in another language may find anything",)
    return ()
