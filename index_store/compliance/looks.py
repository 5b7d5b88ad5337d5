"""Judge a photo by more than one look: every frame of its file, and, where the first look is doubtful, turned.

A photo that lies on its side looks less like what the rule learned. One more look is cheap where it is taken at few
photos: at those whose probability lies not far below the threshold.
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
class Look:
    """A further look at a photo: taken where its probability is at least `share` of the threshold, and below it."""

    name: str
    share: float
    alter: Callable[[Pixels], Pixels]


def to_the_left(pixels: Pixels) -> Pixels:
    """Return a photo turned to the left by a quarter."""
    return np.ascontiguousarray(np.rot90(pixels))


def to_the_right(pixels: Pixels) -> Pixels:
    """Return a photo turned to the right by a quarter."""
    return np.ascontiguousarray(np.rot90(pixels, -1))


LOOKS = (Look("turned to the left", 0.46, to_the_left), Look("turned to the right", 0.77, to_the_right))
"""The looks that bring the most for under a fifth of the time of the first (docs/compliance.md has the figures)."""

DISCOUNT = 1.5
"""What the probability of a further look is divided by: with several looks chance alone brings one over the threshold,
and of the photos that reach the threshold by a hair in one look of many most are harmless."""

THRESHOLD = 0.12
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
    verdicts = [
        _of_file(photo, judged[start : start + count])
        for photo, start, count in zip(photos, starts, counts, strict=True)
    ]
    _look_again(encoder, judge, photos, verdicts, threshold)
    return embeddings[starts], verdicts


def _of_file(photo: OpenedPhoto, judged: Sequence[Verdict]) -> Verdict:
    """Return the strictest verdict of a file's pictures."""
    if photo.unseen:
        return replace(judged[0], withheld=True, probability=1.0, reason="some of its frames cannot be looked at")
    place = max(range(len(judged)), key=lambda at: judged[at].probability)
    verdict = judged[place]
    return verdict if place == 0 else replace(verdict, reason=f"frame {place + 1} of those looked at: {verdict.reason}")


def _look_again(
    encoder: PhotoEncoder, judge: Judge, photos: Sequence[OpenedPhoto], verdicts: list[Verdict], threshold: float
) -> None:
    """Take further looks at the photos in doubt, and put a stricter verdict in place of the first where one is."""
    asked = [
        (place, look)
        for place, verdict in enumerate(verdicts)
        for look in LOOKS
        if not verdict.withheld and look.share * threshold <= verdict.probability < threshold
    ]
    if not asked:
        return
    again = judge(encoder.encode_photos([look.alter(photos[place].pixels) for place, look in asked]))
    for (place, look), verdict in zip(asked, again, strict=True):
        discounted = verdict.probability / DISCOUNT
        if verdict.withheld and discounted >= threshold and discounted > verdicts[place].probability:
            verdicts[place] = replace(verdict, probability=discounted, reason=f"{look.name}: {verdict.reason}")
