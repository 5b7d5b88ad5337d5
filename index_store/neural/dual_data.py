"""What training a dual encoder reads: captions as token ids, photos as the feature maps of the frozen front."""

from __future__ import annotations

import hashlib
import random
import tempfile
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
from index_store.neural.dual_model import LITE_PIXELS, PhotoTower

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
    if view >= _FIRST_RANDOM_VIEW:
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
    tower: PhotoTower,
    photos: Sequence[CaptionedPhoto],
    side: int,
    views: int,
    seed: int,
    progress: Progress,
    cache: Path | None = None,
) -> list[Tensor]:
    """Run the frozen front over every view of every photo: a half-precision tensor (photos, channels, h, w) a view.

    `cache` is a folder that keeps the maps for the next training on the same photos.
    """
    result: list[Tensor] = []
    for view in range(views):
        file = cache / f"{_fingerprint(tower, photos, side, view, seed)}.npy" if cache else None
        if file and file.exists():
            maps = torch.from_numpy(np.load(file))
        else:
            maps = _maps_of_view(tower, photos, side, view, seed, progress)
            if file:
                _save(file, maps)
        progress(view + 1, views, "views of the photos are ready")
        result.append(maps)
    return result


def _maps_of_view(
    tower: PhotoTower, photos: Sequence[CaptionedPhoto], side: int, view: int, seed: int, progress: Progress
) -> Tensor:
    starts = range(0, len(photos), _PHOTO_BATCH)

    def open_batch(start: int) -> Pixels:
        return np.stack([load_view(photo.path, side, view, seed) for photo in photos[start : start + _PHOTO_BATCH]])

    batches: list[Tensor] = []
    with ThreadPoolExecutor(max_workers=2) as pool, torch.no_grad():
        waiting = [pool.submit(open_batch, start) for start in starts[:2]]
        for done in range(len(starts)):
            pixels = torch.from_numpy(waiting.pop(0).result())
            if done + 2 < len(starts):  # two batches ahead, never all of them: pixels are large
                waiting.append(pool.submit(open_batch, starts[done + 2]))
            with torch.autocast("cpu", torch.bfloat16):  # 3 times as fast; the maps' cosine to float32 is .999
                batches.append(tower.maps(pixels).half().contiguous())
            progress(done + 1, len(starts), f"view {view + 1} of the photos through the frozen front")
    return torch.cat(batches)


def _fingerprint(tower: PhotoTower, photos: Sequence[CaptionedPhoto], side: int, view: int, seed: int) -> str:
    digest = hashlib.sha256(f"{side} {view} {seed if view >= _FIRST_RANDOM_VIEW else 0}".encode())
    if tower.scale != LITE_PIXELS:
        digest.update(repr(tower.scale).encode())
    for weight in tower.front.state_dict().values():
        digest.update(weight.numpy().tobytes())
    for photo in photos:
        digest.update(f"{photo.path.resolve()} {photo.path.stat().st_size}\n".encode())
    return digest.hexdigest()[:32]


def _save(file: Path, maps: Tensor) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=file.parent, suffix=".part", delete=False) as part:
        np.save(part, maps.numpy())
    Path(part.name).replace(file)
