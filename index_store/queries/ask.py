"""Answer a query: check the text, retrieve, rerank, withhold. The one path for the command line and for Python.

>>> from index_store.queries.ask import search
>>> for match in search("dog on beach").matches:
...     print(f"{match.score:.2f} {match.image_id}")
"""

from __future__ import annotations

import logging
import os
import time
import unicodedata
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from index_store.compliance.decisions import HandDecisions
from index_store.compliance.judging import CUT, TextJudge
from index_store.compliance.normalising import normalise
from index_store.compliance.policy import load_policy
from index_store.compliance.showing import ShowingRule
from index_store.encoders.encoder_models import RERANKER, find_model
from index_store.encoders.registry import EncoderCard, encoder_card, load_text_encoder, shipped_before, stored_card
from index_store.errors import PolicyError, UsageError
from index_store.once import once
from index_store.paths import cache_folder, is_there, named_store
from index_store.queries.text_cache import TextCache
from index_store.records import Answer, Candidate, Match

if TYPE_CHECKING:
    from index_store.encoders.protocols import TextEncoder
    from index_store.records import Embedding, StoredPhoto
    from index_store.reranker.cosine import Scorer
    from index_store.store.images import ImageStore

_LOG = logging.getLogger(__name__)

DEFAULT_K = 10
DEFAULT_POOL = 100
_WITHHELD_DIGITS = 2
"""Decimals of the score of a withheld photo that a threshold can reveal."""

MAX_K = 10_000
"""The most matches, and the largest pool, that one query may ask for."""


