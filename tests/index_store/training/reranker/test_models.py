from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from index_store.errors import DataError, UsageError
from index_store.reranker.features import HUB_SHARE, matching, one_text_matching
from index_store.reranker.predictors import Curve
from index_store.training.data.metrics import expected_calibration_error, rmse
from index_store.training.data.pairs import Pairs, Vectors, make_pairs
from index_store.training.data.splits import split_by_photo
from index_store.training.data.targets import Example
from index_store.training.reranker.calibration import fit_calibration, raised
from index_store.training.reranker.matching import MatchingOptions, bilinear_ridge, fit_matching, matching_features
from index_store.training.reranker.models import MODELS, Material, fit_calibrated, fit_model, model_spec
from index_store.training.reranker.train import TrainingOptions, train_reranker


def test_the_bilinear_match_is_the_ridge_regression_on_all_products():
    chance = np.random.default_rng(0)
    photos, texts = (chance.normal(size=(count, 3)).astype(np.float32) for count in (8, 7))
    photo_places, text_places = chance.integers(0, 8, 40), chance.integers(0, 7, 40)
    wanted, weight = chance.normal(size=40), chance.uniform(0.5, 2, size=40)
    found = bilinear_ridge(photos, texts, photo_places, text_places, wanted, weight, penalty=2.0, steps=40)
    products = np.einsum("ni,nj->nij", photos[photo_places], texts[text_places]).reshape(40, 9)
    normal = products.T @ (products * weight[:, None]) + 2.0 * np.eye(9)
    expected = np.linalg.solve(normal, products.T @ (weight * wanted)).reshape(3, 3)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def arrays_of(material: Material) -> dict[str, np.ndarray]:
    banks = material.pairs.photos.rows[:20], material.pairs.texts.rows[:20]
    return fit_matching(material.pairs, None, banks, MatchingOptions())


def test_matching_says_what_its_columns_say(learnable):
    arrays = arrays_of(learnable)
    text, photo = learnable.pairs.texts.rows[3], learnable.pairs.photos.rows[5]
    found = matching(text[None], photo[None], arrays)[0]
    nearness = np.log(np.mean([np.exp(20 * photo @ caption) for caption in arrays["caption_bank"]])) / 20
    cosines = [text @ reference for reference in arrays["photo_bank"]]
    weights = arrays["weights"]
    expected = [
        text @ photo - HUB_SHARE * nearness,
        (photo - arrays["photo_mean"]) @ weights[:-1, :-1] @ (text - arrays["text_mean"]),
        weights[-1, :-1] @ (text - arrays["text_mean"]),
        np.log(np.mean(np.exp(20 * np.array(cosines)))) / 20,
        np.log(np.mean(np.exp(60 * np.array(cosines)))) / 60,
        np.mean(cosines),
        np.std(cosines),
    ]
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_one_text_is_matched_as_many_are(learnable):
    arrays = arrays_of(learnable)
    text, photos = learnable.pairs.texts.rows[0], learnable.pairs.photos.rows
    np.testing.assert_allclose(
        one_text_matching(text, photos, arrays), matching(np.repeat(text[None], 60, axis=0), photos, arrays), atol=1e-5
    )


def test_features_for_training_come_from_matches_of_other_photos(learnable):
    banks = learnable.pairs.photos.rows[:20], learnable.pairs.texts.rows[:20]
    options = MatchingOptions(penalty=1e-3, folds=3)
    held_out = matching_features(learnable.pairs, None, banks, options, seed=0)
    arrays = fit_matching(learnable.pairs, None, banks, options)
    seen = matching(learnable.pairs.text_rows, learnable.pairs.photo_rows, arrays)
    cosines = np.einsum("ij,ij->i", learnable.pairs.text_rows, learnable.pairs.photo_rows)
    rest = learnable.pairs.relevance - np.poly1d(np.polyfit(cosines, learnable.pairs.relevance, 3))(cosines)
    # with next to no penalty a match knows the noise of pairs that it has seen, and only of those
    assert np.corrcoef(seen[:, 1], rest)[0, 1] > np.corrcoef(held_out[:, 1], rest)[0, 1] + 0.1


@pytest.mark.parametrize("name", sorted(MODELS.keys() - {"constant", "notebook", "network"}))
def test_every_model_beats_the_constant_on_held_out_photos(learnable, name):
    split = split_by_photo(learnable.pairs.images, 0)
    held_out = learnable.pairs.take(split.valid)
    scores = fit_calibrated(model_spec(name), learnable.take(split.train)).score(held_out)
    assert scores.min() >= 0.0
    assert scores.max() <= 1.0
    assert rmse(scores, held_out.relevance) < 0.9 * held_out.relevance.std()


