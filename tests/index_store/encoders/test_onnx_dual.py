"""The door and the shipped encoder: real weights, opened from copies that are broken in one way each."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from index_store.encoders.cards import (
    CARD_FILE,
    PHOTO_FILE,
    TEXT_FILE,
    TOKENIZER_FILE,
    WEIGHT_FILES,
    EncoderCard,
    fingerprint,
    write_card,
)
from index_store.encoders.onnx_dual import PHOTO_BATCH, TEXT_BATCH, OnnxPhotoEncoder, OnnxTextEncoder
from index_store.encoders.registry import DEFAULT_ENCODER, encoder_card, load_photo_encoder, load_text_encoder
from index_store.errors import EncoderError, WeightsError


@pytest.fixture(scope="module")
def texts() -> OnnxTextEncoder:
    return OnnxTextEncoder(encoder_card())


@pytest.fixture(scope="module")
def photos() -> OnnxPhotoEncoder:
    return OnnxPhotoEncoder(encoder_card())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make a copy of the shipped encoder that a test may break."""
    return shutil.copytree(encoder_card().folder, tmp_path / "encoder")


SIDE = encoder_card().photo_input.side


def noise(count: int) -> list[np.ndarray]:
    return list(np.random.default_rng(0).integers(0, 256, (count, SIDE, SIDE, 3), dtype=np.uint8))


def test_shipped_card_is_true_to_its_files() -> None:
    card = encoder_card()
    photo_tower = hashlib.sha256((card.folder / PHOTO_FILE).read_bytes()).hexdigest()
    assert card.name == f"{DEFAULT_ENCODER}-{photo_tower[:8]}"
    assert fingerprint(card.folder) == card.fingerprint
    assert {name: (card.folder / name).stat().st_size for name in WEIGHT_FILES} == card.file_bytes


def made_again(folder: Path) -> EncoderCard:
    facts = json.loads((folder / CARD_FILE).read_text(encoding="utf-8"))
    return write_card(folder, DEFAULT_ENCODER, {key: facts[key] for key in ("dimension", "photo_input", "max_tokens")})


def test_a_text_tower_trained_again_keeps_the_name_that_stores_know(folder: Path) -> None:
    shipped = encoder_card()
    with (folder / TEXT_FILE).open("ab") as file:
        file.write(b"other weights")
    card = made_again(folder)
    assert card.name == shipped.name
    assert card.towers != shipped.towers  # a reranker and a look at texts have to be made for it again


def test_a_photo_tower_trained_again_has_another_name(folder: Path) -> None:
    with (folder / PHOTO_FILE).open("ab") as file:
        file.write(b"other weights")
    card = made_again(folder)
    assert card.name != encoder_card().name
    assert card.towers != encoder_card().towers


def test_shipped_encoder_leaves_a_megabyte_of_the_forty_to_other_models() -> None:
    assert sum(encoder_card().file_bytes.values()) < 39_000_000


def test_texts_become_unit_rows_of_the_cards_dimension(texts: OnnxTextEncoder) -> None:
    rows = texts.encode_texts(["a dog", "two men play chess", ""])
    assert (rows.shape, rows.dtype) == ((3, encoder_card().dimension), np.float32)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1.0, atol=1e-5)


def test_texts_keep_their_order_across_batches_of_like_length(texts: OnnxTextEncoder) -> None:
    # lengths go up and down, and there are more of them than one batch holds
    many = [f"{number} {'very ' * (number % 7)}big dogs" for number in range(TEXT_BATCH + 9)]
    together = texts.encode_texts(many)
    alone = np.concatenate([texts.encode_texts([text]) for text in many])
    assert ((together * alone).sum(axis=1) > 0.999).all()


def test_no_texts_and_no_photos_give_no_rows(texts: OnnxTextEncoder, photos: OnnxPhotoEncoder) -> None:
    assert texts.encode_texts([]).shape == (0, texts.dimension)
    assert photos.encode_photos([]).shape == (0, photos.dimension)


def test_long_texts_are_cut_at_the_models_maximum(texts: OnnxTextEncoder) -> None:
    long = "dog " * 10_000
    cut = "dog " * (encoder_card().max_tokens - 2)  # [CLS] and [SEP] take two places
    np.testing.assert_allclose(texts.encode_texts([long]), texts.encode_texts([cut]), atol=1e-5)


