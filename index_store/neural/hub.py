"""Fetch a CLIP or SigLIP model into the hub's local cache: the only file that asks the network for an encoder."""

from __future__ import annotations

import os
from contextlib import suppress

from index_store.encoders.cards import EncoderCard
from index_store.encoders.sentence_cards import find_hub_card, hub_caches, hub_repository
from index_store.errors import EncoderError, WeightsError

ANSWER_SECONDS = 5.0
"""How long the hub may take to say that it is there."""

_FILES = ["*.json", "*.txt", "*.model", "*.safetensors", "pytorch_model*.bin"]
_OTHER_RUNTIMES = ["onnx/*", "openvino/*", "*.onnx", "*.h5", "*.msgpack"]


def fetch(name: str) -> EncoderCard:
    """Fetch the model that a name of the hub stands for, unless it is here, and return its card.

    Raises:
        EncoderError: the hub cannot be reached or must not be, has no such model, or it is of another kind.
    """
    card = find_hub_card(name)
    if card is not None:
        return card
    instead = "put its files into a folder and name that with --encoder; nothing was changed"
    for variable in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        if os.environ.get(variable, "").upper() in {"1", "ON", "YES", "TRUE"}:
            raise EncoderError(f"{name} is not on this machine, and {variable} forbids to fetch it; {instead}")
    # a repository may have its weights twice; the pickled ones are fetched only where there are no others
    for ignored in ([*_OTHER_RUNTIMES, "*.bin"], _OTHER_RUNTIMES):
        _download(hub_repository(name), ignored, instead)
        with suppress(WeightsError):
            card = find_hub_card(name)
            break
    if card is None:
        raise EncoderError(f"{hub_repository(name)} was fetched and is no CLIP or SigLIP model; name another")
    return card


def _download(repository: str, ignored: list[str], instead: str) -> None:
    import huggingface_hub

    try:
        huggingface_hub.snapshot_download(
            repository,
            cache_dir=hub_caches()[0],
            etag_timeout=ANSWER_SECONDS,
            allow_patterns=_FILES,
            ignore_patterns=ignored,
        )
    except Exception as error:  # the hub's library lets the errors of its HTTP library through
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise EncoderError(f"{repository} cannot be fetched ({reason}); {instead}") from error
