"""Choose the English texts that the head learns from: captions, phrases of classes, and short pieces of captions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random

from index_store.compliance.normalising import normalise
from index_store.compliance.policy import Policy
from index_store.training.data.captions import CaptionedPhoto, held_out, read_captions
from index_store.training.text_look.train import read_examples

SHORT_PIECES = 4_300
"""Pieces of one to four words: people ask in a few words, and captions are long."""

_MOST_CAPTIONS = 12_000
"""The most captions of one folder."""

VALIDATION_PHOTOS = 0.1
"""The share of each folder's photos whose captions are for measuring alone."""


def english_texts(folders: Sequence[Path], policy: Policy, seed: int) -> list[str]:
    """Return the texts to learn from, each once, always in the same order.

    Of a folder no more than 12,000 captions are taken, of each photo as many as of the others. The example texts of
    the look at texts and the words of the policy are added, because the look must see them through the head.
    """
    captions = [text for folder in folders for text in _captions(folder)]
    pieces = _pieces(captions, SHORT_PIECES, Random(seed))
    examples = [text for text, _ in read_examples()]
    return list(dict.fromkeys(normalise(text).text for text in [*captions, *pieces, *examples, *policy_words(policy)]))


def policy_words(policy: Policy) -> list[str]:
    """Return the English words and phrases that the policy withholds."""
    lemmas = [
        form for group in policy.words for lemma in group.lemmas for form in (lemma, *policy.forms.get(lemma, ()))
    ]
    return list(dict.fromkeys([*lemmas, *policy.withheld_phrases]))


def _captions(folder: Path) -> list[str]:
    photos = [photo for photo in read_captions(folder) if not held_out(photo.image, VALIDATION_PHOTOS)]
    taken = dict.fromkeys(_in_turn(photos))
    return list(taken)[:_MOST_CAPTIONS]


def _in_turn(photos: Sequence[CaptionedPhoto]) -> Iterator[str]:
    """Yield the first caption of each photo, then the second of each."""
    for number in range(max((len(photo.captions) for photo in photos), default=0)):
        yield from (photo.captions[number] for photo in photos if number < len(photo.captions))


def _pieces(captions: Sequence[str], count: int, chance: Random) -> list[str]:
    pieces: list[str] = []
    while captions and len(pieces) < count:
        words = [word for word in chance.choice(captions).lower().split() if word[0].isalnum()]
        length = chance.randint(1, 4)
        if len(words) >= length:
            start = chance.randrange(len(words) - length + 1)
            pieces.append(" ".join(words[start : start + length]))
    return pieces
