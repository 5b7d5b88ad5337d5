"""The model for short queries, on vectors in which it can be learned: things are directions, photos show some."""

from __future__ import annotations

import numpy as np
import pytest

from index_store.errors import DataError
from index_store.reranker.reranking import Reranker, load_reranker, write_reranker
from index_store.training.data.pairs import Vectors
from index_store.training.data.short_pairs import ShortSet, make_short_pairs
from index_store.training.data.short_queries import Phrase, Sayings
from index_store.training.evaluate.short_queries import ShortScores, absent_things, average_precision, score_short
from index_store.training.reranker.models import fit_calibrated, model_spec
from index_store.training.reranker.short_queries import fit_short_queries, without_photos, wording_directions

THINGS = tuple(Phrase("thing", (word,)) for word in ("dog", "cat", "boat", "tree", "hat", "car"))
DIMENSION = 12


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def things() -> Vectors:
    rows = np.eye(DIMENSION, dtype=np.float32)[: len(THINGS)]
    rows[:, -1] = 0.5  # what short texts have in common
    return Vectors([phrase.words[0] for phrase in THINGS], unit(rows))


def shown(things: Vectors, count: int, captions: int, seed: int, *, unseen: bool = True) -> ShortSet:
    """Photos of two things each; every caption says one of them, or none."""
    chance = np.random.default_rng(seed)
    said, rows = [], []
    for _ in range(count):
        places = chance.choice(len(THINGS), 2, replace=False)
        counts = chance.integers(1, captions + 1, 2)
        said.append({THINGS[place]: int(number) for place, number in zip(places, counts, strict=True)})
        rows.append(things.rows[places].sum(axis=0) + chance.normal(scale=0.2, size=DIMENSION))
    images = [f"{seed}-{number}.jpg" for number in range(count)]
    sayings = Sayings(images, [captions] * count, said, {}, {})
    return ShortSet(f"set{seed}", sayings, unit(np.array(rows)), np.full(count, unseen))


@pytest.fixture(scope="module")
def fitted(things):
    sets = [shown(things, 150, 5, 1), shown(things, 100, 1, 2, unseen=False)]
    short = make_short_pairs(sets, {phrase: phrase.words for phrase in THINGS}, things, seed=0)
    sentences = unit(np.random.default_rng(3).normal(size=(40, DIMENSION)) - np.eye(DIMENSION)[-1] * 2)
    return fit_short_queries(short, sentences, sets[0].photos[:50], seed=0), short, sentences


def test_a_photo_that_shows_the_thing_scores_high_and_another_low(fitted, things):
    model, _, _ = fitted
    other = shown(things, 80, 5, 9)
    for row, phrase in zip(things.rows, THINGS, strict=True):
        scores = model.score(row[None], other.photos)
        right = np.array([count > 0 for count in other.sayings.counts(phrase)])
        assert scores[right].mean() > 0.6 > 0.3 > scores[~right].mean()
        assert average_precision(scores, right) > 0.9


def test_scores_are_calibrated_on_unseen_photos_with_several_captions_only(fitted):
    _, short, _ = fitted
    named = {short.pairs.photos.names[place] for place in short.pairs.photo_places[short.calibrating]}
    assert named == {name for name in short.pairs.photos.names if name.startswith("set1/")}


def test_without_such_photos_it_is_calibrated_on_what_there_is(things):
    seen = shown(things, 60, 1, 4)
    short = make_short_pairs([seen], {phrase: phrase.words for phrase in THINGS}, things, seed=0)
    assert short.calibrating.all()


def test_left_out_photos_take_no_part(fitted):
    _, short, _ = fitted
    rest = without_photos(short, ["set1/1-0.jpg", "set2/2-5.jpg"])
    assert {"set1/1-0.jpg", "set2/2-5.jpg"}.isdisjoint(rest.pairs.images)
    assert set(short.pairs.images) - set(rest.pairs.images) == {"set1/1-0.jpg", "set2/2-5.jpg"}
    assert len(rest.calibrating) == len(rest.pairs) < len(short.pairs)


def test_every_photo_that_says_it_is_a_pair_and_some_that_do_not_are(things):
    one = shown(things, 200, 5, 5)
    pairs = make_short_pairs([one], {THINGS[0]: ["dog"]}, things, seed=0).pairs
    wanted = np.array(one.sayings.counts(THINGS[0]))
    assert (pairs.relevance > 0).sum() == (wanted > 0).sum()
    assert (pairs.relevance == 0).sum() == 25
    right = pairs.weight[pairs.relevance > 0].sum() / pairs.weight.sum()
    assert right == pytest.approx((wanted > 0).mean(), abs=1e-6)


def test_a_thing_that_no_photo_of_a_set_shows_is_learned_as_absent(things):
    one = shown(things, 60, 5, 6)
    said = [{phrase: count for phrase, count in row.items() if phrase != THINGS[0]} for row in one.sayings.said]
    without = ShortSet("s", Sayings(one.sayings.images, one.sayings.captions, said, {}, {}), one.photos, one.unseen)
    pairs = make_short_pairs([without], {THINGS[0]: ["dog"], THINGS[1]: ["cat"]}, things, seed=0).pairs
    dog = pairs.text_places == 0
    assert (dog.sum(), pairs.relevance[dog].max()) == (25, 0.0)
    assert pairs.weight[dog].sum() > 0


