"""Answer a query: check the text, retrieve, rerank, withhold. The one path for the command line and for Python.

>>> from index_store.queries.ask import search
>>> for match in search("dog on beach").matches:
...     print(f"{match.score:.2f} {match.image_id}")
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from index_store.compliance.decisions import HandDecisions
from index_store.compliance.policy import load_policy
from index_store.compliance.showing import ShowingRule
from index_store.encoders.encoder_models import RERANKER, find_model, towers_of
from index_store.encoders.registry import shipped_before
from index_store.errors import PolicyError, UsageError
from index_store.machine import usable_cores
from index_store.once import once
from index_store.queries.match_rows import absent_roots, allow_own_addresses, match_of
from index_store.queries.opened_store import OpenedStore
from index_store.queries.query_texts import QueryTexts
from index_store.queries.question_checks import MAX_K, checked, refuse_empty_folders
from index_store.question import Filters, Question
from index_store.records import BY_REFERENCE, Answer, Candidate, Match

if TYPE_CHECKING:
    from index_store.encoders.protocols import TextEncoder
    from index_store.queries.combining import Aim
    from index_store.queries.duplicates import Duplicate
    from index_store.queries.given_photos import GivenPhotos
    from index_store.records import Embedding, StoredPhoto
    from index_store.reranker.cosine import Scorer
    from index_store.store.image_store import ImageStore

_LOG = logging.getLogger(__name__)

DEFAULT_K = 10
DEFAULT_POOL = 100
_WITHHELD_DIGITS = 2
"""Decimals of the score of a withheld photo that a threshold can reveal."""

_MOST_TOGETHER = 20_000
"""Candidates that are kept for several questions at once: 20,000 are 30 MB."""

_LEAST_TOGETHER = 4
"""Texts for which it pays to encode them together."""

_Given = TypeVar("_Given")
_Made = TypeVar("_Made")

_PROBABLY_NOT = 5
"""How many photos below the threshold an answer has where there is none above it."""


@dataclass(frozen=True, slots=True)
class _Aimed:
    """A question that passed its checks: as it was asked, as it is searched, and what for; None where it is refused."""

    asked: str
    question: Question
    warnings: tuple[str, ...]
    aim: Aim | None

    @property
    def pool_size(self) -> int:
        """How many candidates it begins with."""
        return max(self.question.pool, self.question.k) + len(self.aim.left_out if self.aim is not None else ())


@dataclass(frozen=True, slots=True)
class _Beginning:
    """The ranked pool of a question, and perhaps what has been read for it: rows by content, decisions by hand."""

    ranked: list[tuple[float, Candidate]]
    photos: Mapping[str, StoredPhoto] = field(default_factory=dict)
    decisions: HandDecisions | None = None


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
        language: str | None = None,
    ) -> None:
        """Name the store, by default the user's own, and the encoder, by default the one that the store was built with.

        `policy_file` is the compliance policy, by default the one that ships; `withhold=False` shows everything.
        `language` is that of the texts: `auto`, `en`, `other`, or a code such as `de`.

        Raises:
            PolicyError: the policy is broken, or it is mandatory and was to be switched off.
            UsageError: `language` is none.
        """
        self._opened = OpenedStore(store, encoder)
        self.policy = load_policy(policy_file)
        if self.policy.mandatory and not withhold:
            raise PolicyError("the policy is mandatory and cannot be switched off; leave out --no-policy")
        self._withhold = withhold
        self._texts = QueryTexts(self._opened, self.policy, language, withhold=withhold)
        self._unpacked = 0, HandDecisions()

    @property
    def store(self) -> ImageStore:
        """The opened store."""
        return self._opened.store

    @property
    def encoder(self) -> TextEncoder:
        """The text encoder that the store was built with."""
        return self._texts.own_tower

    def ask(
        self, query: str | Question, *, k: int = DEFAULT_K, pool: int = DEFAULT_POOL, min_score: float | None = None
    ) -> Answer:
        """Return the `k` best photos that are shown among the `pool` nearest, with a score of at least `min_score`.

        `query` is a text, or a `Question`, which has its own `k`, `pool` and `min_score`. `min_score` in [0, 1] is by
        default the reranker's own threshold, below which a photo is no match. Withheld photos that would stand among
        these are in the answer too, and take no place of a shown one.

        Raises:
            UsageError: the query is blank, a number is out of range, a given photo cannot be opened, or nothing is
                indexed in a folder of the filters.
            StoreError, EncoderError, WeightsError, PolicyError: something that is needed is missing or broken.
        """
        question = query if isinstance(query, Question) else Question(query, k=k, pool=pool, min_score=min_score)
        return self._answer(self._aimed(question))

    def ask_all(self, questions: Sequence[Question]) -> list[Answer | UsageError]:
        """Answer several questions, in less time than one after the other, and each as `ask` does.

        What is wrong with one question is its own error; what concerns all is raised, as `ask` raises it. Texts
        are encoded together.
        """
        self._texts.encode_ahead(_texts_of(questions))
        aimed = list(self._threads.map(_or_error(self._aimed), questions))
        beginnings = self._beginnings([each for each in aimed if isinstance(each, _Aimed) and each.aim is not None])

        def answer(each: _Aimed | UsageError) -> Answer | UsageError:
            return each if isinstance(each, UsageError) else self._answer(each, beginnings.get(id(each)))

        return list(self._threads.map(_or_error(answer), aimed))

    def _aimed(self, asked: Question) -> _Aimed:
        """Return what is searched for; raises as `ask` does."""
        started = time.perf_counter()
        question, warnings = checked(asked)
        aim = self._aim(question)
        if aim is not None:
            took = 1000 * (time.perf_counter() - started)
            _LOG.info("question embedded by %s in %.0f ms", self.store.manifest.encoder, took)
        return _Aimed(asked.text, question, warnings, aim)

    def _answer(self, aimed: _Aimed, beginning: _Beginning | None = None) -> Answer:
        """Return the answer; `beginning` is what is known of it already."""
        question, aim, started = aimed.question, aimed.aim, time.perf_counter()
        if aim is None:
            return Answer(aimed.asked, notice=self.policy.notice, refused=True)
        least = aim.scorer.min_score if question.min_score is None else question.min_score
        ranked, matches = self._found(aim, question, least, beginning)
        took = 1000 * (time.perf_counter() - started)
        place = self.store.place
        _LOG.info("%d candidates from %s, reranked by %s, in %.0f ms", len(ranked), place, aim.scorer.version, took)
        nearest = () if matches else self._shown(ranked, _PROBABLY_NOT, question.filters)
        if not ranked:
            refuse_empty_folders(question.filters, self.store)
        return Answer(
            aimed.asked,
            tuple(matches),
            reason="" if matches else _nothing_found(nearest, least, self.store.place, question.filters),
            notice=self.policy.notice if any(match.withheld for match in matches) else None,
            calibrated=False if question.like else self.calibrated,
            warnings=(*aimed.warnings, *self._encoder_note, *self._upgrade_note, *absent_roots(matches, self.store)),
            nearest=nearest,
        )

    def _beginnings(self, aimed: Sequence[_Aimed]) -> dict[int, _Beginning]:
        """Search for several questions together; return what is found for each by its id."""
        found: dict[int, list[Candidate]] = {}
        for filters in {each.question.filters for each in aimed}:
            same = [each for each in aimed if each.question.filters == filters]
            largest = max(each.pool_size for each in same)
            at_once = _MOST_TOGETHER // largest
            if at_once < 2:
                continue
            import numpy as np

            for start in range(0, len(same), at_once):
                some = same[start : start + at_once]
                vectors = np.stack([each.aim.vector for each in some if each.aim is not None])
                pools = self.store.nearest_to_each(vectors, largest, filters)
                found |= {id(each): pool[: each.pool_size] for each, pool in zip(some, pools, strict=True)}
        searched = [each for each in aimed if id(each) in found]
        ranked = list(self._threads.map(lambda each: _ranked(each.aim, found[id(each)]), searched))
        best = {c.key for each, pool in zip(searched, ranked, strict=True) for _, c in pool[: 2 * each.question.k]}
        photos = self.store.photos_of(list(best)) if best else {}
        decisions = self._standing_decisions()
        return {id(e): _Beginning(pool, photos, decisions) for e, pool in zip(searched, ranked, strict=True)}

    @once
    def _threads(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(usable_cores(), thread_name_prefix="questions")

    def duplicates(
        self,
        folders: Sequence[str] = (),
        progress: Callable[[int, int], None] = lambda done, total: None,
        *,
        equal: bool = False,
    ) -> list[list[Duplicate]]:
        """Return groups of equal and of nearly equal photos in the folders, the best of each first.

        `folders` are absolute paths, none means all; `equal` leaves out what is nearly equal. Withheld photos are left
        out. Photos that are related are opened, for each of which `progress` is called; that takes minutes for 10,000.

        Raises:
            UsageError: nothing is indexed in a folder.
            StoreError, PolicyError: something that is needed is missing or broken.
        """
        from index_store.queries.duplicates import find_duplicates, paths_below

        refuse_empty_folders(Filters(tuple(folders)), self.store)
        decisions = self._standing_decisions()

        def shows(photo: StoredPhoto, embedding: Embedding) -> bool:
            return not (self._withhold and self._showing.withholds(photo, embedding, decisions))

        return find_duplicates(self.store, shows, paths_below(folders), progress, equal=equal)

    def _aim(self, question: Question) -> Aim | None:
        """Return what is searched for, None where the policy refuses a text or withholds a given photo."""
        text = self._texts.embedding(question.text, question.language) if question.text else None
        if question.text and text is None:
            return None
        away: list[Embedding] = []
        for other in question.away:
            vector = self._texts.embedding(other, question.language)
            if vector is None:
                return None
            away.append(vector)
        if self._withhold and text is not None and away and self._texts.lead_to_children(question, text, away):
            return None
        like: dict[str, Embedding] = {}
        for photo in question.like:
            given = self._given.embedding(photo, self._standing_decisions())
            if given is None:
                return None
            like[given[0]] = given[1]
        from index_store.queries.combining import aimed  # late: numpy

        return aimed(text, like, away, self.reranker)

    def _found(
        self, aim: Aim, question: Question, least: float, beginning: _Beginning | None
    ) -> tuple[list[tuple[float, Candidate]], list[Match]]:
        """Return the ranked pool and the matches: the pool grows where withheld photos have used up its places."""
        pool = max(question.pool, question.k)
        while True:
            if beginning is None:
                nearest = self.store.nearest(aim.vector, pool + len(aim.left_out), question.filters)
                beginning = _Beginning(_ranked(aim, nearest))
            ranked = beginning.ranked
            matches = self._best(beginning, question, least)
            shown = sum(not match.withheld for match in matches)
            if shown >= question.k or len(matches) < len(ranked) or len(ranked) < pool or pool == MAX_K:
                return ranked, matches
            pool, beginning = min(2 * pool, MAX_K), None

    def _best(self, beginning: _Beginning, question: Question, least: float) -> list[Match]:
        """Return the matches up to the last of the `k` that are shown."""
        near = [(score, candidate) for score, candidate in beginning.ranked if score >= least - 10**-_WITHHELD_DIGITS]
        matches: list[Match] = []
        for start in range(0, len(near), question.k):
            some = self._matches(near[start : start + question.k], question.filters, beginning)
            matches += _reaching(some, least)
            places = [place for place, match in enumerate(matches) if not match.withheld]
            if len(places) >= question.k:
                matches = matches[: places[question.k - 1] + 1]
                break
        return [replace(match, rank=rank) for rank, match in enumerate(matches, start=1)]

    def _shown(self, ranked: Sequence[tuple[float, Candidate]], count: int, filters: Filters) -> tuple[Match, ...]:
        """Return the first `count` that are not withheld; withheld ones are not mentioned."""
        shown: list[Match] = []
        for start in range(0, len(ranked), count):
            some = self._matches(ranked[start : start + count], filters)
            shown += [match for match in some if not match.withheld]
            if len(shown) >= count:
                break
        return tuple(replace(match, rank=rank) for rank, match in enumerate(shown[:count], start=1))

    @once
    def _encoder_note(self) -> tuple[str, ...]:
        """A line that says which of several encoders answers."""
        used = self.store.manifest.encoder
        others = [name for name in self.store.encoders if name != used and not shipped_before(name)]
        return (f"searched with {used}; --encoder takes another: {', '.join(others)}",) if others else ()

    @once
    def _upgrade_note(self) -> tuple[str, ...]:
        """A line where an earlier release's photos are not all embedded again yet."""
        if not any(map(shipped_before, self.store.encoders)) or shipped_before(self.store.manifest.encoder):
            return ()
        count = self.store.count()
        return (f"the photos are being embedded again, {count:,} so far; 'imgsearch index' completes it",)

    @once
    def reranker(self) -> Scorer:
        """The model that scores a pair in [0, 1]: the encoder's regressor, or the cosine where it has none."""
        return scorer_of(self.store, self._opened.named_encoder)

    @property
    def calibrated(self) -> bool | str:
        """Whether scores are calibrated: by a reranker, "by reference" to the store's photos, or bare similarities."""
        if self._reranker_folder is not None:
            return True
        return BY_REFERENCE if self.reranker.min_score > 0 else False

    @once
    def _reranker_folder(self) -> Path | None:
        return find_model(RERANKER, self.store.manifest.encoder, self._opened.named_encoder)

    def shown_photo(self, content: str) -> StoredPhoto | None:
        """Return a stored photo by its content hash; None where the store lacks it or it is withheld at this moment."""
        photo = self.store.photos_of([content]).get(content)
        vector = self.store.embeddings([content]).get(content)
        if photo is None or vector is None:
            return None
        withheld = self._withhold and self._showing.withholds(photo, vector, self._standing_decisions())
        if withheld:
            return None
        allow_own_addresses(self.store, photo.paths)
        return photo

    def reopen(self) -> None:
        """Close the store, so that the next query opens it as it is then: Chroma does not see what others write."""
        vars(self).pop("_upgrade_note", None)
        self._opened.close()

    @once
    def _given(self) -> GivenPhotos:
        """What opens and judges the photos that a question gives."""
        from index_store.queries.given_photos import GivenPhotos

        return GivenPhotos(self._opened.card, self.policy, self._opened.named_encoder, withhold=self._withhold)

    def _matches(
        self, ranked: Sequence[tuple[float, Candidate]], filters: Filters, beginning: _Beginning | None = None
    ) -> list[Match]:
        """Return what is shown of the best; a photo that a writer has dropped meanwhile is left out."""
        keys = [candidate.key for _, candidate in ranked]
        known, decisions = (beginning.photos, beginning.decisions) if beginning is not None else ({}, None)
        if not known.keys() >= set(keys):
            known = self.store.photos_of(keys)
        if decisions is None:
            decisions = self._standing_decisions() if self._withhold else HandDecisions()
        matches: list[Match] = []
        for score, candidate in ranked:
            photo = known.get(candidate.key)
            if photo is None:
                continue
            withheld = self._withhold and self._showing.withholds(photo, candidate.embedding, decisions)
            matches.append(match_of(len(matches) + 1, score, candidate, None if withheld else photo, filters))
        allow_own_addresses(self.store, [path for match in matches for path in match.paths])
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
        return ShowingRule(self.policy, self._opened.card, self._opened.named_encoder)


