from __future__ import annotations

import dataclasses
import json
import time

import numpy as np
import pytest

from index_store.encoders.registry import encoder_card
from index_store.errors import WeightsError
from index_store.reranker.predictors import Curve
from index_store.reranker.reranking import Reranker, load_reranker, read_reranker, write_reranker
from index_store.training.reranker.models import fit_calibrated, model_spec


def reranker_of(material, name: str) -> Reranker:
    found = fit_calibrated(model_spec(name), material)
    model = found.model
    card = {"model": name}
    return Reranker(model.joining, model.learned, model.predictor, found.calibration, "e-1", 12, "", 0.4, card)


@pytest.mark.parametrize("name", ["auto", "isotonic", "linear", "ridge", "mapped", "notebook", "constant"])
def test_weights_on_disk_score_as_the_model_did(learnable, tmp_path, name):
    written = reranker_of(learnable, name)
    write_reranker(tmp_path, written)
    read = load_reranker("e-1", tmp_path)
    query, photos = learnable.pairs.texts.rows[0], learnable.pairs.photos.rows
    scores = read.score(query, photos)
    np.testing.assert_allclose(scores, written.score(query, photos), atol=5e-3)  # half precision
    np.testing.assert_allclose(scores, read.score_pairs(np.repeat(query[None], 60, axis=0), photos), atol=1e-4)
    assert scores.dtype == np.float32
    assert (scores.min() >= 0, scores.max() <= 1) == (True, True)
    assert read.version.startswith(f"{name}-")
    assert read.min_score == 0.4


def test_a_rising_calibration_keeps_the_order_of_photos(learnable):
    reranker = reranker_of(learnable, "auto")
    query, photos = learnable.pairs.texts.rows[1], learnable.pairs.photos.rows
    wide = dataclasses.replace(
        reranker, calibration=Curve(np.array([-99.0, 99.0], np.float32), np.array([0.0, 1.0], np.float32))
    )
    assert np.argsort(reranker.score(query, photos)).tolist() == np.argsort(wide.score(query, photos)).tolist()


def test_no_candidates_get_no_scores(learnable):
    assert reranker_of(learnable, "ridge").score(np.zeros(12, np.float32), np.zeros((0, 12), np.float32)).shape == (0,)


def test_embeddings_of_another_length_are_refused(learnable):
    reranker = reranker_of(learnable, "ridge")
    with pytest.raises(WeightsError, match="wants embeddings of 12 numbers, these have 5"):
        reranker.score(np.zeros(5, np.float32), np.zeros((2, 5), np.float32))


def test_another_encoders_reranker_is_refused(learnable, tmp_path):
    write_reranker(tmp_path, reranker_of(learnable, "ridge"))
    with pytest.raises(WeightsError, match="trained on the encoder e-1, not on e-2"):
        load_reranker("e-2", tmp_path)


def spoil_missing(folder):
    (folder / "reranker.npz").unlink()


def spoil_cut(folder):
    path = folder / "reranker.npz"
    path.write_bytes(path.read_bytes()[:100])


def spoil_card(folder):
    (folder / "card.json").write_text("{")


def spoil_fields(folder):
    (folder / "card.json").write_text('{"schema": 1}')


def spoil_schema(folder):
    card = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps(card | {"schema": 99}))


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (spoil_missing, "the weights are missing"),
        (spoil_cut, "is damaged"),
        (spoil_card, "is damaged"),
        (spoil_fields, "is not a reranker's card"),
        (spoil_schema, "not of this version"),
    ],
)
def test_missing_or_damaged_weights_are_named(learnable, tmp_path, spoil, reason):
    write_reranker(tmp_path, reranker_of(learnable, "ridge"))
    spoil(tmp_path)
    with pytest.raises(WeightsError, match=reason):
        read_reranker(tmp_path)


def test_the_shipped_reranker_belongs_to_the_shipped_encoder_and_is_quick():
    card = encoder_card()
    reranker = load_reranker(card.towers)
    chance = np.random.default_rng(0)
    rows = chance.normal(size=(101, card.dimension)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    seconds = []
    for _ in range(15):
        started = time.perf_counter()
        scores = reranker.score(rows[0], rows[1:])
        seconds.append(time.perf_counter() - started)
    assert scores.shape == (100,)
    # the bar is 10 ms; a test machine may be busy with other things
    assert min(seconds) < 0.1
