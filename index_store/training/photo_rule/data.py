"""Gather what the photo rule learns from and is measured on: embeddings from an encoder, labels from captions."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from index_store.encoders.cards import CARD_FILE
from index_store.encoders.registry import EncoderCard, encoder_card
from index_store.training.data.captions import CaptionedPhoto, read_captions
from index_store.training.data.judgements import photo_of, read_judgements
from index_store.training.data.vectors import VectorCache, encoder_vectors

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class LearningData:
    """Captioned photos with one embedding each; `unseen_share` of them, by `held_out`, the encoder never saw."""

    photos: list[CaptionedPhoto]
    embeddings: Floats
    encoder: str
    unseen_share: float


@dataclass(frozen=True, slots=True)
class JudgedPhotos:
    """Photos with the texts that were written for them, to measure on; `texts[i]` belongs to row i."""

    names: list[str]
    texts: list[Sequence[str]]
    embeddings: Floats


def gather(
    data: Path, encoder: str | None = None, unseen_share: float | None = None, progress: Progress | None = None
) -> LearningData:
    """Return the photos of a folder with `captions.tsv`, embedded (from a cache on disk where that was done before).

    `unseen_share` is by default what the encoder's card says.

    Raises:
        DataError: the captions or photos cannot be used.
        EncoderError, WeightsError: there is no such encoder, or it is damaged.
    """
    card = encoder_card(encoder)
    photos = read_captions(data)
    rows = _embed(encoder, [photo.path for photo in photos], progress)
    return LearningData(photos, rows, card.name, _unseen_share(card) if unseen_share is None else unseen_share)


def gather_judged(
    folder: Path, encoder: str | None = None, progress: Progress | None = None
) -> Mapping[str, JudgedPhotos]:
    """Return the test and train photos of a folder in the layout of with_sense, with the texts written for them."""
    judgements = read_judgements(folder)
    test: dict[str, list[str]] = {}
    for query in judgements.queries:
        test.setdefault(query.image, []).append(query.text)
    judged = set(judgements.photos)
    train: dict[str, list[str]] = {}
    for query_id, text in judgements.texts.items():
        if photo_of(query_id) in judged:
            train.setdefault(photo_of(query_id), []).append(text)
    parts = {"test": (test, judgements.test_photo), "train": (train, judgements.train_photo)}
    return {
        part: JudgedPhotos(
            list(texts), list(texts.values()), _embed(encoder, [place(name) for name in texts], progress)
        )
        for part, (texts, place) in parts.items()
        if texts
    }


def _embed(encoder: str | None, paths: Sequence[Path], progress: Progress | None) -> Floats:
    return encoder_vectors(encoder, [], [(str(path), path) for path in paths], VectorCache(), progress)[1].rows


def _unseen_share(card: EncoderCard) -> float:
    """Return the share of the training photos that the encoder's own training held out, 0 where it used them all."""
    content = json.loads((card.folder / CARD_FILE).read_text(encoding="utf-8"))
    share = content.get("training", {}).get("validation_share", 0.0)
    return float(share) if content.get("data", {}).get("held_out_photos") else 0.0
