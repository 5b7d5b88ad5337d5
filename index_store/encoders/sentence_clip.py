"""CLIP and SigLIP models of sentence-transformers as encoders; both halves are one model in memory.

A model is always opened from a folder and never from the network: see `index_store.encoders.hub` for fetching.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from index_store.encoders.cards import CardHolder, EncoderCard
from index_store.encoders.devices import chosen_device
from index_store.encoders.torchvision_shim import declare_missing_operators
from index_store.encoders.transformer_models import complaints
from index_store.errors import WeightsError, first_line
from index_store.photos.open import to_picture

if TYPE_CHECKING:
    from index_store.encoders.protocols import Embeddings, Pixels

BATCH = 32
_LACKING = re.compile(r"^(\S+)\s*\|.*\bMIS(?:SING|MATCH)", re.MULTILINE)
"""A weight that the file does not have, or not in that shape, in the report that transformers logs."""
_NO_WEIGHTS = "a pickled file holds more than weights, and what it asks to be run was not run"


class SentenceClipEncoder(CardHolder):
    """Both halves of a CLIP or SigLIP model: texts and photos become unit rows of one space."""

    def __init__(self, card: EncoderCard, *, threads: int | None = None, device: str = "auto") -> None:
        """Open the model in the card's folder; `device` is cpu, cuda, or auto: cuda where there is one.

        Raises:
            EncoderError: there is no such device.
            WeightsError: the files are damaged, or do not make what the card says.
        """
        super().__init__(card)
        if threads is not None:
            torch.set_num_threads(threads)
        self._model = _open(card.folder, card.fingerprint, chosen_device(device))
        # SigLIP reads its answer off the last place, so that every text has to be as long as those it was trained on;
        # sentence-transformers would make texts as long as their batch, and the answer would hang on the neighbours
        padding = "max_length" if self._model[0].config.model_type == "siglip" else True
        self._model[0].processing_kwargs = {
            "text": {"padding": padding, "truncation": True, "max_length": card.max_tokens}
        }

    def encode_texts(self, texts: Sequence[str]) -> Embeddings:
        """Return one unit row for each text, in order; what is longer than the model's maximum is cut."""
        return self._encode(list(texts))

    def encode_photos(self, photos: Sequence[Pixels]) -> Embeddings:
        """Return one unit row for each photo, in order."""
        return self._encode([to_picture(photo) for photo in photos])

    def _encode(self, inputs: list[Any]) -> Embeddings:
        if not inputs:
            return np.empty((0, self.dimension), dtype=np.float32)
        try:
            rows = self._model.encode(
                inputs, batch_size=BATCH, normalize_embeddings=True, convert_to_numpy=True, show_progress_bar=False
            )
        except (RuntimeError, ValueError, TypeError, KeyError) as error:  # a processor and a model that do not fit
            raise WeightsError(f"{self._card.folder}: the model fails ({first_line(error)})") from error
        found = np.asarray(rows, dtype=np.float32)
        if found.shape != (len(inputs), self.dimension):
            raise WeightsError(
                f"{self._card.folder}: makes embeddings of shape {found.shape[1:]}, its files say {self.dimension}"
            )
        return found


@lru_cache(maxsize=1)
def _open(folder: Path, fingerprint: str, device: str) -> Any:
    """Open a model once for both halves; another fingerprint is another model."""
    declare_missing_operators()
    from sentence_transformers import SentenceTransformer

    with complaints() as told:
        try:
            model = SentenceTransformer(str(folder), device=device, local_files_only=True)
        except Exception as error:  # tokenizers, processors and weight files raise nearly anything
            why = _NO_WEIGHTS if "weights only load failed" in str(error).lower() else first_line(error)
            raise WeightsError(f"{folder}: cannot be opened ({why}); nothing was changed") from error
    lacking = [name for text in told for name in _LACKING.findall(text)]
    if lacking:
        # transformers would go on with random numbers in their place
        raise WeightsError(f"{folder}: the weights lack or misfit {', '.join(lacking[:5])}; fetch the model again")
    model.eval()
    return model