def _texts_of(questions: Sequence[Question]) -> Iterator[tuple[str, str | None]]:
    """Yield the normalised texts of the questions that can be asked, with their languages."""
    for asked in questions:
        with suppress(UsageError):  # raised again where the question is answered
            yield checked(asked)[0].text, asked.language


def _or_error(work: Callable[[_Given], _Made]) -> Callable[[_Given], _Made | UsageError]:
    """Return the same work, which returns a mistake in a question in place of raising it."""

    def tried(given: _Given) -> _Made | UsageError:
        try:
            return work(given)
        except UsageError as error:
            return error

    return tried


def scorer_of(store: ImageStore, named: str | None) -> Scorer:
    """Return the reranker of the store's encoder, which the user may have `named`.

    Without one, scores are by reference to the store's photos, or the bare cosine where it has few.

    Raises:
        WeightsError: the reranker is damaged, or belongs to another encoder.
    """
    from index_store.reranker.by_reference import LEAST_SAMPLE, SAMPLE, ReferenceScorer
    from index_store.reranker.cosine import load_scorer

    name = store.manifest.encoder
    folder = find_model(RERANKER, name, named)
    if folder is None and len(sample := store.sample(SAMPLE)) >= LEAST_SAMPLE:
        return ReferenceScorer(sample, store.count())
    return load_scorer(towers_of(name, named), folder)


