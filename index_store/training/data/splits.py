"""Split examples by photo, so that no photo is on both sides; and stricter, so that no text is either."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from index_store.errors import DataError, MissingExtraError, UsageError

try:
    from sklearn.model_selection import GroupKFold, GroupShuffleSplit
except ImportError as error:  # pragma: no cover - the plain installation has it through sentence-transformers
    raise MissingExtraError("training needs scikit-learn: pip install 'imgsearch-cli[train]'") from error

if TYPE_CHECKING:
    from numpy.typing import NDArray

STUDY_SEEDS = (0, 1, 2, 3, 4)
VALID_FRACTION = 0.3


@dataclass(frozen=True, slots=True)
class Split:
    """The places of the training and of the validation examples, each ascending."""

    train: NDArray[np.int64]
    valid: NDArray[np.int64]


def split_by_photo(images: Sequence[str], seed: int, valid_fraction: float = VALID_FRACTION) -> Split:
    """Return a split in which `valid_fraction` of the photos, and all their pairs, are held out."""
    if not 0.0 < valid_fraction < 1.0:
        raise UsageError(f"the validation share {valid_fraction:g} is outside 0..1")
    photos = len(set(images))
    if not 1 <= round(photos * valid_fraction) < photos:
        raise DataError(f"{photos} photos cannot be split {1 - valid_fraction:.0%} to {valid_fraction:.0%}; add photos")
    splitter = GroupShuffleSplit(n_splits=1, test_size=valid_fraction, random_state=seed)
    train, valid = next(splitter.split(np.zeros(len(images)), groups=np.asarray(images)))
    return Split(np.sort(train), np.sort(valid))


def split_by_photo_and_text(
    images: Sequence[str], query_ids: Sequence[str], seed: int, valid_fraction: float = VALID_FRACTION
) -> Split:
    """Return a split in which the two sides share neither a photo nor a text; pairs across the two are left out."""
    by_photo = split_by_photo(images, seed, valid_fraction)
    by_text = split_by_photo(query_ids, seed + 1_000, valid_fraction)
    return Split(np.intersect1d(by_photo.train, by_text.train), np.intersect1d(by_photo.valid, by_text.valid))


def folds_by_photo(images: Sequence[str], folds: int, seed: int) -> list[Split]:
    """Return `folds` splits of which each example is in the validation part of exactly one; no photo on both sides."""
    splitter = GroupKFold(n_splits=min(folds, len(set(images))), shuffle=True, random_state=seed)
    parts = splitter.split(np.zeros(len(images)), groups=np.asarray(images))
    return [Split(np.sort(train), np.sort(valid)) for train, valid in parts]
