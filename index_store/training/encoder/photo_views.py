"""What training a dual encoder reads: captions as token ids, photos as the feature maps of the frozen front."""

from __future__ import annotations

import hashlib
import io
import random
import warnings
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageOps
from tokenizers import Tokenizer
from torch import Tensor

from index_store.errors import DataError, PhotoError
from index_store.photos.open import open_photo, to_picture
from index_store.records import PhotoInput
from index_store.training.data.captions import CaptionedPhoto
from index_store.training.encoder.model import LITE_PIXELS, PhotoTower
from index_store.training.encoder.resumable_files import in_parts

Pixels = NDArray[np.uint8]
Progress = Callable[[int, int, str], None]
"""Called with what is done, what there is to do, and a note."""

_PHOTO_BATCH = 32
_FIRST_RANDOM_VIEW = 2
_LEAST_CROP = 0.55
"""The smallest share of a photo's area that a crop keeps: captions tell of the whole scene."""
_CROP_STRETCH = 0.3
"""Crops are stretched by up to 2 ** 0.3 in either direction."""
_COLOUR_RANGE = (0.75, 1.25)
_COARSE_SIDES = (128, 224)
"""Pixels; the photos of the sets that ship were trained on are 128 to 224 pixels wide."""
_COARSE_QUALITIES = (60, 95)
_VERSION = 2
"""Counts what changed how views are made: kept maps of another version are not used."""


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


def load_view(path: Path, side: int, view: int, seed: int, alike: bool = False) -> Pixels:
    """Open a photo as indexing does: view 0 plain, 1 mirrored, from 2 on cropped and recoloured at random.

    With `alike` each view is first made small, by a random factor, and written as JPEG, so that sets of photos do not
    differ by their sharpness.

    Raises:
        DataError: the photo cannot be opened.
    """
    chance = random.Random(f"{seed} {view} {path.name}")
    varied = view >= _FIRST_RANDOM_VIEW
    wanted = PhotoInput(round(side * _LEAST_CROP**-0.5) if varied else side)
    try:
        photo = to_picture(open_photo(str(path), wanted).pixels)
    except PhotoError as error:
        raise DataError(f"{path}: {error}") from error
    if varied:
        photo = _varied(photo, side, chance)
    elif view == 1:
        photo = ImageOps.mirror(photo)
    return np.asarray(_coarsened(photo, chance) if alike else photo)


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


def _coarsened(photo: Image.Image, chance: random.Random) -> Image.Image:
    small = photo.resize((chance.randint(*_COARSE_SIDES),) * 2, Image.Resampling.BICUBIC)
    with io.BytesIO() as file:
        small.save(file, "JPEG", quality=chance.randint(*_COARSE_QUALITIES))
        return Image.open(file, formats=("JPEG",)).convert("RGB").resize(photo.size, Image.Resampling.BICUBIC)


def load_photos(photos: Sequence[CaptionedPhoto], side: int) -> Pixels:
    """Open photos plainly, shape (n, side, side, 3)."""
    return np.stack([load_view(photo.path, side, view=0, seed=0) for photo in photos])


@dataclass(frozen=True, slots=True)
class Views:
    """How photos are looked at: how many views, of which side, the seed of the random ones, and whether made alike."""

    side: int
    count: int
    seed: int = 0
    alike: bool = False


class Maps:
    """Feature maps of several sets of photos, one after the other, half precision; they may lie on disk."""

    def __init__(self, parts: Sequence[Tensor]) -> None:
        self._parts = parts
        self._starts = [0, *accumulate(len(part) for part in parts)]

    def __len__(self) -> int:
        return self._starts[-1]

    def __getitem__(self, row: int) -> Tensor:
        part = bisect_right(self._starts, row) - 1
        return self._parts[part][row - self._starts[part]]

    def pieces(self, size: int) -> Iterator[Tensor]:
        """Yield all maps in order, at most `size` at a time."""
        for part in self._parts:
            yield from torch.split(part, size)


def feature_maps(
    tower: PhotoTower,
    sets: Sequence[Sequence[CaptionedPhoto]],
    views: Views,
    progress: Progress,
    cache: Path | None = None,
) -> list[Maps]:
    """Run the frozen front over every view of every photo: maps of shape (channels, h, w) a photo, for each view.

    `cache` is a folder that keeps the maps for the next training on the same photos, and what a killed run has made.
    """
    sets = [photos for photos in sets if photos]
    total = views.count * sum(len(photos) for photos in sets)
    result: list[Maps] = []
    before = 0
    for view in range(views.count):
        parts: list[Tensor] = []
        for photos in sets:
            file = cache / f"{_fingerprint(tower, photos, views, view)}.npy" if cache else None
            make = partial(_make_maps, tower, photos, views, view, progress, (before, total))
            parts.append(_as_tensor(in_parts(file, len(photos), make)))
            before += len(photos)
        result.append(Maps(parts))
    progress(total, total, "the photos are ready")
    return result


def _make_maps(
    tower: PhotoTower,
    photos: Sequence[CaptionedPhoto],
    views: Views,
    view: int,
    progress: Progress,
    counts: tuple[int, int],
    start: int,
) -> Iterator[NDArray[Any]]:
    before, total = counts
    for done, maps in _batches_of_maps(tower, photos, views, view, start):
        progress(before + done, total, f"view {view + 1} of the photos through the frozen front")
        yield maps.numpy()


def _as_tensor(array: NDArray[Any]) -> Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what is mapped from a file cannot be written, and is only read
        return torch.from_numpy(array)


def _batches_of_maps(
    tower: PhotoTower, photos: Sequence[CaptionedPhoto], views: Views, view: int, first: int
) -> Iterator[tuple[int, Tensor]]:
    """Yield how many photos are done, and the maps of the next ones, from photo `first` on."""
    starts = range(first, len(photos), _PHOTO_BATCH)

    def open_batch(start: int) -> Pixels:
        chosen = photos[start : start + _PHOTO_BATCH]
        return np.stack([load_view(photo.path, views.side, view, views.seed, views.alike) for photo in chosen])

    with ThreadPoolExecutor(max_workers=2) as pool:
        waiting = [pool.submit(open_batch, start) for start in starts[:2]]
        for place, start in enumerate(starts):
            pixels = torch.from_numpy(waiting.pop(0).result())
            if place + 2 < len(starts):  # two batches ahead, never all of them: pixels are large
                waiting.append(pool.submit(open_batch, starts[place + 2]))
            yield start + len(pixels), _through_front(tower, pixels)


@torch.no_grad()
def _through_front(tower: PhotoTower, pixels: Tensor) -> Tensor:
    with torch.autocast("cpu", torch.bfloat16):  # 3 times as fast; the maps' cosine to float32 is .999
        return tower.maps(pixels).half().contiguous()


def _fingerprint(tower: PhotoTower, photos: Sequence[CaptionedPhoto], views: Views, view: int) -> str:
    seed = views.seed if view >= _FIRST_RANDOM_VIEW or views.alike else 0
    digest = hashlib.sha256(f"{_VERSION} {views.side} {view} {seed} {views.alike}".encode())
    if tower.scale != LITE_PIXELS:
        digest.update(repr(tower.scale).encode())
    for weight in tower.front.state_dict().values():
        digest.update(weight.numpy().tobytes())
    for photo in photos:
        digest.update(f"{photo.path.resolve()} {photo.path.stat().st_size}\n".encode())
    return digest.hexdigest()[:32]
