"""Open encoders by name: the only place that knows which file implements which encoder.

Importing this module loads neither numpy nor ONNX Runtime; both come with the first encoder that is opened.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from index_store.encoders.cards import CARD_FILE, SENTENCE_CLIP, EncoderCard, read_card
from index_store.encoders.known_folders import known_folder
from index_store.errors import EncoderError, MissingExtraError, WeightsError
from index_store.machine import has_cuda_driver, wanted_device

if TYPE_CHECKING:
    from index_store.encoders.protocols import PhotoEncoder, TextEncoder
    from index_store.encoders.sentence_clip import SentenceClipEncoder

__all__ = [
    "DEFAULT_ENCODER",
    "EncoderCard",
    "encoder_card",
    "load_photo_encoder",
    "load_text_encoder",
    "shipped_before",
    "stored_card",
]

DEFAULT_ENCODER = "lite2-minilm"
"""The encoder that ships with the program: EfficientNet-Lite2 for photos, MiniLM for texts."""

_NOTHING = "; nothing was changed"

_SHIPPED = Path(__file__).parent.parent / "weights" / "encoder"


def encoder_card(name: str | None = None) -> EncoderCard:
    """Read what an encoder says about itself, without opening it.

    `name` is the shipped encoder's name, with or without its fingerprint, a folder made by `imgsearch train encoder`,
    or a CLIP or SigLIP model of sentence-transformers, by its folder or by its name in the hub's local cache; or what a
    store calls an encoder whose folder this user has named before. None means the shipped one.

    Raises:
        EncoderError: there is no encoder of that name.
        WeightsError: its card is missing or damaged.
    """
    if name is None or name == DEFAULT_ENCODER:
        return read_card(_SHIPPED)
    if (folder := named_folder(name)) is not None:
        return _card_in(folder)
    name = name.strip()  # a blank that was copied along with a name
    if Path(name).is_file():
        raise EncoderError(f"{name}: is a file, and an encoder is a folder: name the one with all its files{_NOTHING}")
    shipped = read_card(_SHIPPED)
    if name == shipped.name:
        return shipped
    if (known := _known_card(name)) is not None:
        return known
    from index_store.encoders.sentence_cards import absent, find_hub_card, looks_like_hub_name, text_base

    if base := text_base(name):
        raise EncoderError(
            f"{name} is a tower for texts alone: --encoder takes CLIP and SigLIP, and `imgsearch train encoder DATA "
            f"--text-base {base} --output DIR` makes an encoder of it; nothing was changed"
        )
    card = find_hub_card(name)
    if card is None and looks_like_hub_name(name):
        raise absent(name)
    if card is None and shipped_before(name):
        raise EncoderError(
            f"{name} came with another version of imgsearch, this one has {shipped.name}: run 'imgsearch index' to "
            "embed the photos again; nothing was changed"
        )
    if card is None:
        raise EncoderError(
            f"no encoder is called {name or 'nothing'}: name a folder made by `imgsearch train encoder`, "
            f"one that `imgsearch encoders` lists, or {shipped.name}, which ships; nothing was changed"
        )
    return card


def named_folder(name: str) -> Path | None:
    """Return the folder that a user names, whose own folder may be written ~; None where it is no folder."""
    folder = Path(os.path.expanduser(name))
    return folder if name.strip() and folder.is_dir() else None


def stored_card(name: str) -> EncoderCard:
    """Read the card of the encoder that a store names.

    A store may come from anybody, so its word never opens a folder: only what ships, what lies in the hub's cache, or a
    folder that this user has named before and that still holds the same weights.

    Raises:
        EncoderError: there is no encoder of that name.
    """
    if os.sep not in name and not name.startswith(".") and not Path(name).is_dir():
        with suppress(EncoderError):  # said below: it is not the user who named it
            return encoder_card(name)
        if shipped_before(name):
            return encoder_card(name)
    raise EncoderError(f"the store was built with the encoder {name}, {_where_it_was(name)}; nothing was changed")


def _known_card(name: str) -> EncoderCard | None:
    """Return the card of an encoder by the name that stores have for it, where its folder still holds it."""
    folder = known_folder(name)
    if folder is None:
        return None
    try:
        card = _card_in(folder)
    except (EncoderError, WeightsError):
        return None
    return card if card.name == name else None


def _where_it_was(name: str) -> str:
    """Say why the encoder that a store names is not found, and what to do."""
    from index_store.encoders.sentence_cards import hub_name

    folder = known_folder(name)
    if folder is not None:
        gone = "does not exist any more" if not folder.is_dir() else "holds another encoder now"
        return f"and {folder}, where it was, {gone}: name its folder with --encoder"
    if hub := hub_name(name):
        return f"which is not on this machine: fetch it with `imgsearch encoders --fetch {hub}`, or name its folder"
    return "which is not known on this machine: name its folder with --encoder"


def shipped_before(name: str) -> bool:
    """Whether a name is that of an encoder which came with another version of this program."""
    return name.startswith(f"{DEFAULT_ENCODER}-") and name != read_card(_SHIPPED).name


def _card_in(folder: Path) -> EncoderCard:
    from index_store.encoders.sentence_cards import is_sentence_folder, read_sentence_card

    if (folder / CARD_FILE).is_file():
        return read_card(folder)
    if is_sentence_folder(folder):
        return read_sentence_card(folder)
    if inside := sorted(path for path in folder.glob("snapshots/*") if is_sentence_folder(path)):
        raise EncoderError(f"{folder}: is a folder of the hub's cache: name the model in it, {inside[-1]}{_NOTHING}")
    if any(folder.glob("open_clip*")):
        raise EncoderError(
            f"{folder}: has the model in open_clip's form alone; put the same model's files for transformers there "
            f"(config.json, preprocessor_config.json, tokenizer.json, model.safetensors){_NOTHING}"
        )
    return read_card(folder)


def load_text_encoder(name: str | EncoderCard | None = None, *, threads: int | None = None) -> TextEncoder:
    """Open the text half of an encoder; `threads` defaults to the cores that this process may use.

    Raises:
        EncoderError: there is no encoder of that name.
        WeightsError: its files are missing or damaged.
    """
    card = name if isinstance(name, EncoderCard) else encoder_card(name)
    if card.kind == SENTENCE_CLIP:
        return _open_sentence_clip(card, threads)
    from index_store.encoders.onnx_dual import OnnxTextEncoder

    return OnnxTextEncoder(card, threads=threads)


def load_photo_encoder(
    name: str | EncoderCard | None = None, *, threads: int | None = None, device: str | None = None
) -> PhotoEncoder:
    """Open the photo half of an encoder; `threads` defaults to the cores that this process may use.

    `device` is `cpu`, `cuda` or `auto`, by default what `IMGSEARCH_DEVICE` says, and else `auto`: a GPU where torch has
    one that can run the encoder.

    Raises:
        EncoderError: there is no encoder of that name, or no such device.
        MissingExtraError: what a GPU needs is not installed, and a GPU was asked for.
        WeightsError: its files are missing or damaged.
    """
    card = name if isinstance(name, EncoderCard) else encoder_card(name)
    if card.kind == SENTENCE_CLIP:
        return _open_sentence_clip(card, threads, device)
    wanted = wanted_device(device)
    if wanted == "cuda":
        return _open_on_gpu(card)
    if wanted == "auto" and has_cuda_driver():
        with suppress(EncoderError, MissingExtraError):
            return _open_on_gpu(card)
    from index_store.encoders.onnx_dual import OnnxPhotoEncoder

    return OnnxPhotoEncoder(card, threads=threads)


def _open_on_gpu(card: EncoderCard) -> PhotoEncoder:
    from index_store.encoders.gpu_photos import GpuPhotoEncoder

    return GpuPhotoEncoder(card)


def _open_sentence_clip(card: EncoderCard, threads: int | None, device: str | None = None) -> SentenceClipEncoder:
    from index_store.encoders.sentence_clip import SentenceClipEncoder

    return SentenceClipEncoder(card, threads=threads, device=wanted_device(device))
