"""CLIP and SigLIP models of others, tiny and in the real file formats, as encoders."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from index_store.encoders.devices import chosen_device
from index_store.encoders.registry import EncoderCard, encoder_card, load_photo_encoder, load_text_encoder
from index_store.encoders.sentence_clip import BATCH, SentenceClipEncoder
from index_store.errors import EncoderError, WeightsError
from tests.index_store.tiny_clip import (
    CLIP_DIMENSION,
    SIDE,
    SIGLIP_DIMENSION,
    as_old_sentence_folder,
    plain_clip,
    sentence_clip,
    siglip,
)

__all__ = ["plain_clip", "sentence_clip", "siglip"]

TEXTS = ["a red dog", "blue", "a a a dog"]


def noise(count: int, height: int = SIDE, width: int = SIDE) -> list[np.ndarray]:
    return list(np.random.default_rng(0).integers(0, 256, (count, height, width, 3), dtype=np.uint8))


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def twin_rows(folder: Path, texts: list[str], pictures: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Embed one by one with transformers alone."""
    import torch
    from transformers import CLIPModel, CLIPProcessor

    model, processor = CLIPModel.from_pretrained(folder), CLIPProcessor.from_pretrained(folder)

    def one(**inputs: object) -> np.ndarray:
        with torch.inference_mode():
            half = model.get_text_features if "text" in inputs else model.get_image_features
            rows = half(**processor(**inputs, return_tensors="pt"))
        return np.asarray(getattr(rows, "pooler_output", rows))

    return (
        unit(np.concatenate([one(text=[text], truncation=True) for text in texts])),
        unit(np.concatenate([one(images=[Image.fromarray(picture)]) for picture in pictures])),
    )


def test_both_halves_give_what_transformers_gives(plain_clip: Path, sentence_clip: Path) -> None:
    photos = noise(BATCH + 1)
    texts_expected, photos_expected = twin_rows(plain_clip, TEXTS, photos)
    encoder = SentenceClipEncoder(encoder_card(str(sentence_clip)))
    rows = encoder.encode_photos(photos)
    assert (rows.shape, rows.dtype) == ((BATCH + 1, CLIP_DIMENSION), np.float32)
    np.testing.assert_allclose(rows, photos_expected, atol=1e-4)
    np.testing.assert_allclose(encoder.encode_texts(TEXTS), texts_expected, atol=1e-4)


@pytest.mark.parametrize("layout", ["plain", "old"])
def test_other_layouts_of_the_same_model_give_the_same(
    layout: str, plain_clip: Path, sentence_clip: Path, tmp_path: Path
) -> None:
    folder = plain_clip if layout == "plain" else as_old_sentence_folder(plain_clip, tmp_path / "old")
    expected = load_text_encoder(str(sentence_clip)).encode_texts(TEXTS)
    np.testing.assert_allclose(load_text_encoder(str(folder)).encode_texts(TEXTS), expected, atol=1e-5)


def test_a_wide_photo_is_cropped_as_the_models_processor_does(plain_clip: Path) -> None:
    (photo,) = noise(1, SIDE, SIDE + 20)
    _, expected = twin_rows(plain_clip, ["a"], [photo])
    np.testing.assert_allclose(load_photo_encoder(str(plain_clip)).encode_photos([photo]), expected, atol=1e-4)


def test_long_texts_are_cut_and_nothing_gives_no_rows(sentence_clip: Path) -> None:
    encoder = load_text_encoder(str(sentence_clip))
    np.testing.assert_allclose(encoder.encode_texts(["dog " * 1000]), encoder.encode_texts(["dog " * 20]), atol=1e-5)
    assert encoder.encode_texts([]).shape == (0, CLIP_DIMENSION)


def test_a_text_of_siglip_does_not_hang_on_its_neighbours(siglip: Path) -> None:
    import torch
    from transformers import AutoTokenizer, SiglipModel

    encoder = load_text_encoder(str(siglip))
    tokens = AutoTokenizer.from_pretrained(siglip)(
        ["a red dog"], padding="max_length", max_length=8, return_tensors="pt"
    )
    with torch.inference_mode():
        rows = SiglipModel.from_pretrained(siglip).get_text_features(**tokens)
    alone = encoder.encode_texts(["a red dog"])
    assert alone.shape == (1, SIGLIP_DIMENSION)
    np.testing.assert_allclose(alone, unit(np.asarray(getattr(rows, "pooler_output", rows))), atol=1e-5)
    np.testing.assert_allclose(encoder.encode_texts(["a red dog", "a " * 30])[:1], alone, atol=1e-5)


def test_siglip_embeds_photos(siglip: Path) -> None:
    rows = load_photo_encoder(str(siglip)).encode_photos(noise(2))
    assert rows.shape == (2, SIGLIP_DIMENSION)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1.0, atol=1e-5)


def broken(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "broken"))


def test_weights_that_lack_a_tensor_are_refused_and_not_made_up(sentence_clip: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = broken(sentence_clip, tmp_path)
    tensors = load_file(folder / "model.safetensors")
    del tensors["visual_projection.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(WeightsError, match=r"broken: the weights lack or misfit visual_projection\.weight; fetch"):
        load_photo_encoder(str(folder))


def test_a_damaged_tokenizer_is_one_line(sentence_clip: Path, tmp_path: Path) -> None:
    folder = broken(sentence_clip, tmp_path)
    (folder / "tokenizer.json").write_text("{")
    with pytest.raises(WeightsError, match=r"broken: cannot be opened \(.*\); nothing was changed") as caught:
        load_text_encoder(str(folder))
    assert "\n" not in str(caught.value)


def test_a_card_that_is_wrong_about_the_dimension_is_refused(sentence_clip: Path) -> None:
    card = encoder_card(str(sentence_clip))
    wrong = EncoderCard(card.name, card.fingerprint, 99, card.photo_input, card.max_tokens, card.folder, {}, card.kind)
    with pytest.raises(WeightsError, match=r"makes embeddings of shape \(12,\), its files say 99"):
        SentenceClipEncoder(wrong).encode_texts(["a"])


def test_devices_are_those_that_are_here() -> None:
    import torch

    assert chosen_device("cpu") == "cpu"
    assert chosen_device("auto") == ("cuda" if torch.cuda.is_available() else "cpu")
    if not torch.cuda.is_available():
        with pytest.raises(EncoderError, match="no cuda device that torch can use"):
            chosen_device("cuda")
