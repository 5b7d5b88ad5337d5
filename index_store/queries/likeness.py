"""Compare small pictures of two photos: are they one picture, perhaps resized, compressed again or cropped a little?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from index_store.encoders.protocols import Pixels

    Matrix = NDArray[np.float32]

SIDE = 32
"""Small pictures are SIDE x SIDE pixels, whatever the shape of the photo."""

_CELLS = 16
"""What is compared: a mean of each cell of 16 x 16, so that compression and resizing hardly matter."""

_CROP = 0.05 * SIDE
"""The width, in pixels of a small picture, that a crop may have taken off a side, or off both together."""

_HOPELESS = 0.3
"""Below this correlation of the whole pictures no crop is tried."""


def _averaging(start: float, end: float) -> Matrix:
    """Return the matrix that averages the pixels from `start` to `end` of a row into cells, shape (cells, SIDE)."""
    edges = np.linspace(start, end, _CELLS + 1)
    pixels = np.arange(SIDE)
    covered = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    weights = np.clip(covered, 0.0, None)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float32)


_WHOLE = _averaging(0, SIDE)
_PARTS = (
    _WHOLE,
    _averaging(_CROP, SIDE),
    _averaging(0, SIDE - _CROP),
    _averaging(_CROP / 2, SIDE - _CROP / 2),
)


def likeness(first: Pixels, second: Pixels) -> float:
    """Return the correlation, in [-1, 1], of two small pictures, the best over small crops of either."""
    whole, other = _cells(first, _WHOLE, _WHOLE), _cells(second, _WHOLE, _WHOLE)
    best = float(whole @ other)
    if best < _HOPELESS:
        return best
    for rows in _PARTS:
        for columns in _PARTS:
            best = max(best, float(_cells(first, rows, columns) @ other), float(whole @ _cells(second, rows, columns)))
    return best


def _cells(picture: Pixels, rows: Matrix, columns: Matrix) -> Matrix:
    """Return the cells of a part of a small picture as a vector without mean, of length one."""
    cells = np.einsum("ij,jkc,lk->ilc", rows, picture.astype(np.float32), columns, optimize=True).ravel()
    cells -= cells.mean()
    length = float(np.linalg.norm(cells))
    return np.asarray(cells / length if length > 0 else cells, dtype=np.float32)
