"""What training a dual encoder reads: captions as token ids, photos as the feature maps of the frozen front."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageOps
from tokenizers import Tokenizer
from torch import Tensor

from index_store.encoders.captions import CaptionedPhoto
from index_store.errors import DataError
from index_store.neural.dual_model import PhotoTower

Pixels = NDArray[np.uint8]
Progress = Callable[[int, int, str], None]
"""Called with what is done, what there is to do, and a note."""

_PHOTO_BATCH = 32
_LEAST_CROP = 0.55
"""The smallest share of a photo's area that a crop keeps: captions tell of the whole scene."""
_CROP_STRETCH = 0.3
"""Crops are stretched by up to 2 ** 0.3 in either direction."""
_COLOUR_RANGE = (0.75, 1.25)


@dataclass(frozen=True, slots=True)
class Tokens:
    """Token ids and mask of texts, int64, shape (texts, longest)."""

    ids: Tensor
    mask: Tensor

    def rows(self, chosen: Tensor) -> Tokens:
        """Return the chosen rows, no wider than the longest of them."""
        mask = self.mask[chosen]
        width = int(mask.sum(dim=1).max())
        return Tokens(self.ids[chosen, :width], mask[:, :width])


def tokenize(texts: Sequence[str], tokenizer_file: Path, max_tokens: int) -> Tokens:
    """Turn texts into tokens, cut at `max_tokens`."""
    tokenizer = Tokenizer.from_file(str(tokenizer_file))
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_tokens)
    encodings = tokenizer.encode_batch(list(texts))
    width = max(len(encoding.ids) for encoding in encodings)
    ids = torch.zeros(len(texts), width, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, encoding in enumerate(encodings):
        ids[row, : len(encoding.ids)] = torch.tensor(encoding.ids)
        mask[row, : len(encoding.ids)] = 1
    return Tokens(ids, mask)


def load_view(path: Path, side: int, view: int, seed: int) -> Pixels:
    """Open a photo as the encoder sees it: view 0 plain, 1 mirrored, from 2 on cropped and recoloured at random.

    Raises:
        DataError: the photo cannot be opened.
    """
    try:
        with Image.open(path) as file:
            photo = file.convert("RGB")
    except OSError as error:
        raise DataError(f"{path}: cannot be opened as a photo ({error})") from error
    if view >= 2:
        return np.asarray(_varied(photo, side, random.Random(f"{seed} {view} {path.name}")))
    photo = photo.resize((side, side), Image.Resampling.BICUBIC)
    return np.asarray(ImageOps.mirror(photo) if view == 1 else photo)


def _varied(photo: Image.Image, side: int, chance: random.Random) -> Image.Image:
    area = chance.uniform(_LEAST_CROP, 1.0)
    stretch = 2 ** chance.uniform(-_CROP_STRETCH, _CROP_STRETCH)
    width = min(1.0, (area * stretch) ** 0.5) * photo.width
    height = min(1.0, (area / stretch) ** 0.5) * photo.height
    left, top = chance.uniform(0, photo.width - width), chance.uniform(0, photo.height - height)
    box = (left, top, left + width, top + height)
    photo = photo.resize((side, side), Image.Resampling.BICUBIC, box=box)
    if chance.random() < 0.5:
        photo = ImageOps.mirror(photo)
    for kind in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        photo = kind(photo).enhance(chance.uniform(*_COLOUR_RANGE))
    return photo


def load_photos(photos: Sequence[CaptionedPhoto], side: int) -> Pixels:
    """Open photos plainly, shape (n, side, side, 3)."""
    return np.stack([load_view(photo.path, side, view=0, seed=0) for photo in photos])


def feature_maps(
    tower: PhotoTower, photos: Sequence[CaptionedPhoto], side: int, views: int, seed: int, progress: Progress
) -> list[Tensor]:
    """Run the frozen front over every view of every photo: a half-precision tensor (photos, channels, h, w) a view."""
    jobs = [(view, start) for view in range(views) for start in range(0, len(photos), _PHOTO_BATCH)]
    batches: list[list[Tensor]] = [[] for _ in range(views)]

    def open_batch(job: tuple[int, int]) -> Pixels:
        view, start = job
        return np.stack([load_view(photo.path, side, view, seed) for photo in photos[start : start + _PHOTO_BATCH]])

    with ThreadPoolExecutor(max_workers=2) as pool, torch.no_grad():
        waiting = [pool.submit(open_batch, job) for job in jobs[:2]]
        for done, (view, _start) in enumerate(jobs):
            pixels = torch.from_numpy(waiting.pop(0).result())
            if done + 2 < len(jobs):  # two batches ahead, never all of them: pixels are large
                waiting.append(pool.submit(open_batch, jobs[done + 2]))
            batches[view].append(tower.maps(pixels).half())
            progress(done + 1, len(jobs), "photos through the frozen front")
    return [torch.cat(parts) for parts in batches]