def test_how_a_thing_is_worded_moves_its_score_little(things):
    chance = np.random.default_rng(0)
    way = np.eye(DIMENSION, dtype=np.float32)[-2]
    rows = unit(np.concatenate([things.rows, things.rows + 0.8 * way]))
    texts = Vectors([*things.names, *(f"a {name}" for name in things.names)], rows)
    one = shown(things, 200, 5, 7)
    one = ShortSet(one.name, one.sayings, unit(one.photos + chance.normal(scale=0.3, size=(200, 1)) * way), one.unseen)
    ways = {phrase: [phrase.words[0], f"a {phrase.words[0]}"] for phrase in THINGS}
    short = make_short_pairs([one], ways, texts, seed=0)
    sentences = unit(chance.normal(size=(40, DIMENSION)))
    assert abs(wording_directions(short, 1)[0] @ way) > 0.9
    model = fit_short_queries(short, sentences, one.photos[:50], seed=0)
    bare, worded = (model.score(text[None], one.photos) for text in (rows[0], rows[len(things.names)]))
    assert np.abs(bare - worded).max() < 0.1


def test_the_gate_tells_a_few_words_from_a_sentence(fitted, things):
    model, _, sentences = fitted
    assert model.share(things.rows).min() > 0.8
    assert model.share(sentences).max() < 0.2


def reranker_with(model, learnable) -> Reranker:
    found = fit_calibrated(model_spec("auto"), learnable)
    parts = found.model.joining, found.model.learned, found.model.predictor, found.calibration
    return Reranker(*parts, "e-1", DIMENSION, "", 0.4, {"model": "auto"}, model)  # type: ignore[arg-type]


def test_a_reranker_keeps_its_model_for_short_queries(fitted, things, learnable, tmp_path):
    written = reranker_with(fitted[0], learnable)
    write_reranker(tmp_path, written)
    read = load_reranker("e-1", tmp_path)
    photos = learnable.pairs.photos.rows
    for row in things.rows:
        scores = read.score(row, photos)
        np.testing.assert_allclose(scores, written.score(row, photos), atol=1e-2)  # half precision
        np.testing.assert_allclose(
            scores, read.score_pairs(np.repeat(row[None], len(photos), axis=0), photos), atol=1e-4
        )
        assert scores.dtype == np.float32


def test_between_a_few_words_and_a_sentence_the_score_is_a_mean_of_both(fitted, things, learnable):
    model, _, sentences = fitted
    both, alone = reranker_with(model, learnable), reranker_with(None, learnable)
    photos = learnable.pairs.photos.rows
    texts = unit(np.linspace(things.rows[0], sentences[0], 9))
    shares = model.share(texts)
    assert (shares[0], shares[-1]) == (1.0, 0.0)
    assert ((shares > 0) & (shares < 1)).any()
    for text, share in zip(texts, shares, strict=True):
        expected = share * model.score(text[None], photos) + (1 - share) * alone.score(text, photos)
        np.testing.assert_allclose(both.score(text, photos), expected, atol=1e-5)


def test_short_queries_are_measured_by_hand():
    found = ShortScores(
        ["dog", "cat"],
        np.array([[0.9, 0.8, 0.1, 0.2], [0.3, 0.1, 0.4, 0.2]]),
        np.array([[0.1, 0.1, 0.3, 0.1], [0.0, 0.0, 0.0, 0.0]]),
        np.array([[True, False, True, False], [False, False, True, True]]),
        np.array([[1.0, 0.0, 1.0, 0.0], [0.0, 0.0, 1.0, 1.0]]),
        np.array([0.6, 0.2, 0.1, 0.1]),
    )
    measured = found.measured(0.5)
    assert measured["short_mAP"] == pytest.approx(((1 + 2 / 4) / 2 + (1 + 2 / 3) / 2) / 2)
    assert measured["short_right_shown"] == 1 / 4
    assert measured["short_precision"] == 1 / 2
    assert measured["short_find_nothing"] == 1
    assert measured["short_absent_answered"] == 1 / 4
    assert measured["short_wording_spread"] == pytest.approx(np.quantile([0.1, 0.3, 0.0, 0.0], 0.95))
    assert np.isnan(found.measured(0.95)["short_precision"])


def test_absent_is_a_thing_of_which_no_caption_says_a_word():
    said = Sayings(["a.jpg"], [1], [{Phrase("thing", ("zebra",)): 1, Phrase("thing", ("polar",)): 1}], {}, {})
    absent = absent_things(said)
    assert {"zebra", "polar bear"}.isdisjoint(absent)
    assert {"giraffe", "typewriter"} <= set(absent)


def test_nothing_to_measure_is_said():
    with pytest.raises(DataError, match="no short query is said of 5 photos"):
        score_short(Sayings([], [], [], {}, {}), {}, [], lambda _: np.zeros(0, np.float32))
