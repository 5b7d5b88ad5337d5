"""Make pairs of short queries and photos out of captions: which photos match, which do not, and what each counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from index_store.training.data.pairs import Pairs, Vectors
from index_store.training.data.short_queries import Phrase, Sayings, relevance

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Rows = NDArray[np.float32]
    Places = NDArray[np.int64]
    Floats = NDArray[np.float64]

NEAR_NEGATIVES, OTHER_NEGATIVES = 10, 15
"""For each query and set: the nearest photos whose captions leave it unsaid, and as many at random for the rest."""

LEAST_RIGHT_SHARE = 0.02
"""A query counts as if at least so many of the photos were right: else no photo would ever pass for a rare thing.

With more of them the nearest photo passes for a thing that is not there: docs/relevance.md has the figures.
"""

LEAST_RIGHT_SHARE_OF_MATCH = 0.08
"""The same for the match, which orders photos: there those that are right may count more."""

THINGS = ("thing", "described")
"""The kinds of phrases that may be absent: what nobody says to happen may happen all the same."""

BARE_SHARE = 0.5
"""How often a query is worded as barely as can be; otherwise one of its wordings is drawn."""


@dataclass(frozen=True, slots=True)
class ShortSet:
    """Photos of one kind, what their captions say, and their embeddings, row i for `sayings.images[i]`.

    `unseen` marks photos that the encoder did not learn from: scores are calibrated and measured on these. Where the
    captions are `names` ("a bakery shop"), they leave too much unsaid to tell what a photo does not show.
    """

    name: str
    sayings: Sayings
    photos: Rows
    unseen: NDArray[np.bool_]
    weight: float = 1.0
    names: bool = False

    def take(self, places: Places) -> ShortSet:
        """Return the set with these photos only."""
        kept = self.sayings.take(places.tolist())
        return ShortSet(self.name, kept, self.photos[places], self.unseen[places], self.weight, self.names)


@dataclass(frozen=True, slots=True)
class ShortPairs:
    """Pairs of short queries and photos; `calibrating` marks those that scores are calibrated on.

    `match_weight` is what each counts for the match, where `pairs` has what it counts for the score. Each of `wordings`
    holds the places of the texts that say the same thing.
    """

    pairs: Pairs
    match_weight: Floats
    calibrating: NDArray[np.bool_]
    wordings: Sequence[Places]

    def take(self, places: Places) -> ShortPairs:
        """Return these pairs only."""
        return replace(
            self,
            pairs=self.pairs.take(places),
            match_weight=self.match_weight[places],
            calibrating=self.calibrating[places],
        )


def make_short_pairs(
    sets: Sequence[ShortSet], wordings: Mapping[Phrase, Sequence[str]], texts: Vectors, seed: int
) -> ShortPairs:
    """Return pairs of all phrases with photos: all that say it, the nearest that do not, and some others.

    A thing that no caption of a set says has such pairs too, so that absent things are learned from; not so where the
    captions are names.
    Calibrated is on unseen photos with several captions; where there are none, on all unseen ones.
    """
    chance = np.random.default_rng(seed)
    place = {text: row for row, text in enumerate(texts.names)}
    photos = Vectors(
        [f"{each.name}/{image}" for each in sets for image in each.sayings.images],
        np.concatenate([each.photos for each in sets]),
    )
    parts: list[tuple[Places, Places, Floats, Floats, Floats, NDArray[np.bool_]]] = []
    first = 0
    several = [np.array(each.sayings.captions) > 1 for each in sets]
    strict = any((each.unseen & more).any() for each, more in zip(sets, several, strict=True))
    for each, more in zip(sets, several, strict=True):
        usable = each.unseen & more if strict else each.unseen
        said = by_phrase(each.sayings)
        for phrase, ways in wordings.items():
            photo_relevance = said.get(phrase, {})
            if photo_relevance or (phrase.kind in THINGS and not each.names):
                bare = chance.random() < BARE_SHARE
                row = place[ways[0] if bare else ways[int(chance.integers(len(ways)))]]
                chosen, values, weights, others = _of_phrase(each, photo_relevance, texts.rows[row], chance)
                parts.append((np.full(len(chosen), row), chosen + first, values, weights, others, usable[chosen]))
        first += len(each.photos)
    text_places, photo_places, values, weights, others, calibrating = (
        np.concatenate(column) for column in zip(*parts, strict=True)
    )
    pairs = Pairs(texts, photos, text_places, photo_places, values, weights / weights.mean())
    said_alike = [np.array([place[way] for way in ways]) for ways in wordings.values()]
    return ShortPairs(pairs, others / others.mean(), calibrating, said_alike)


def by_phrase(sayings: Sayings) -> dict[Phrase, dict[int, float]]:
    """Return for each phrase the photos that say it, by place, with their relevance."""
    found: dict[Phrase, dict[int, float]] = {}
    for place, (said, captions) in enumerate(zip(sayings.said, sayings.captions, strict=True)):
        for phrase, count in said.items():
            found.setdefault(phrase, {})[place] = relevance(count, captions)
    return found


def _of_phrase(
    each: ShortSet, photo_relevance: Mapping[int, float], text: Rows, chance: np.random.Generator
) -> tuple[Places, Floats, Floats, Floats]:
    """Return photos, relevances and weights of one query in one set, for the score and for the match.

    The weights of the photos that are right, and of those that are not, stand in the ratio in which they are found,
    but for the least shares; a query counts by the root of how many are right, so that "man" is not everything.
    """
    right = np.fromiter(photo_relevance, dtype=np.int64)
    rest = np.setdiff1d(np.arange(len(each.photos)), right)
    near = rest[np.argsort(-(each.photos[rest] @ text), kind="stable")[:NEAR_NEGATIVES]]
    far = np.setdiff1d(rest, near)
    drawn = chance.choice(far, min(OTHER_NEGATIVES, len(far)), replace=False)
    chosen = np.concatenate([right, near, drawn])
    values = np.concatenate([np.fromiter(photo_relevance.values(), dtype=np.float64), np.zeros(len(near) + len(drawn))])
    stands_for = np.concatenate([np.ones(len(near)), np.full(len(drawn), len(far) / max(len(drawn), 1))])

    def weights(least_share: float) -> Floats:
        share = min(max(len(right) / len(each.photos), least_share), 0.5) if len(right) else 0.0
        of_right = np.full(len(right), share / max(len(right), 1))
        of_others = (1 - share) * stands_for / max(stands_for.sum(), 1e-9)
        weighted: Floats = each.weight * np.sqrt(max(len(right), 1)) * np.concatenate([of_right, of_others])
        return weighted

    return chosen, values, weights(LEAST_RIGHT_SHARE), weights(LEAST_RIGHT_SHARE_OF_MATCH)
