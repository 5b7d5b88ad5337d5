"""Turn what the multilingual tower says of a text into an embedding of the shipped encoder.

The head has learned from English texts alone to give what the shipped text tower gives; the multilingual tower puts
texts of all its languages near to one another, so it serves them all. It belongs to one encoder, by its fingerprint.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from index_store.encoders.languages.card import CARD_FILE, SHIPPED_WEIGHTS, read_language_card
from index_store.encoders.registry import encoder_card
from index_store.errors import WeightsError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from index_store.encoders.protocols import Embeddings

    Floats = NDArray[np.float32]

ARRAYS_FILE = "head.npz"


@dataclass(frozen=True, slots=True)
class Head:
    """One hidden layer of ReLUs with a linear path around it; the output is brought to length 1."""

    weights: Floats
    bias: Floats
    out_weights: Floats
    out_bias: Floats
    linear: Floats

    def embeddings(self, rows: Floats) -> Embeddings:
        """Return unit rows of shape (n, dimension) for the tower's rows of shape (n, 512)."""
        hidden = np.maximum(rows @ self.weights + self.bias, 0)
        found = hidden @ self.out_weights + self.out_bias + rows @ self.linear
        unit: Embeddings = (found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)).astype(np.float32)
        return unit


class LanguageEncoder:
    """The text half of the shipped encoder for other languages: multilingual tower and head."""

    def __init__(self, folder: Path = SHIPPED_WEIGHTS, cache: Path | None = None) -> None:
        """Open both; `cache` is where the tower is kept, by default the user's cache folder.

        Raises:
            MissingExtraError: the extra `languages` is not installed.
            WeightsError: a file is missing or damaged, or the head belongs to another encoder.
        """
        card = encoder_card()
        read_language_card(card.towers, folder)
        self.dimension = card.dimension
        self._head = load_head(folder, card.dimension)
        self.name = encoder_name(folder)
        from index_store.encoders.languages.tower import SentenceTower  # late: the extra may be missing

        self._tower = SentenceTower(cache)

    def encode_texts(self, texts: Sequence[str]) -> Embeddings:
        """Return one unit row for each text, in order, shape (len(texts), dimension), float32."""
        return self._head.embeddings(self._tower.encode(texts))

    def knows(self, word: str) -> bool:
        """Return whether the tower knows a word, in small letters, as a whole."""
        return self._tower.knows(word)


def encoder_name(folder: Path = SHIPPED_WEIGHTS) -> str:
    """Return the name of the shipped encoder with the head; it changes when one of the two does."""
    return f"{encoder_card().towers}+{head_version(folder)}"


def head_version(folder: Path = SHIPPED_WEIGHTS) -> str:
    """Return the name of a head, which changes with its content.

    Raises:
        WeightsError: it cannot be read.
    """
    try:
        return f"languages-{zlib.crc32((folder / ARRAYS_FILE).read_bytes()):08x}"
    except OSError as error:
        raise _broken(folder / ARRAYS_FILE) from error


def load_head(folder: Path, dimension: int) -> Head:
    """Return the head in `folder`, for embeddings of `dimension` numbers.

    Raises:
        WeightsError: it is missing or damaged.
    """
    path = folder / ARRAYS_FILE
    try:
        with np.load(path, allow_pickle=False) as arrays:
            found: dict[str, Any] = {each.name: arrays[each.name].astype(np.float32) for each in fields(Head)}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise _broken(path) from error
    head = Head(**found)
    hidden = head.bias.shape[0] if head.bias.ndim == 1 else -1
    shapes = (512, hidden), (hidden, dimension), (dimension,), (512, dimension)
    if (head.weights.shape, head.out_weights.shape, head.out_bias.shape, head.linear.shape) != shapes:
        raise _broken(path)
    if not all(np.isfinite(array).all() for array in found.values()):
        raise _broken(path)
    return head


def save_head(head: Head, folder: Path) -> None:
    """Write the head into `folder` in half precision."""
    halves = {each.name: getattr(head, each.name).astype(np.float16) for each in fields(Head)}
    np.savez(folder / ARRAYS_FILE, **halves)


def _broken(path: Path) -> WeightsError:
    return WeightsError(f"{path}: missing or damaged; install imgsearch-cli again ({CARD_FILE} is in the same folder)")
