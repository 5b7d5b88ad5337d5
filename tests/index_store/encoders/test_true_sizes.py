"""CLIP and SigLIP of the published sizes, with random weights: their embeddings are those of the library's own path.

The library's processor and model get the upright picture that our opener makes. IMGSEARCH_PARITY=200 takes 200 photos
and as many texts.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, UnidentifiedImageError

from index_store.encoders.registry import encoder_card, load_photo_encoder, load_text_encoder
from index_store.photos.open import open_photo
from index_store.records import PhotoInput
from tests.index_store.true_clip import (
    as_linked_sentence_folder,
    make_true_clip,
    make_true_siglip,
    photos_of_all_kinds,
    texts_of_all_kinds,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3000)]

COUNT = int(os.environ.get("IMGSEARCH_PARITY", "36"))
WHOLE = PhotoInput(8192, for_people=True)
"""Every pixel of a photo, upright."""
BATCH = 8
LEAST = 0.9999
LEAST_CLEAR = 0.9998
"""Of photos with transparent parts, which are laid on white after they are resized: the whole would take memory."""

MODELS: dict[str, Callable[[Path], Path]] = {
    "ViT-B/32": lambda folder: make_true_clip(folder, 32),
    "ViT-B/16": lambda folder: make_true_clip(folder, 16),
    "SigLIP base": make_true_siglip,
}


@pytest.fixture(scope="module", params=MODELS)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return MODELS[request.param](tmp_path_factory.mktemp("true") / request.param.replace("/", "-"))


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return photos_of_all_kinds(tmp_path_factory.mktemp("photos"), COUNT)


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def batches(things: list[Any]) -> list[list[Any]]:
    return [things[start : start + BATCH] for start in range(0, len(things), BATCH)]


def is_transparent(path: Path) -> bool:
    try:
        with Image.open(path) as picture:
            return "A" in picture.mode
    except UnidentifiedImageError:  # HEIC, which has none here
        return False


def of_the_library(folder: Path, pictures: list[Image.Image], texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Embed with transformers' own processor and model."""
    import torch
    from transformers import AutoModel, AutoProcessor

    network, processor = AutoModel.from_pretrained(folder).eval(), AutoProcessor.from_pretrained(folder)
    siglip = network.config.model_type == "siglip"

    def rows(half: Any, **inputs: Any) -> np.ndarray:
        with torch.inference_mode():
            found = half(**processor(**inputs, return_tensors="pt"))
        return np.asarray(getattr(found, "pooler_output", found))

    long = {"padding": "max_length" if siglip else True, "truncation": True, "max_length": 64 if siglip else 77}
    of_texts = [rows(network.get_text_features, text=part, **long) for part in batches(texts)]
    of_photos = [rows(network.get_image_features, images=part) for part in batches(pictures)]
    return unit(np.concatenate(of_photos)), unit(np.concatenate(of_texts))


def test_embeddings_are_those_of_the_library(model: Path, photos: list[Path], tmp_path: Path) -> None:
    texts = texts_of_all_kinds(COUNT)
    wanted = encoder_card(str(model)).photo_input
    whole = [Image.fromarray(open_photo(str(path), WHOLE).pixels) for path in photos]
    # a JPEG of twice the size and more is decoded at a smaller scale, which is told apart
    scaled = np.array(
        [
            path.suffix == ".jpg" and min(picture.size) >= 2 * wanted.side
            for path, picture in zip(photos, whole, strict=True)
        ]
    )
    clear = np.array([is_transparent(path) for path in photos])
    expected_photos, expected_texts = of_the_library(model, whole, texts)
    layouts = [model] if COUNT > 100 else [model, as_linked_sentence_folder(model, tmp_path / "layout")]
    for folder in layouts:
        encoder = load_photo_encoder(str(folder))
        rows = [
            encoder.encode_photos([open_photo(str(path), wanted).pixels for path in part]) for part in batches(photos)
        ]
        of_photos = (np.concatenate(rows) * expected_photos).sum(axis=1)
        of_texts = (load_text_encoder(str(folder)).encode_texts(texts) * expected_texts).sum(axis=1)
        others = np.sort((expected_photos @ expected_photos.T)[~np.eye(len(photos), dtype=bool)])
        print(
            f"{model.name}: photos {of_photos[~scaled].min():.6f}, scaled JPEG {of_photos[scaled].min(initial=1.0):.6f}"
            f" ({scaled.sum()}), texts {of_texts.min():.6f}; photos of others: median {np.median(others):.4f},"
            f" nearest {others[-1]:.6f}"
        )
        assert of_photos[~clear].min() >= LEAST
        assert of_photos.min() >= LEAST_CLEAR
        assert of_texts.min() >= LEAST
        assert np.median(others) < 0.999  # the measure can tell photos from each other
