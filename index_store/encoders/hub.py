"""Fetch models into the hub's local cache: CLIP or SigLIP as encoders, and the bases that training starts from."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from index_store.encoders.cards import EncoderCard
from index_store.encoders.sentence_cards import cached_folder, find_hub_card, hub_caches, hub_repository
from index_store.errors import EncoderError, WeightsError, first_line

ANSWER_SECONDS = 5.0
"""How long the hub may take to say that it is there."""

_FILES = ["*.json", "*.txt", "*.model", "*.safetensors", "pytorch_model*.bin", "README.md"]
"""What is fetched of a model; its README names the licence."""

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
    _check_allowed(name, instead)
    # a repository may have its weights twice; the pickled ones are fetched only where there are no others
    for ignored in ([*_OTHER_RUNTIMES, "*.bin"], _OTHER_RUNTIMES):
        _download(hub_repository(name), ignored, instead)
        with suppress(WeightsError):
            card = find_hub_card(name)
            break
    if card is None:
        raise EncoderError(f"{hub_repository(name)} was fetched and is no CLIP or SigLIP model; name another")
    return card


def fetch_base(name: str, repository: str, instead: str) -> Path:
    """Fetch a model that training can start from and return its folder; `instead` says what else can be done.

    Raises:
        EncoderError: the hub cannot be reached or must not be, or has no such model.
    """
    _check_allowed(name, instead)
    _download(repository, [*_OTHER_RUNTIMES, "*.bin"], instead)
    folder = cached_folder(repository)
    if folder is None:
        raise EncoderError(f"{repository} was fetched and is no model of transformers; {instead}")
    return folder


def forbidden_by() -> str | None:
    """Return the name of the environment variable that forbids to ask the network for models, if one does."""
    for variable in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        if os.environ.get(variable, "").upper() in {"1", "ON", "YES", "TRUE"}:
            return variable
    return None


def _check_allowed(name: str, instead: str) -> None:
    variable = forbidden_by()
    if variable:
        raise EncoderError(f"{name} is not on this machine, and {variable} forbids to fetch it; {instead}")


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
        raise EncoderError(f"{repository} cannot be fetched ({first_line(error)}); {instead}") from error