def test_photos_become_unit_rows_in_order_across_batches(photos: OnnxPhotoEncoder) -> None:
    many = noise(PHOTO_BATCH + 3)
    rows = photos.encode_photos(many)
    assert (rows.shape, rows.dtype) == ((len(many), encoder_card().dimension), np.float32)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1.0, atol=1e-5)
    np.testing.assert_allclose(rows[[0, -1]], photos.encode_photos([many[0], many[-1]]), atol=1e-4)


def test_photos_of_another_size_are_refused(photos: OnnxPhotoEncoder) -> None:
    with pytest.raises(
        EncoderError, match=rf"photo 1 is uint8 of shape \(224, 224, 3\).* wants uint8 of shape \({SIDE},"
    ):
        photos.encode_photos([*noise(1), np.zeros((224, 224, 3), dtype=np.uint8)])


def test_photo_input_is_what_the_card_says(photos: OnnxPhotoEncoder) -> None:
    assert photos.photo_input == encoder_card().photo_input
    assert photos.photo_input.squash


def test_each_half_opens_without_the_other(folder: Path) -> None:
    (folder / PHOTO_FILE).unlink()
    assert load_text_encoder(str(folder)).encode_texts(["a dog"]).shape[0] == 1
    shutil.copy(encoder_card().folder / PHOTO_FILE, folder)
    (folder / TEXT_FILE).unlink()
    assert load_photo_encoder(str(folder)).encode_photos(noise(1)).shape[0] == 1


def test_a_missing_file_is_named(folder: Path) -> None:
    (folder / TOKENIZER_FILE).unlink()
    with pytest.raises(WeightsError, match=r"tokenizer\.json: is missing; reinstall imgsearch-cli"):
        load_text_encoder(str(folder))


def test_a_file_cut_short_is_named(folder: Path) -> None:
    content = (folder / TEXT_FILE).read_bytes()
    (folder / TEXT_FILE).write_bytes(content[:1000])
    with pytest.raises(WeightsError, match=r"text\.onnx: has 1,000 bytes, its card says"):
        load_text_encoder(str(folder))


def test_files_that_are_no_models_are_named(folder: Path) -> None:
    size = (folder / PHOTO_FILE).stat().st_size
    (folder / PHOTO_FILE).write_bytes(b"\0" * size)
    with pytest.raises(WeightsError, match=r"photo\.onnx: cannot be opened"):
        load_photo_encoder(str(folder))
    size = (folder / TOKENIZER_FILE).stat().st_size
    (folder / TOKENIZER_FILE).write_bytes(b"{" * size)
    with pytest.raises(WeightsError, match=r"tokenizer\.json: is no tokenizer"):
        load_text_encoder(str(folder))


def test_a_damaged_card_is_named(folder: Path) -> None:
    (folder / "card.json").write_text("{}", encoding="utf-8")
    with pytest.raises(WeightsError, match=r"card\.json: is damaged \(KeyError: 'schema'\)"):
        encoder_card(str(folder))
    (folder / "card.json").unlink()
    with pytest.raises(WeightsError, match=r"card\.json: no encoder's card can be read here"):
        encoder_card(str(folder))


def test_a_card_of_a_newer_schema_is_refused(folder: Path) -> None:
    content = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    (folder / "card.json").write_text(json.dumps({**content, "schema": 99}), encoding="utf-8")
    with pytest.raises(WeightsError, match="schema 99 is not 1, the one this version reads"):
        encoder_card(str(folder))


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(EncoderError, match="no encoder is called clip: name a folder made by"):
        load_text_encoder("clip")


def test_the_shipped_encoder_answers_to_both_of_its_names() -> None:
    card = encoder_card()
    assert encoder_card(card.name) == encoder_card(DEFAULT_ENCODER) == card


def test_the_door_and_the_card_load_neither_numpy_nor_onnxruntime() -> None:
    code = (
        "import sys\n"
        "from index_store.encoders.registry import encoder_card\n"
        "encoder_card()\n"
        "print(sorted({'numpy', 'onnxruntime', 'tokenizers', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_plain_scene_is_told_from_another(texts: OnnxTextEncoder, photos: OnnxPhotoEncoder) -> None:
    sea = np.zeros((SIDE, SIDE, 3), dtype=np.uint8)
    sea[: SIDE // 2], sea[SIDE // 2 :] = (150, 200, 250), (20, 70, 140)
    grass = np.zeros_like(sea)
    grass[: SIDE // 3], grass[SIDE // 3 :] = (190, 215, 245), (60, 140, 40)
    similarities = texts.encode_texts(["the ocean", "a green field"]) @ photos.encode_photos([sea, grass]).T
    assert similarities.argmax(axis=1).tolist() == [0, 1]
