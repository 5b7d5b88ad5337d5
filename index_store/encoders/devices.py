"""The devices that torch has here."""

from __future__ import annotations

import torch

from index_store.errors import EncoderError


def chosen_device(device: str) -> str:
    """Return cpu or cuda for one of `machine.DEVICES`.

    Raises:
        EncoderError: there is no such device here.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise EncoderError("there is no cuda device that torch can use here; name cpu or auto")
    return device if device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
