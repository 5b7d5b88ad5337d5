from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from index_store.errors import DataError, UsageError
from index_store.training.data.splits import STUDY_SEEDS, folds_by_photo, split_by_photo, split_by_photo_and_text

pairs = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=30, max_size=60)


def names(numbers) -> list[str]:
    return [f"{number}.jpg" for number in numbers]


@settings(deadline=None)
@given(pairs, st.integers(0, 5))
def test_no_photo_is_on_both_sides_and_none_is_lost(drawn, seed):
    images = names(image for image, _ in drawn)
    if len(set(images)) < 4:
        return
    split = split_by_photo(images, seed)
    sides = [{images[place] for place in side} for side in (split.train, split.valid)]
    assert not sides[0] & sides[1]
    assert sorted([*split.train, *split.valid]) == list(range(len(images)))


@settings(deadline=None)
@given(pairs, st.integers(0, 5))
def test_the_stricter_split_shares_neither_photo_nor_text(drawn, seed):
    images, texts = names(image for image, _ in drawn), names(text for _, text in drawn)
    if len(set(images)) < 4 or len(set(texts)) < 4:
        return
    split = split_by_photo_and_text(images, texts, seed)
    for column in (images, texts):
        assert not {column[place] for place in split.train} & {column[place] for place in split.valid}


@pytest.mark.parametrize("seed", STUDY_SEEDS)
def test_three_in_ten_photos_are_held_out(seed):
    images = names(number // 3 for number in range(300))
    split = split_by_photo(images, seed)
    assert len({images[place] for place in split.valid}) == 30


def test_folds_hold_out_every_pair_once():
    images = names(number // 3 for number in range(60))
    folds = folds_by_photo(images, 5, seed=0)
    assert sorted(place for fold in folds for place in fold.valid) == list(range(60))
    for fold in folds:
        assert not {images[place] for place in fold.train} & {images[place] for place in fold.valid}


def test_what_cannot_be_split_is_refused():
    with pytest.raises(DataError, match="1 photos cannot be split"):
        split_by_photo(["a.jpg"] * 5, 0)
    with pytest.raises(UsageError, match="outside"):
        split_by_photo(["a.jpg", "b.jpg"], 0, 1.0)
