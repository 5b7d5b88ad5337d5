"""The model for short queries, on vectors in which it can be learned: things are directions, photos show some."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from index_store.errors import DataError, WeightsError
from index_store.reranker.features import SHORT_COLUMNS, WORD_COLUMNS, short_matching, words_of
from index_store.reranker.reranking import Reranker, load_reranker, write_reranker
from index_store.training.data.pairs import Pairs, Vectors
from index_store.training.data.short_grades import read_grades
from index_store.training.data.short_pairs import ShortPairs, ShortSet, make_short_pairs
from index_store.training.data.short_queries import Phrase, Sayings
from index_store.training.evaluate.short_queries import ShortScores, absent_things, average_precision, score_short
from index_store.training.reranker.models import fit_calibrated, model_spec
from index_store.training.reranker.short_grading import GRADE_WEIGHT, GradeScores, halves, with_grades
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
    return fit_short_queries(short, sentences, sets[0].photos[:50], things.rows, seed=0), short, sentences


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


def test_what_names_leave_unsaid_is_not_learned_as_absent(things):
    one = shown(things, 60, 1, 6)
    said = [{phrase: count for phrase, count in row.items() if phrase != THINGS[0]} for row in one.sayings.said]
    sayings = Sayings(one.sayings.images, one.sayings.captions, said, {}, {})
    named = ShortSet("s", sayings, one.photos, one.unseen, names=True)
    pairs = make_short_pairs([named], {THINGS[0]: ["dog"], THINGS[1]: ["cat"]}, things, seed=0).pairs
    assert set(pairs.text_places) == {1}
    assert named.take(np.arange(5)).names


def test_the_words_of_a_photo_tell_what_else_it_shows(fitted, things):
    model, _, _ = fitted
    photo = things.rows[:1]
    frog = unit(photo + 0.9 * np.eye(DIMENSION, dtype=np.float32)[-3])
    column = {name: place for place, name in enumerate(SHORT_COLUMNS)}
    of_dog, of_frog = (short_matching(text, photo, model.learned)[0] for text in (photo, frog))
    for name in WORD_COLUMNS:
        assert of_frog[column[name]] < of_dog[column[name]] - 0.2
    without = {name: array for name, array in model.learned.items() if name != "word_bank"}
    assert short_matching(frog, photo, without).shape == (1, len(SHORT_COLUMNS) - len(WORD_COLUMNS))


def test_words_of_photos_are_soft_maxima_and_shares_by_hand():
    bank = np.array([[1.0, 0.0], [0.0, 1.0]], np.float32)
    photos = np.array([[0.9, 0.1], [0.5, 0.5]], np.float32)
    words = words_of(photos, bank)
    for column, sharpness in enumerate((20.0, 60.0)):
        expected = np.log(np.exp(sharpness * photos).mean(axis=1)) / sharpness
        np.testing.assert_allclose(words.nearness[:, column], expected, rtol=1e-5)
    shares = np.exp(30.0 * photos)
    np.testing.assert_allclose(words.shares, shares / shares.sum(axis=1, keepdims=True), rtol=1e-4)
    alone = words.take(np.array([1]))
    assert (alone.nearness.shape, alone.shares.tolist()) == ((1, 2), [[0.5, 0.5]])


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
    model = fit_short_queries(short, sentences, one.photos[:50], things.rows, seed=0)
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
        np.testing.assert_allclose(scores, written.score(row, photos), atol=2e-2)  # half precision, and bytes
        np.testing.assert_allclose(
            scores, read.score_pairs(np.repeat(row[None], len(photos), axis=0), photos), atol=1e-4
        )
        assert scores.dtype == np.float32


@pytest.mark.parametrize("name", ["gate", "photo_bank", "word_bank", "wording", "weights"])
def test_a_damaged_model_for_short_queries_is_refused(fitted, learnable, tmp_path, name):
    written = reranker_with(fitted[0], learnable)
    assert written.short is not None
    cut = {**written.short.learned, name: written.short.learned[name][..., :-1]}
    write = replace(written, short=replace(written.short, learned=cut))
    with pytest.raises(WeightsError, match="is damaged .ValueError"):
        write_reranker(tmp_path, write)  # which reads what it wrote


def test_banks_take_a_byte_a_number_and_score_the_same(fitted, things, learnable, tmp_path):
    written = reranker_with(fitted[0], learnable)
    read = write_reranker(tmp_path, written)
    with np.load(tmp_path / "reranker.npz") as archive:
        assert {archive[name].dtype for name in archive.files if name.endswith("_bank")} == {np.dtype(np.int8)}
    assert read.short is not None and written.short is not None
    error = np.abs(read.short.learned["photo_bank"] - written.short.learned["photo_bank"]).max()
    assert error <= np.abs(written.short.learned["photo_bank"]).max() / 254 + 1e-6


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


def test_grades_by_hand():
    found = GradeScores(np.array([0.9, 0.6, 0.4, 0.1]), np.array([4, 2, 3, 1])).measured(0.5)
    assert (found["short_right_shown"], found["short_precision"]) == (1 / 2, 1 / 2)
    wanted = np.array([1, 1 / 3, 2 / 3, 0])
    errors = np.array([0.9, 0.6, 0.4, 0.1]) - wanted
    assert found["short_rmse_ratio"] == pytest.approx(np.sqrt((errors**2).mean()) / wanted.std())


def test_grades_are_learned_from_and_checked_by_query():
    grades = read_grades()
    assert len({grade.query for grade in grades}) == 60
    assert all(count == 10 for count in Counter(grade.query for grade in grades).values())
    rows = np.ones((1, 2), np.float32)
    photos = sorted({grade.photo for grade in grades})
    queries = sorted({grade.query for grade in grades})
    places = np.array([0])
    pairs = Pairs(
        Vectors(queries, np.repeat(rows, len(queries), axis=0)),
        Vectors(photos, np.repeat(rows, len(photos), axis=0)),
        places, places, np.array([1.0]), np.array([2.0]),
    )  # fmt: skip
    short = ShortPairs(pairs, np.array([2.0]), np.array([False]), [])
    learning, checking = halves(short)
    assert {grade.query for grade in learning}.isdisjoint(grade.query for grade in checking)
    assert (len(learning), len(checking)) == (300, 300)
    more = with_grades(short, learning)
    assert (len(more.pairs), more.calibrating.sum()) == (301, 300)
    last = learning[-1]
    assert more.pairs.texts.names[more.pairs.text_places[-1]] == last.query
    assert more.pairs.photos.names[more.pairs.photo_places[-1]] == last.photo
    assert more.pairs.relevance[-1] == (last.grade - 1) / 3
    assert more.pairs.weight[-1] == more.match_weight[-1] == 2.0 * GRADE_WEIGHT
    other = replace(short, pairs=replace(pairs, photos=Vectors(["mine/a.jpg"], rows)))
    assert halves(other) == ([], [])


@pytest.mark.parametrize("line", ["dog|set|a.jpg", "dog|set|a.jpg|5", "dog|set|a.jpg|good", "dog set a.jpg 4"])
def test_a_bad_line_of_grades_is_named(tmp_path, line):
    table = tmp_path / "grades.tsv"
    table.write_text("\n".join(["# by eye", "dog|set|a.jpg|4", line]).replace("|", "\t"))
    with pytest.raises(DataError, match=r"grades.tsv:3: .* a grade from 1 to 4"):
        read_grades(table)


def test_nothing_to_measure_is_said():
    with pytest.raises(DataError, match="no short query is said of 5 photos"):
        score_short(Sayings([], [], [], {}, {}), {}, [], lambda _: np.zeros(0, np.float32))
