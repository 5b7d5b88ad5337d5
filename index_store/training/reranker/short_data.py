"""Gather what the model for short queries learns from: captioned photos, what they say, and the vectors of both."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from index_store.compliance.policy import load_policy
from index_store.compliance.texts import TextRule
from index_store.training.data.captions import CaptionedPhoto, DataFolder, held_out, read_captions
from index_store.training.data.judgements import Judgements, photo_of
from index_store.training.data.pairs import Vectors
from index_store.training.data.short_grades import read_grades
from index_store.training.data.short_pairs import ShortPairs, ShortSet, make_short_pairs
from index_store.training.data.short_queries import Phrase, all_wordings, joined, read_sayings
from index_store.training.data.vectors import VectorCache, encoder_vectors

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Rows = NDArray[np.float32]
    Progress = Callable[[int, int], None]
    Captions = Sequence[tuple[str, Sequence[str]]]

MOST_SEEN_CAPTIONS = 10_000
"""How many captions of photos that the encoder learned from are read in each folder: more take long and add little."""

LEAST_PHOTOS = 5
"""A phrase is learned from where the captions of so many photos say it."""

SENTENCES, SENTENCE_WORDS = 1_000, 7
NAME_WORDS = 4
"""Captions of at most so many words, in the median, are names of what a photo shows ("a bakery shop")."""

CHILD_SHARE = 0.4
"""Of a photo's captions, two of five that the policy withholds mean that it shows a child, as for the photo rule."""


@dataclass(frozen=True, slots=True)
class ShortMaterial:
    """Sets of photos, the wordings of the phrases that they share, and the vectors of all texts."""

    sets: Sequence[ShortSet]
    wordings: Mapping[Phrase, Sequence[str]]
    texts: Vectors
    sentences: Rows
    """Embeddings of texts that are no short queries."""

    def pairs(self, seed: int) -> ShortPairs:
        """Return the pairs that the model learns from."""
        return make_short_pairs(self.sets, self.wordings, self.texts, seed)

    def words(self, size: int) -> Rows:
        """Return the embeddings of the things that the captions of most photos say, as barely worded as can be."""
        counts = Counter(phrase for each in self.sets for said in each.sayings.said for phrase in said)
        things = [phrase for phrase in self.wordings if phrase.kind == "thing"]
        common = sorted(things, key=lambda phrase: (-counts[phrase], phrase))[:size]
        return self.texts.rows[self.texts.places([self.wordings[phrase][0] for phrase in common])]

    def bank(self, size: int, seed: int) -> Rows:
        """Return reference photos, as many of each set."""
        chance = np.random.default_rng(seed)
        each = max(1, size // len(self.sets))
        return np.concatenate([part.photos[chance.permutation(len(part.photos))[:each]] for part in self.sets])


@dataclass(frozen=True, slots=True)
class ShortSources:
    """Where short queries come from, with which encoder they are embedded, and what the policy takes out of them."""

    folders: Sequence[DataFolder]
    encoder: str | None = None
    policy_file: Path | None = None
    withhold: bool = True


def gather_short(
    sources: ShortSources, judgements: Judgements, photos: Vectors, cache: VectorCache, progress: Progress | None = None
) -> ShortMaterial:
    """Return the material of captioned folders and of the judged photos with their own texts.

    Raises:
        DataError: captions or photos of a folder cannot be used.
    """
    sets = [_own_texts(sources, judgements, photos)]
    sets += [captioned_set(folder, sources, cache, progress) for folder in sources.folders]
    said = joined([each.sayings for each in sets])
    wordings = all_wordings(said.common(LEAST_PHOTOS), said)
    graded = {grade.query for grade in read_grades()}
    texts = text_vectors(sources.encoder, [*graded, *(text for ways in wordings.values() for text in ways)], cache)
    others = sorted(judgements.texts.values()) + _sentences(sources)
    rows = encoder_vectors(sources.encoder, [(text, text) for text in others], [], cache)[0].rows
    return ShortMaterial(sets, wordings, texts, rows)


def captioned_set(
    data: DataFolder, sources: ShortSources, cache: VectorCache, progress: Progress | None = None
) -> ShortSet:
    """Return a folder's photos with what their captions say; all unseen ones, and a part of the others."""
    captioned = read_captions(data.folder)
    # all photos are embedded, in this order: so the photo rule's training does it, and the cache is shared
    paths = [(str(photo.path), photo.path) for photo in captioned]
    rows = encoder_vectors(sources.encoder, [], paths, cache, progress)[1].rows
    share = 1.0 if data.held_out is None else data.held_out
    unseen = np.array([held_out(photo.image, share) for photo in captioned])
    chosen = np.flatnonzero(unseen | _some(captioned, unseen))
    allowed, captions = may_be_learned(
        [(captioned[place].image, captioned[place].captions) for place in chosen], sources
    )
    places = chosen[allowed]
    names = float(np.median([len(text.split()) for _, texts in captions for text in texts])) <= NAME_WORDS
    return ShortSet(data.folder.name, read_sayings(captions), rows[places], unseen[places], data.weight, names)


def may_be_learned(photos: Captions, sources: ShortSources) -> tuple[list[int], Captions]:
    """Return the places of the photos that the policy leaves, and these photos with the captions that it leaves."""
    if not sources.withhold:
        return list(range(len(photos))), photos
    rule = TextRule(load_policy(sources.policy_file))
    places: list[int] = []
    kept: list[tuple[str, Sequence[str]]] = []
    for place, (image, captions) in enumerate(photos):
        left = [caption for caption in captions if not rule.check(caption).withheld]
        if left and len(left) > (1 - CHILD_SHARE) * len(captions):
            places.append(place)
            kept.append((image, left))
    return places, kept


def text_vectors(encoder: str | None, texts: Iterable[str], cache: VectorCache) -> Vectors:
    """Return the embeddings of texts, each once."""
    return encoder_vectors(encoder, [(text, text) for text in sorted(set(texts))], [], cache)[0]


def _own_texts(sources: ShortSources, judgements: Judgements, photos: Vectors) -> ShortSet:
    texts: dict[str, list[str]] = {}
    for query_id, text in sorted(judgements.texts.items()):
        texts.setdefault(photo_of(query_id), []).append(text)
    named = [(image, texts[image]) for image in photos.names if image in texts]
    allowed, captions = may_be_learned(named, sources)
    rows = photos.rows[photos.places([named[place][0] for place in allowed])]
    return ShortSet(judgements.folder.name, read_sayings(captions), rows, np.ones(len(rows), np.bool_))


def _some(photos: Sequence[CaptionedPhoto], unseen: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Mark the photos, the same at each call, whose captions together are about `MOST_SEEN_CAPTIONS`."""
    captions = sum(len(photo.captions) for photo, hidden in zip(photos, unseen, strict=True) if not hidden)
    share = min(1.0, MOST_SEEN_CAPTIONS / max(captions, 1))
    return np.array([held_out(f"seen {photo.image}", share) for photo in photos])


def _sentences(sources: ShortSources) -> list[str]:
    """Return captions of several words, of every folder as many: what is no short query."""
    found: list[str] = []
    for data in sources.folders:
        captions = sorted({text for photo in read_captions(data.folder) for text in photo.captions})
        long = [caption for caption in captions if len(caption.split()) >= SENTENCE_WORDS]
        found += long[:: max(1, len(long) * len(sources.folders) // SENTENCES)]
    return found
