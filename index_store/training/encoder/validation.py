"""Measure a dual encoder: recall on held-out photos, before and after export, and how well the export agrees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import onnxruntime
import torch
from torch import Tensor

from index_store.encoders.cards import PHOTO_FILE, TEXT_FILE
from index_store.training.data.captions import CaptionedPhoto
from index_store.training.encoder.model import DualModel
from index_store.training.encoder.photo_views import Maps, Progress, Tokens, load_photos
from index_store.training.encoder.steps import pool_photos, pool_texts

_BATCH = 100
_PIXEL_BATCH = 20
"""Whole photos in one run: a float trunk keeps some 50 MB for each."""


@dataclass(frozen=True, slots=True)
class Recall:
    """Text-to-photo recall at 1, 5 and 10 over a gallery of `gallery` photos, each asked for by all its captions.

    `data` names the folder that the photos are from.
    """

    epoch: int
    gallery: int
    at_1: float
    at_5: float
    at_10: float
    data: str = ""

    @property
    def total(self) -> float:
        """The sum of the three, by which encoders are compared: each alone is noisier."""
        return self.at_1 + self.at_5 + self.at_10


def mean_total(recalls: Sequence[Recall]) -> float:
    """Return the mean of the recalls' totals: each gallery counts the same, whatever its size."""
    return sum(recall.total for recall in recalls) / len(recalls)


def recall_at(texts: Tensor, photos: Tensor, owner: Tensor) -> tuple[float, float, float]:
    """Return the shares of texts whose own photo `owner[i]` is among the first 1, 5 and 10; a tie counts as found."""
    similarities = texts @ photos.T
    own = similarities.gather(1, owner[:, None])
    ahead = (similarities > own).sum(dim=1)
    at_1, at_5, at_10 = (round(float((ahead < rank).float().mean()), 4) for rank in (1, 5, 10))
    return at_1, at_5, at_10


@torch.no_grad()
def pool_all_photos(model: DualModel, maps: Maps) -> Tensor:
    """Return the pooled features of all cached maps, in order."""
    return torch.cat([pool_photos(model, part) for part in maps.pieces(_BATCH)])


@torch.no_grad()
def pool_all_texts(model: DualModel, tokens: Tokens, progress: Progress | None = None) -> Tensor:
    """Return the pooled features of all texts, in order."""
    rows, pooled = torch.arange(len(tokens.ids)), list[Tensor]()
    for part in torch.split(rows, _BATCH):
        pooled.append(pool_texts(model, tokens.rows(part)))
        if progress:
            progress(int(part[-1]) + 1, len(rows), "texts through the trunk")
    return torch.cat(pooled)


def owners(photos: Sequence[CaptionedPhoto]) -> Tensor:
    """Return for each caption, photo by photo, the place of its photo."""
    return torch.arange(len(photos)).repeat_interleave(torch.tensor([len(photo.captions) for photo in photos]))


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Held-out photos as training keeps them: maps, tokens of all their captions, and whose caption each is."""

    maps: Maps
    captions: Tokens
    owner: Tensor
    data: str = ""

    @torch.no_grad()
    def recall(self, model: DualModel, epoch: int) -> Recall:
        """Measure the model as it is."""
        model.photo.eval()
        model.text.eval()
        photos = model.photo.heads(pool_all_photos(model, self.maps))
        texts = model.text.heads(pool_all_texts(model, self.captions))
        return Recall(epoch, len(photos), *recall_at(texts, photos, self.owner), self.data)


@dataclass(frozen=True, slots=True)
class Gallery:
    """Held-out photos of a folder, and the tokens of all their captions."""

    data: str
    photos: Sequence[CaptionedPhoto]
    captions: Tokens


def exported_recalls(folder: Path, galleries: Sequence[Gallery], side: int, epoch: int) -> list[Recall]:
    """Measure the exported towers on each gallery."""
    return [
        exported_recall(folder, gallery.photos, gallery.captions, side, epoch, gallery.data) for gallery in galleries
    ]


def exported_recall(
    folder: Path, photos: Sequence[CaptionedPhoto], captions: Tokens, side: int, epoch: int, data: str = ""
) -> Recall:
    """Measure the exported towers on photos opened again."""
    photo_tower, text_tower = _open(folder / PHOTO_FILE), _open(folder / TEXT_FILE)
    rows = [_run(photo_tower, pixels=load_photos(part, side)) for part in _parts(photos)]
    every = torch.split(torch.arange(len(captions.ids)), _BATCH)
    texts = [_run_texts(text_tower, captions.rows(part)) for part in every]
    return Recall(epoch, len(photos), *recall_at(torch.cat(texts), torch.cat(rows), owners(photos)), data)


def exported_text_recall(
    folder: Path, photos: Tensor, captions: Tokens, owner: Tensor, epoch: int, data: str = ""
) -> Recall:
    """Measure the exported text tower on photos that are embedded already."""
    tower = _open(folder / TEXT_FILE)
    texts = [_run_texts(tower, captions.rows(part)) for part in torch.split(torch.arange(len(captions.ids)), _BATCH)]
    return Recall(epoch, len(photos), *recall_at(torch.cat(texts), photos, owner), data)


@torch.no_grad()
def text_parity(model: DualModel, captions: Tokens, folder: Path) -> dict[str, float]:
    """Compare the exported text tower with its float original: the least and the mean cosine."""
    exported = _run_texts(_open(folder / TEXT_FILE), captions)
    return _least_and_mean((exported * model.text(captions.ids, captions.mask)).sum(dim=1))


@torch.no_grad()
def parity(
    model: DualModel, photos: Sequence[CaptionedPhoto], captions: Tokens, side: int, folder: Path
) -> dict[str, dict[str, float]]:
    """Compare each exported tower with its float original: the least and the mean cosine over photos and captions."""
    photo_tower, text_tower = _open(folder / PHOTO_FILE), _open(folder / TEXT_FILE)
    pixels = [load_photos(part, side) for part in _parts(photos)]
    photo_cosines = [
        (_run(photo_tower, pixels=part) * model.photo(torch.from_numpy(part))).sum(dim=1) for part in pixels
    ]
    text_cosines = (_run_texts(text_tower, captions) * model.text(captions.ids, captions.mask)).sum(dim=1)
    return {"photo": _least_and_mean(torch.cat(photo_cosines)), "text": _least_and_mean(text_cosines)}


def _parts(photos: Sequence[CaptionedPhoto]) -> list[Sequence[CaptionedPhoto]]:
    return [photos[start : start + _PIXEL_BATCH] for start in range(0, len(photos), _PIXEL_BATCH)]


def _open(path: Path) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def _run_texts(tower: onnxruntime.InferenceSession, tokens: Tokens) -> Tensor:
    return _run(tower, input_ids=tokens.ids.numpy(), attention_mask=tokens.mask.numpy())


def _run(tower: onnxruntime.InferenceSession, **inputs: object) -> Tensor:
    return torch.from_numpy(tower.run(None, inputs)[0])


def _least_and_mean(cosines: Tensor) -> dict[str, float]:
    return {"least": round(float(cosines.min()), 5), "mean": round(float(cosines.mean()), 5)}