class Searcher:
    """A store and its models, opened when first needed and kept for the queries that follow.

    Several threads may ask at the same time.
    """

    def __init__(
        self,
        store: str | os.PathLike[str] | None = None,
        *,
        encoder: str | None = None,
        policy_file: Path | None = None,
        withhold: bool = True,
    ) -> None:
        """Name the store, by default the user's own, and the encoder, by default the one that the store was built with.

        `policy_file` is the compliance policy, by default the one that ships; `withhold=False` shows everything.

        Raises:
            PolicyError: the policy is broken, or it is mandatory and was to be switched off.
        """
        self._place = named_store(store)
        self._encoder = encoder
        self._card = encoder_card(encoder)
        self.policy = load_policy(policy_file)
        if self.policy.mandatory and not withhold:
            raise PolicyError("the policy is mandatory and cannot be switched off; leave out --no-policy")
        self._withhold = withhold
        self._judge = TextJudge(self.policy)
        self._shipped_card = encoder_card()
        self._unpacked = 0, HandDecisions()

    def ask(
        self, query: str, *, k: int = DEFAULT_K, pool: int = DEFAULT_POOL, min_score: float | None = None
    ) -> Answer:
        """Return the `k` best matches among the `pool` photos nearest to `query`, with a score of at least `min_score`.

        `min_score` in [0, 1] is by default the reranker's own threshold, below which a photo is no match.

        Raises:
            UsageError: the query is blank, or a number is out of range.
            StoreError, EncoderError, WeightsError, PolicyError: something that is needed is missing or broken.
        """
        text, cut = normalise(query)
        _check_usage(query, text, k, pool, min_score)
        started = time.perf_counter()
        query_embedding = self._judged_embedding(text)
        if query_embedding is None:
            return Answer(query, notice=self.policy.notice, refused=True)
        embedded = time.perf_counter()
        candidates = self.store.nearest(query_embedding, max(pool, k))
        found = time.perf_counter()
        ranked = rank(query_embedding, candidates, self.reranker)
        _LOG.info("text embedded by %s in %.0f ms", self.store.manifest.encoder, 1000 * (embedded - started))
        _LOG.info("%d candidates from %s in %.0f ms", len(candidates), self.store.place, 1000 * (found - embedded))
        _LOG.info("reranked by %s in %.0f ms", self.reranker.version, 1000 * (time.perf_counter() - found))
        least = self.reranker.min_score if min_score is None else min_score
        near = [(score, candidate) for score, candidate in ranked[:k] if score >= least - 10**-_WITHHELD_DIGITS]
        matches = _reaching(self._matches(near), least)
        return Answer(
            query,
            tuple(matches),
            reason=_nothing_found(self._matches(ranked[:k]), least, self.store.place) if not matches else "",
            notice=self.policy.notice if any(match.withheld for match in matches) else None,
            calibrated=self.calibrated,
            warnings=(*((CUT,) if cut else ()), *_doubts(text), *self._upgrade_note),
        )

    def _judged_embedding(self, text: str) -> Embedding | None:
        """Return the embedding of a normalised text, None where the policy refuses it; a refused one is not kept."""
        shipped = self._shipped_card
        fresh = "_shipped_tower" not in self.__dict__  # to open a tower costs what the cache saves, to run it less
        known = self._cache.get(shipped.name, text, shipped.dimension) if fresh else None

        def by_shipped(wanted: str) -> Embedding:
            return known if known is not None and wanted == text else self._shipped_tower.encode_texts([wanted])[0]

        made = None
        if self._withhold:
            judgement = self._judge.judge(text, by_shipped)
            if judgement.withheld:
                return None
            made = judgement.embedding
        elif self._card.name == shipped.name:
            made = by_shipped(text)
        if made is not None and known is None and fresh:
            self._cache.put(shipped.name, text, made)
        return made if made is not None and self.store.manifest.encoder == shipped.name else self._embed(text)

    @once
    def store(self) -> ImageStore:
        """The opened store."""
        from index_store.store.images import open_store

        return open_store(self._place, self._encoder and self._card.name, preferred=self._card.name, read_only=True)

    @once
    def encoder(self) -> TextEncoder:
        """The text encoder that the store was built with."""
        if self.store.manifest.encoder == self._shipped_card.name:
            return self._shipped_tower
        return load_text_encoder(self._store_card)

    @once
    def _shipped_tower(self) -> TextEncoder:
        """The text tower that ships, whatever encoder the store has: the look at texts needs it.

        In a fresh process it is opened while chromadb is imported: each takes about as long as the other.
        """
        if "store" in self.__dict__ or self._card.name != self._shipped_card.name:
            return load_text_encoder()
        with ThreadPoolExecutor(1, thread_name_prefix="encoder") as thread:
            opening = thread.submit(load_text_encoder)
            self.store  # noqa: B018 - opened and kept
            return opening.result()

    def _embed(self, text: str) -> Embedding:
        """Return the embedding of a text by the store's encoder, from the cache where it is known."""
        manifest = self.store.manifest
        fresh = "encoder" not in self.__dict__
        known = self._cache.get(manifest.encoder, text, manifest.dimension) if fresh else None
        if known is None:
            known = self.encoder.encode_texts([text])[0]
            if fresh:
                self._cache.put(manifest.encoder, text, known)
        return known

    @once
    def _upgrade_note(self) -> tuple[str, ...]:
        """A line where an earlier release's photos are not all embedded again yet."""
        if not any(map(shipped_before, self.store.encoders)) or shipped_before(self.store.manifest.encoder):
            return ()
        count = self.store.count()
        return (f"the photos are being embedded again, {count:,} so far; 'imgsearch index' completes it",)

    @once
    def _cache(self) -> TextCache:
        return TextCache(cache_folder())

    @once
    def reranker(self) -> Scorer:
        """The model that scores a pair in [0, 1]: the encoder's regressor, or the cosine where it has none."""
        from index_store.reranker.cosine import load_scorer

        return load_scorer(self.store.manifest.encoder, self._reranker_folder)

    @property
    def calibrated(self) -> bool:
        """Whether scores are calibrated, and not bare similarities."""
        return self._reranker_folder is not None

    @once
    def _reranker_folder(self) -> Path | None:
        return find_model(RERANKER, self.store.manifest.encoder, self._encoder)

    def shown_photo(self, content: str) -> StoredPhoto | None:
        """Return a stored photo by its content hash; None where the store lacks it or it is withheld at this moment."""
        photo = self.store.photos_of([content]).get(content)
        vector = self.store.embeddings([content]).get(content)
        if photo is None or vector is None:
            return None
        withheld = self._withhold and self._showing.withholds(photo, vector, self._standing_decisions())
        return None if withheld else photo

    def reopen(self) -> None:
        """Close the store, so that the next query opens it as it is then: Chroma does not see what others write."""
        for name in ("store", "_upgrade_note"):
            opened = vars(self).pop(name, None)
            if name == "store" and opened is not None:
                opened.close()

    def _matches(self, ranked: Sequence[tuple[float, Candidate]]) -> list[Match]:
        """Return what is shown of the best; a photo that a writer has dropped meanwhile is left out."""
        known = self.store.photos_of([candidate.key for _, candidate in ranked])
        decisions = self._standing_decisions() if self._withhold else HandDecisions()
        matches: list[Match] = []
        for score, candidate in ranked:
            photo = known.get(candidate.key)
            if photo is None:
                continue
            withheld = self._withhold and self._showing.withholds(photo, candidate.embedding, decisions)
            matches.append(_match(len(matches) + 1, score, candidate, None if withheld else photo))
        return matches

    def _standing_decisions(self) -> HandDecisions:
        """Return the decisions by hand that stand at this moment; unpacked again only after the log has grown."""
        log = self.store.decisions()
        count, decisions = self._unpacked
        if count != len(log):
            decisions = HandDecisions(log, self.store.manifest.encoder)
            self._unpacked = len(log), decisions
        return decisions

    @once
    def _showing(self) -> ShowingRule:
        """The rule that decides which photos are shown."""
        return ShowingRule(self.policy, self._store_card, self._encoder)

    @once
    def _store_card(self) -> EncoderCard:
        name = self.store.manifest.encoder
        return self._card if self._card.name == name else stored_card(name)