def test_the_network_learns_what_a_photo_alone_says(learnable):
    """It sees texts and photos next to each other, so a cosine of the two is out of its reach with so few pairs."""
    pairs = learnable.pairs
    liked = np.clip(0.5 + pairs.photos.rows[pairs.photo_places, 0], 0, 1).astype(np.float64)
    split = split_by_photo(pairs.images, 0)
    material = Material(dataclasses.replace(pairs, relevance=liked))
    held_out = material.pairs.take(split.valid)
    scores = fit_calibrated(model_spec("network"), material.take(split.train)).score(held_out)
    assert rmse(scores, held_out.relevance) < 0.9 * held_out.relevance.std()


def test_what_ships_is_calibrated_on_held_out_photos(learnable):
    split = split_by_photo(learnable.pairs.images, 1)
    held_out = learnable.pairs.take(split.valid)
    scores = fit_calibrated(model_spec("auto"), learnable.take(split.train)).score(held_out)
    assert expected_calibration_error(scores, held_out.relevance) < 0.05


def test_calibration_rises_everywhere_and_hits_the_means():
    chance = np.random.default_rng(0)
    raw = chance.uniform(-1, 2, 4000)
    relevance = np.clip(raw / 2 + 0.2, 0, 1) ** 2
    curve = fit_calibration(raw, relevance)
    values = np.linspace(-2, 3, 1000, dtype=np.float32)
    assert (np.diff(curve.at(values)) > 0).all()
    np.testing.assert_allclose(curve.at(raw), relevance, atol=0.06)


def test_a_raised_calibration_keeps_its_order_and_its_ends():
    curve = Curve(np.array([-1.0, 0.0, 1.0, 2.0], np.float32), np.array([0.0, 0.2, 0.6, 1.0], np.float32))
    other = raised(curve, 0.4, 0.5)
    values = np.array([-1.0, 0.0, 0.5, 1.0, 2.0], np.float32)
    # 0.4 is half way from 0.2 to 0.6; below it all is times 0.5 / 0.4, above it what is lacking to 1 times 0.5 / 0.6
    np.testing.assert_allclose(other.at(values), [0.0, 0.25, 0.5, 1 - 0.4 * 0.5 / 0.6, 1.0], atol=1e-6)
    assert (np.diff(other.heights) > 0).all()


def test_calibration_needs_spread():
    with pytest.raises(DataError, match="cannot be calibrated"):
        fit_calibration(np.full(5, 0.3), np.linspace(0, 1, 5))


def test_vectors_that_are_no_numbers_are_named(learnable):
    rows = learnable.pairs.photos.rows.copy()
    rows[7] = np.nan
    photos = Vectors(learnable.pairs.photos.names, rows)
    with pytest.raises(DataError, match=r"NaN or infinity in the photo vectors of p07\.jpg"):
        make_pairs([Example("p07.jpg", "p00.jpg#0", 0.5)], learnable.pairs.texts, photos)


def test_vectors_of_two_spaces_have_no_cosine(learnable):
    pairs = learnable.pairs
    narrow = Vectors(pairs.texts.names, pairs.texts.rows[:, :5])
    material = Material(
        Pairs(narrow, pairs.photos, pairs.text_places, pairs.photo_places, pairs.relevance, pairs.weight)
    )
    with pytest.raises(DataError, match="one space"):
        fit_model(model_spec("isotonic"), material)
    assert fit_model(model_spec("mapped"), material).raw(material.pairs).shape == (900,)


def test_material_without_photos_and_texts_has_none_of_their_pairs(learnable):
    left = learnable.without(np.array([1, 2]), np.array([3]))
    assert not set(left.pairs.photo_places) & {1, 2}
    assert 3 not in left.pairs.text_places


def test_an_unknown_model_is_refused():
    with pytest.raises(UsageError, match="no model is called 'oracle'"):
        model_spec("oracle")


@pytest.mark.parametrize("name", ["svr", "boosting", "forest", "network"])
def test_models_of_the_study_are_not_saved(name, tmp_path):
    with pytest.raises(UsageError, match=f"the model {name} is for the study alone"):
        train_reranker(tmp_path, tmp_path / "out", TrainingOptions(model=name))
    assert not (tmp_path / "out").exists()
