"""What an encoder is: the two halves that the rest of the library relies on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from index_store.records import PhotoInput

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Embeddings = NDArray[np.float32]
    """Shape (n, dimension), unit rows."""
    Pixels = NDArray[np.uint8]
    """Shape (height, width, 3), RGB."""


class TextEncoder(Protocol):
    """Turns texts into embeddings."""

    @property
    def name(self) -> str:
        """The name that stores and model cards use; it changes when the embeddings change."""
        ...

    @property
    def dimension(self) -> int:
        """The length of an embedding."""
        ...

    def encode_texts(self, texts: Sequence[str]) -> Embeddings:
        """Return one unit row for each text, in order, shape (len(texts), dimension), float32."""
        ...


class PhotoEncoder(Protocol):
    """Turns decoded photos into embeddings of the same space."""

    @property
    def name(self) -> str:
        """The name that stores and model cards use; it changes when the embeddings change."""
        ...

    @property
    def dimension(self) -> int:
        """The length of an embedding."""
        ...

    @property
    def photo_input(self) -> PhotoInput:
        """How `encode_photos` wants its photos prepared."""
        ...

    def encode_photos(self, photos: Sequence[Pixels]) -> Embeddings:
        """Return one unit row for each photo, in order, shape (len(photos), dimension), float32."""
        ...
