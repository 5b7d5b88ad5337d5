"""Judge a photo by more than one look: every frame of its file, and, where the first look is doubtful, further ones.

Copies of one photo get somewhat different embeddings: near the threshold the mean with the mirror image is judged, so
that copies more often get the same verdict. A photo that lies on its side looks less like what the rule learned: a
little below the threshold it is turned too. Such looks are cheap, for they are taken at few photos.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from index_store.records import OpenedPhoto, Verdict

if TYPE_CHECKING:
    from index_store.encoders.protocols import Embeddings, PhotoEncoder, Pixels

    Judge = Callable[[Embeddings], Sequence[Verdict]]


@dataclass(frozen=True, slots=True)
class Band:
    """Probabilities in doubt, as shares of the threshold."""

    least: float
    most: float

    def holds(self, probability: float, threshold: float) -> bool:
        """Return whether a probability is in doubt."""
        return self.least * threshold <= probability < self.most * threshold


@dataclass(frozen=True, slots=True)
class Look:
    """A further look at a photo: taken where its probability is at least `share` of the threshold, and below it."""

    name: str
    share: float
    alter: Callable[[Pixels], Pixels]


def mirrored(pixels: Pixels) -> Pixels:
    """Return a photo's mirror image."""
    return np.ascontiguousarray(pixels[:, ::-1])


def to_the_left(pixels: Pixels) -> Pixels:
    """Return a photo turned to the left by a quarter."""
    return np.ascontiguousarray(np.rot90(pixels))


def to_the_right(pixels: Pixels) -> Pixels:
    """Return a photo turned to the right by a quarter."""
    return np.ascontiguousarray(np.rot90(pixels, -1))


LOOKS = (Look("turned to the left", 0.46, to_the_left), Look("turned to the right", 0.77, to_the_right))
"""The looks that bring the most for under a fifth of the time of the first (docs/compliance.md has the figures)."""

MIRRORED = Band(0.77, 1.3)
"""Where the mean of a photo's embedding and that of its mirror image is judged."""

DISCOUNT = 1.5
"""What the probability of a further look is divided by: with several looks chance alone brings one over the threshold,
and of the photos that reach the threshold by a hair in one look of many most are harmless."""

THRESHOLD = 0.11
"""The threshold of the policy that ships, near which a first look is doubtful."""


def judge_looks(
    encoder: PhotoEncoder, judge: Judge, photos: Sequence[OpenedPhoto], threshold: float = THRESHOLD
) -> tuple[Embeddings, list[Verdict]]:
    """Return the embedding of each photo itself, shape (n, dimension), and the strictest verdict of all looks at it.

    The photos and their frames are encoded in one call, and all further looks in a second. A photo with frames that
    could not be looked at is withheld.
    """
    counts = [1 + len(photo.frames) for photo in photos]
    starts = np.cumsum([0, *counts[:-1]], dtype=int)
    embeddings = encoder.encode_photos([picture for photo in photos for picture in (photo.pixels, *photo.frames)])
    judged = judge(embeddings)
    first = [
        _of_file(photo, judged[start : start + count])
        for photo, start, count in zip(photos, starts, counts, strict=True)
    ]
    return embeddings[starts], _look_again(encoder, judge, photos, (embeddings[starts], first), threshold)


def _of_file(photo: OpenedPhoto, judged: Sequence[Verdict]) -> Verdict:
    """Return the strictest verdict of a file's pictures."""
    if photo.unseen:
        return replace(judged[0], withheld=True, probability=1.0, reason="some of its frames cannot be looked at")
    place = max(range(len(judged)), key=lambda at: judged[at].probability)
    verdict = judged[place]
    return verdict if place == 0 else replace(verdict, reason=f"frame {place + 1} of those looked at: {verdict.reason}")


def _look_again(
    encoder: PhotoEncoder,
    judge: Judge,
    photos: Sequence[OpenedPhoto],
    looked: tuple[Embeddings, Sequence[Verdict]],
    threshold: float,
) -> list[Verdict]:
    """Return the verdicts after further looks at the photos in doubt: that of the mean, or a stricter one of a turn."""
    embeddings, verdicts = looked[0], list(looked[1])
    means = [
        place
        for place, verdict in enumerate(verdicts)
        if not photos[place].frames and MIRRORED.holds(verdict.probability, threshold)
    ]
    turns = [
        (place, look)
        for place, verdict in enumerate(verdicts)
        for look in LOOKS
        if not verdict.withheld and look.share * threshold <= verdict.probability < threshold
    ]
    if not means and not turns:
        return verdicts
    further = encoder.encode_photos(
        [*(mirrored(photos[place].pixels) for place in means), *(look.alter(photos[at].pixels) for at, look in turns)]
    )
    count = len(means)
    again = judge(np.concatenate([(embeddings[means] + further[:count]) / 2, further[count:]]))
    for place, verdict in zip(means, again[:count], strict=True):
        verdicts[place] = replace(verdict, reason=f"with its mirror image: {verdict.reason}")
    for (place, look), verdict in zip(turns, again[count:], strict=True):
        discounted = verdict.probability / DISCOUNT
        if verdict.withheld and discounted >= threshold and discounted > verdicts[place].probability:
            verdicts[place] = replace(verdict, probability=discounted, reason=f"{look.name}: {verdict.reason}")
    return verdicts
