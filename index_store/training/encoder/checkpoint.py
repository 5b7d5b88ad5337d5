"""Keep what a training has reached in a folder, so that one that was killed goes on and ends with the same weights."""

from __future__ import annotations

import hashlib
import json
import pickle
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from index_store.errors import EncoderError
from index_store.training.encoder.resumable_files import write_atomically

STATE_FILE = "training.pt"
SECONDS = 600.0
"""Between two checkpoints inside a pass: half a gigabyte is written for each."""


class Checkpoints:
    """The checkpoint of one training, `training.pt` in `folder`; None keeps nothing.

    `facts` are what the training hangs on (configuration, photos, captions, start): a checkpoint of another training is
    refused, never overwritten.
    """

    def __init__(self, folder: Path | None, facts: Mapping[str, object]) -> None:
        self._file = folder / STATE_FILE if folder else None
        self._training = hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()
        self._saved = time.monotonic()

    def load(self) -> dict[str, Any] | None:
        """Return the state that was saved last, None where there is none.

        Raises:
            EncoderError: the checkpoint is of another training, or damaged.
        """
        if self._file is None or not self._file.exists():
            return None
        try:
            kept = torch.load(self._file, map_location="cpu", weights_only=True)
            training, state = kept["training"], kept["state"]
        except (OSError, RuntimeError, KeyError, TypeError, pickle.UnpicklingError, EOFError) as error:
            raise EncoderError(f"{self._file}: is a damaged checkpoint; move it away to begin again") from error
        if training != self._training:
            raise EncoderError(
                f"{self._file}: is the checkpoint of a training with other photos, captions or settings; name another "
                "folder with --checkpoints, or the same settings"
            )
        loaded: dict[str, Any] = state
        return loaded

    def is_due(self) -> bool:
        """Return whether so much time has passed that the state should be saved."""
        return self._file is not None and time.monotonic() - self._saved >= SECONDS

    def save(self, state: Mapping[str, Any]) -> None:
        """Save the state, whole or not at all."""
        if self._file is None:
            return
        content = {"training": self._training, "state": dict(state)}
        write_atomically(self._file, lambda file: torch.save(content, file))
        self._saved = time.monotonic()
