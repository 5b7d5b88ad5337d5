"""Judged pairs with the vectors of their texts and photos: what regressors learn from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from index_store.errors import DataError
from index_store.training.data.targets import Example

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Rows = NDArray[np.float32]
    Places = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Vectors:
    """The vector of each text or photo: row i of `rows`, shape (n, dimension), belongs to `names[i]`."""

    names: Sequence[str]
    rows: Rows

    def places(self, names: Sequence[str]) -> Places:
        """Return the row of each name; raise `KeyError` for a name without a vector."""
        place = {name: row for row, name in enumerate(self.names)}
        return np.array([place[name] for name in names], dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Pairs:
    """Judged pairs; pair i is text `text_places[i]` with photo `photo_places[i]`, relevance in [0, 1] and a weight."""

    texts: Vectors
    photos: Vectors
    text_places: Places
    photo_places: Places
    relevance: NDArray[np.float64]
    weight: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.relevance)

    @property
    def images(self) -> list[str]:
        """Return the photo of each pair."""
        return [self.photos.names[place] for place in self.photo_places]

    @property
    def query_ids(self) -> list[str]:
        """Return the text of each pair."""
        return [self.texts.names[place] for place in self.text_places]

    @property
    def text_rows(self) -> Rows:
        """Return the text vector of each pair, shape (n, dimension)."""
        return self.texts.rows[self.text_places]

    @property
    def photo_rows(self) -> Rows:
        """Return the photo vector of each pair, shape (n, dimension)."""
        return self.photos.rows[self.photo_places]

    def take(self, places: Places) -> Pairs:
        """Return the pairs at `places`, in that order."""
        return replace(
            self,
            text_places=self.text_places[places],
            photo_places=self.photo_places[places],
            relevance=self.relevance[places],
            weight=self.weight[places],
        )


def make_pairs(examples: Sequence[Example], texts: Vectors, photos: Vectors) -> Pairs:
    """Return examples with their vectors; raise `DataError` where a vector holds NaN or an infinity."""
    for what, vectors in (("text", texts), ("photo", photos)):
        require_finite(what, vectors)
    return Pairs(
        texts,
        photos,
        texts.places([example.query_id for example in examples]),
        photos.places([example.image for example in examples]),
        np.array([example.relevance for example in examples]),
        np.array([example.weight for example in examples]),
    )


def require_finite(what: str, vectors: Vectors) -> None:
    """Raise `DataError` that names the texts or photos whose vector is no number."""
    broken = np.flatnonzero(~np.isfinite(vectors.rows).all(axis=1))
    if len(broken):
        named = ", ".join(vectors.names[place] for place in broken[:5])
        more = f" and {len(broken) - 5:,} more" if len(broken) > 5 else ""
        raise DataError(f"NaN or infinity in the {what} vectors of {named}{more}; nothing can be learned from these")