def search(
    query: str,
    *,
    store: str | os.PathLike[str] | None = None,
    k: int = DEFAULT_K,
    pool: int = DEFAULT_POOL,
    min_score: float | None = None,
    encoder: str | None = None,
    language: str | None = None,
) -> Answer:
    """Search a store by a description; the same as `imgsearch query`. For many queries keep a `Library`.

    >>> len(search("a cat", store="photos.store", k=1, min_score=0))
    1
    """
    return Searcher(store, encoder=encoder, language=language).ask(query, k=k, pool=pool, min_score=min_score)


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


def _ranked(aim: Aim | None, candidates: Sequence[Candidate]) -> list[tuple[float, Candidate]]:
    """Return the candidates ranked, without the photos that the question gives."""
    if aim is None:
        return []
    there = [candidate for candidate in candidates if candidate.key not in aim.left_out]
    return rank(aim.vector, there, aim.scorer)


def _reaching(matches: Sequence[Match], least: float) -> list[Match]:
    """Return the matches with a score of at least `least`; withheld ones keep nothing but their place.

    A withheld photo's score is rounded first: asked for with one threshold after the other, it would be known to
    the last digit, and the scores for many texts reveal an embedding.
    """
    kept = [m for m in matches if (round(m.score, _WITHHELD_DIGITS) if m.withheld else m.score) >= least]
    return [replace(match, score=0.0, similarity=0.0) if match.withheld else match for match in kept]


def _nothing_found(nearest: Sequence[Match], least: float, place: str, filters: Filters) -> str:
    if nearest:
        return f"no photo scores {least:.2f} or more (the best {nearest[0].score:.2f})"
    return f"{place} holds no photos" if filters == Filters() else "no photo passes the filters"