def _match(rank: int, score: float, candidate: Candidate, photo: StoredPhoto | None) -> Match:
    """Return a row of the answer; without `photo` the notice stands in its place."""
    if photo is None:
        return Match(rank, score, candidate.similarity, None, None, None)
    there = next(filter(_may_be_there, photo.paths), None)
    shown = there or photo.image_id
    copies = tuple(path for path in photo.paths if path != shown)
    return Match(rank, score, candidate.similarity, shown, photo.width, photo.height, copies, there is None)


def _may_be_there(path: str) -> bool:
    try:
        return is_there(path, follow_links=False)
    except OSError:  # a folder above may not be entered: nobody knows
        return True


def search(
    query: str,
    *,
    store: str | os.PathLike[str] | None = None,
    k: int = DEFAULT_K,
    pool: int = DEFAULT_POOL,
    min_score: float | None = None,
) -> Answer:
    """Search a store by a description; the same as `imgsearch query`. For many queries keep a `Searcher`."""
    return Searcher(store).ask(query, k=k, pool=pool, min_score=min_score)


def rank(
    query_embedding: Embedding, candidates: Sequence[Candidate], reranker: Scorer
) -> list[tuple[float, Candidate]]:
    """Score candidates and sort them: by falling score, ties by falling similarity, then by key."""
    import numpy as np

    if not candidates:
        return []
    scores = reranker.score(query_embedding, np.stack([candidate.embedding for candidate in candidates]))
    ranked = zip((float(score) for score in scores), candidates, strict=True)
    return sorted(ranked, key=lambda pair: (-pair[0], -pair[1].similarity, pair[1].key))


def _reaching(matches: Sequence[Match], least: float) -> list[Match]:
    """Return the matches with a score of at least `least`, with their ranks; withheld ones keep nothing else.

    A withheld photo's score is rounded first: asked for with one threshold after the other, it would be known to
    the last digit, and the scores for many texts reveal an embedding.
    """
    kept = [m for m in matches if (round(m.score, _WITHHELD_DIGITS) if m.withheld else m.score) >= least]
    shown = (replace(match, score=0.0, similarity=0.0) if match.withheld else match for match in kept)
    return [replace(match, rank=rank) for rank, match in enumerate(shown, start=1)]


def _nothing_found(nearest: Sequence[Match], least: float, place: str) -> str:
    if not nearest:
        return f"{place} holds no photos"
    best = next((f" (the best {match.score:.2f})" for match in nearest if not match.withheld), "")
    return f"no photo scores {least:.2f} or more{best}; --min-score 0 shows the nearest"


def _check_usage(query: str, text: str, k: int, pool: int, min_score: float | None) -> None:
    """Refuse what cannot be asked; `text` is the normalised query, which has lost what is no Unicode."""
    if not _is_unicode(query):
        raise UsageError("the query holds bytes that are no UTF-8 text; write it in UTF-8")
    if not text:
        raise UsageError("the query is empty; describe the photo in a few words")
    for name, value in (("k", k), ("pool", pool)):
        if not 1 <= value <= MAX_K:
            raise UsageError(f"{name} is {value}; it must lie between 1 and {MAX_K}")
    if min_score is not None and not 0.0 <= min_score <= 1.0:
        raise UsageError(f"min_score is {min_score}; scores lie between 0 and 1")


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # bytes of the command line, or half of a pair of UTF-16 in JSON
        return False
    return True


def _doubts(text: str) -> tuple[str, ...]:
    """Return warnings about a text that the encoder may not understand."""
    letters = [letter for letter in text if letter.isalpha()]
    foreign = sum(not unicodedata.name(letter, "").startswith("LATIN") for letter in letters)
    if foreign * 2 > len(letters):
        return ("the encoder has learned English; a query in another language may find anything",)
    return ()
