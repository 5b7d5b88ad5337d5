"""The photo half of an encoder on a GPU, by torch, which brings CUDA with it where ONNX Runtime does not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from index_store.encoders.cards import PHOTO_FILE, CardHolder, EncoderCard, weight_file
from index_store.encoders.devices import chosen_device
from index_store.encoders.onnx_graph import OnnxGraph
from index_store.errors import EncoderError, first_line

if TYPE_CHECKING:
    from index_store.encoders.protocols import Embeddings, Pixels

BATCH = 32
"""Photos encoded at once: 320 x 320 pixels of each become some 20 MB of activations at their widest."""


class GpuPhotoEncoder(CardHolder):
    """The photo tower, run by torch."""

    def __init__(self, card: EncoderCard, device: str = "cuda") -> None:
        """Read the tower and put it on a device of torch.

        Raises:
            EncoderError: there is no such device, or the tower has an operation that cannot be run there.
            WeightsError: its file is missing or damaged.
        """
        super().__init__(card)
        self._graph = OnnxGraph(weight_file(card, PHOTO_FILE), chosen_device(device))

    def encode_photos(self, photos: Sequence[Pixels]) -> Embeddings:
        """Return one unit row for each photo, in order.

        Raises:
            EncoderError: a photo does not have the shape and type that `photo_input` asks for, or the GPU fails.
        """
        self.check_photos(photos)
        batches = [np.stack(photos[start : start + BATCH]) for start in range(0, len(photos), BATCH)]
        try:
            parts = [self._graph.run(batch) for batch in batches]
        except RuntimeError as error:  # out of memory and all else that CUDA tells
            raise EncoderError(f"the GPU failed ({first_line(error)}); go on with --device cpu") from error
        return np.concatenate([np.empty((0, self.dimension), dtype=np.float32), *parts])
