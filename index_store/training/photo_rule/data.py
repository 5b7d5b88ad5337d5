"""Gather what the photo rule learns from and is measured on: embeddings from an encoder, labels from captions."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from index_store.encoders.cards import CARD_FILE
from index_store.encoders.registry import EncoderCard, encoder_card, load_photo_encoder
from index_store.training.data.captions import CaptionedPhoto, DataFolder, held_out, read_captions
from index_store.training.data.judgements import photo_of, read_judgements
from index_store.training.data.vectors import VectorCache, encoder_vectors
from index_store.training.photo_rule.copies import altered_pixels, piece_pixels

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from index_store.encoders.protocols import Embeddings, Pixels
    from index_store.records import PhotoInput
    from index_store.training.photo_rule.labels import Labels

    Floats = NDArray[np.float32]

HOME_COPIED = 0.4
"""The share of the photos at home that are copied whatever they show: else a copy would be a sign of a child."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Copies:
    """Altered copies of photos: one embedding each, shape (m, dimension), and the row of the photo, shape (m,)."""

    embeddings: Floats
    of: NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class LearningData:
    """Captioned photos with one embedding each, and perhaps copies of some.

    `kept_out` of them are never learned from, and neither rule nor encoder saw them. `home`: the first folder, whose
    captions are good enough to measure by. `weights`: how much each photo counts, by its folder.
    """

    photos: list[CaptionedPhoto]
    embeddings: Floats
    encoder: str
    kept_out: NDArray[np.bool_]
    home: NDArray[np.bool_]
    weights: Floats
    copies: Copies | None = None

    def with_copies(self, chosen: NDArray[np.intp]) -> tuple[Floats, NDArray[np.intp], Floats]:
        """Return the embeddings of chosen photos and their copies, the photos' rows, and a share for each.

        A photo and its copy share the weight of one.
        """
        if self.copies is None:
            return self.embeddings[chosen], chosen, np.ones(len(chosen), np.float32)
        there = np.isin(self.copies.of, chosen)
        rows = np.concatenate([chosen, self.copies.of[there]])
        shares = np.where(np.isin(rows, self.copies.of), 0.5, 1.0).astype(np.float32)
        return np.concatenate([self.embeddings[chosen], self.copies.embeddings[there]]), rows, shares


@dataclass(frozen=True, slots=True)
class JudgedPhotos:
    """Photos with the texts that were written for them, to measure on; `texts[i]` belongs to row i."""

    names: list[str]
    texts: list[Sequence[str]]
    embeddings: Floats


def gather(folders: Sequence[DataFolder], encoder: str | None = None, progress: Progress | None = None) -> LearningData:
    """Return the photos of folders with `captions.tsv`, embedded (from a cache on disk where that was done before).

    What a folder holds out is kept out; by default the share that the encoder's card says. The first folder is home.

    Raises:
        DataError: the captions or photos cannot be used.
        EncoderError, WeightsError: there is no such encoder, or it is damaged.
    """
    card = encoder_card(encoder)
    photos: list[CaptionedPhoto] = []
    rows: list[Floats] = []
    kept_out: list[bool] = []
    home: list[bool] = []
    weights: list[float] = []
    for number, each in enumerate(folders):
        found = read_captions(each.folder)
        share = _unseen_share(card) if each.held_out is None else each.held_out
        photos += found
        rows.append(_embed(encoder, [photo.path for photo in found], progress))
        kept_out += [held_out(photo.image, share) for photo in found]
        home += [number == 0] * len(found)
        weights += [each.weight] * len(found)
    counts = np.array(weights, np.float32)
    return LearningData(photos, np.concatenate(rows), card.name, np.array(kept_out), np.array(home), counts)


def gather_copies(
    data: LearningData, labels: Labels, encoder: str | None = None, progress: Progress | None = None
) -> LearningData:
    """Return the data with an altered copy of each photo that somebody looked at or that shows a child.

    Of photos on which somebody saw nobody there is a piece too.

    Raises:
        DataError: a photo cannot be read.
        EncoderError, WeightsError: there is no such encoder, or it is damaged.
    """
    at_home = data.home & np.array([held_out(photo.image, HOME_COPIED) for photo in data.photos])
    copied = np.flatnonzero((labels.looked | labels.truth | at_home) & ~data.kept_out)

    def half() -> tuple[PhotoInput, Callable[[Sequence[Pixels]], Embeddings]]:
        opened = load_photo_encoder(encoder)
        return opened.photo_input, opened.encode_photos

    def embedded(what: str, rows: NDArray[np.intp], open_pixels: Callable[[Path, PhotoInput], Pixels]) -> Floats:
        paths = [data.photos[row].path for row in rows]
        source = f"{encoder_card(encoder).name}, {what}"
        return VectorCache().photos(source, paths, half, progress, open_pixels) if paths else data.embeddings[:0]

    nobody = np.flatnonzero(labels.looked & (labels.person < 0.5) & (labels.child == 0) & ~data.kept_out)
    rows = [embedded("altered copies", copied, altered_pixels), embedded("pieces", nobody, piece_pixels)]
    return replace(data, copies=Copies(np.concatenate(rows), np.concatenate([copied, nobody])))


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
