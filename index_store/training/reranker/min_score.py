"""Choose the least score of a match, so that a query that nothing matches is answered "nothing found".

Absent queries are made from real ones: a query keeps its text, its gallery loses the photo that the text was written
for and every photo whose relevance to it is high. High means judged so by the experts (mean at least 3 of 4) or by the
crowd (share at least one half); or predicted so: one of the photo's own texts says nearly the same (cosine at least
`ALIKE_TEXTS`), or the reranker scores it `HIGH_SCORE` or more, the middle between "shares elements" and "matches but
for details".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from index_store.training.data.judgements import Judgements, photo_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Rows = NDArray[np.float32]
    Vector = NDArray[np.float32]
    Score = Callable[[NDArray[np.float32], Rows], NDArray[np.float32]]

GALLERY_SIZE = 100
ALIKE_TEXTS = 0.8
HIGH_SCORE = 0.5
GOOD_EXPERT_SCORE = 3.0
GOOD_CROWD_SHARE = 0.5
AIMED_ABSENT_RATE = 0.08
"""How many absent queries may be answered on the photos where the threshold is chosen; the bar is 0.10 on others."""

AIMED_ABSENT_SHORT = 0.12
"""The same of short queries, in the mean over the sets that they are measured on."""


@dataclass(frozen=True, slots=True)
class BestScores:
    """The best score of each query in its gallery, with (`real`) and without (`absent`) any good answer."""

    real: NDArray[np.float64]
    absent: NDArray[np.float64]

    def answered(self, min_score: float) -> tuple[float, float]:
        """Return the shares of absent and of real queries that are answered at `min_score`."""
        return float((self.absent >= min_score).mean()), float((self.real >= min_score).mean())


def choose_min_score(best: BestScores, absent_short: Callable[[float], float] | None = None) -> float:
    """Return the smallest score, in hundredths, at which few enough absent queries are answered.

    `absent_short` returns the share of absent short queries that are answered at a score; few is `AIMED_ABSENT_RATE`
    of sentences and `AIMED_ABSENT_SHORT` of these.
    """
    for score in (hundredths / 100 for hundredths in range(100)):
        few = best.answered(score)[0] <= AIMED_ABSENT_RATE
        if few and (absent_short is None or absent_short(score) <= AIMED_ABSENT_SHORT):
            return score
    return 1.0


def good_answers(
    judgements: Judgements, texts: Mapping[str, Vector], gallery: Sequence[str]
) -> Callable[[str], NDArray[np.bool_]]:
    """Return a function that marks, for a query_id, the photos of `gallery` that answer it.

    `texts` are the embeddings of all known texts by query_id; a photo's own texts are those whose query_id names it.
    """
    judged = {(pair.image, pair.query_id) for pair in judgements.crowd if pair.share >= GOOD_CROWD_SHARE}
    judged |= {
        (pair.image, pair.query_id)
        for pair in judgements.expert
        if sum(pair.scores) >= GOOD_EXPERT_SCORE * len(pair.scores)
    }
    query_ids = list(texts)
    rows = np.stack([texts[query_id] for query_id in query_ids])
    place = {image: column for column, image in enumerate(gallery)}
    owners = np.array([place.get(photo_of(query_id), -1) for query_id in query_ids])

    def marks(query_id: str) -> NDArray[np.bool_]:
        alike = owners[rows @ texts[query_id] >= ALIKE_TEXTS]
        found = np.array([(image, query_id) in judged or image == photo_of(query_id) for image in gallery])
        found[alike[alike >= 0]] = True
        return found

    return marks


def best_scores(
    score: Score,
    queries: Mapping[str, Vector],
    gallery: Sequence[str],
    photos: Rows,
    good: Callable[[str], NDArray[np.bool_]],
    size: int = GALLERY_SIZE,
    seed: int = 0,
    high_score: float = HIGH_SCORE,
    predict: Score | None = None,
) -> BestScores:
    """Return the best scores of queries whose own photo is in `gallery`, over galleries of `size` photos.

    A gallery larger than `size` is drawn again for each query: the real one holds the query's own photo, the absent one
    no photo of high relevance. `high_score` above 1 leaves the reranker's own prediction out of that; `predict` makes
    it in place of `score`, so that two scorers can be compared on the same galleries.
    """
    chance = np.random.default_rng(seed)
    place = {image: row for row, image in enumerate(gallery)}
    real, absent = [], []
    for query_id, embedding in queries.items():
        own = place[photo_of(query_id)]
        scores = score(embedding, photos)
        predicted = scores if predict is None else predict(embedding, photos)
        high = good(query_id) | (predicted >= high_score)
        others = np.delete(np.arange(len(gallery)), own)
        drawn = chance.permutation(others)[: size - 1]
        real.append(float(max(scores[own], scores[drawn].max(initial=0.0))))
        without = chance.permutation(np.flatnonzero(~high))[:size]
        absent.append(float(scores[without].max(initial=0.0)))
    return BestScores(np.array(real), np.array(absent))
