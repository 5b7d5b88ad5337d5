"""A copy is the photo mirrored, a little resized and saved again, always the same; it counts with its photo."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("sklearn")

from index_store.records import PhotoInput
from index_store.training.photo_rule.copies import altered_pixels, piece_pixels
from index_store.training.photo_rule.data import Copies
from index_store.training.photo_rule.trials import Trials, learned_from
from tests.index_store.training.photo_rule.test_train import learning_data

WANTED = PhotoInput(64)


@pytest.fixture
def half_red(tmp_path: Path) -> Path:
    """A photo whose left half is red and whose right half is blue."""
    pixels = np.zeros((90, 120, 3), np.uint8)
    pixels[:, :60, 0], pixels[:, 60:, 2] = 255, 255
    path = tmp_path / "photo.png"
    Image.fromarray(pixels).save(path)
    return path


def test_a_copy_is_mirrored_and_nearly_the_photo(half_red):
    copy = altered_pixels(half_red, WANTED).astype(int)
    assert copy.shape == (64, 64, 3)
    assert copy[:, :24, 2].min() > 230
    assert copy[:, -24:, 0].min() > 230


def test_a_photo_has_always_the_same_copy_and_others_have_others(half_red):
    copy = altered_pixels(half_red, WANTED)
    assert np.array_equal(altered_pixels(half_red, WANTED), copy)
    other = half_red.rename(half_red.with_name("another.png"))
    assert not np.array_equal(altered_pixels(other, WANTED), copy)


def test_a_piece_is_a_small_part_of_the_photo(tmp_path):
    pixels = np.tile(np.arange(256, dtype=np.uint8)[None, :, None], (256, 1, 3))  # brighter from left to right
    path = tmp_path / "grey.png"
    Image.fromarray(pixels).save(path)
    piece = piece_pixels(path, WANTED)
    assert (piece.shape, piece.dtype) == ((64, 64, 3), np.uint8)
    assert 0.2 * 256 < int(piece.max()) - int(piece.min()) < 0.4 * 256
    assert np.array_equal(piece_pixels(path, WANTED), piece)


def test_a_photo_and_its_copy_share_the_weight_of_one():
    data, labels = learning_data(20, 0)
    copies = Copies(-data.embeddings[[3, 7]], np.array([3, 7]))
    rows, counted = learned_from(replace(data, copies=copies), labels, np.array([1, 3]))
    assert np.array_equal(rows, [data.embeddings[1], data.embeddings[3], -data.embeddings[3]])
    assert counted.child_weight.tolist() == counted.person_weight.tolist() == [1, 0.5, 0.5]
    assert counted.child.tolist() == labels.child[[1, 3, 3]].tolist()


def test_no_photo_is_judged_by_a_model_that_saw_its_copy():
    """Labels by chance: what was learned by heart from a copy would be told right."""
    data, labels = learning_data(400, 0)
    chance = np.random.default_rng(1).random(400) < 0.5
    rows = np.random.default_rng(2).normal(size=(400, 300)).astype(np.float32)
    copied = replace(data, embeddings=rows, copies=Copies(rows, np.arange(400)))
    by_chance = replace(labels, child=chance.astype(np.float32), truth=chance)
    logits = Trials(copied, by_chance, (), ("logistic",)).logits("logistic", lambda done, total: None)["learned from"]
    assert 0.4 < np.mean((logits > 0) == chance) < 0.6
