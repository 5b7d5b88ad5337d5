from __future__ import annotations

import numpy as np
import pytest

from index_store.encoders.plain_wording import plain_wording
from index_store.encoders.registry import load_text_encoder


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("dog", "dog"),
        ("a dog", "dog"),
        ("An airplane", "airplane"),
        ("the red shirt", "red shirt"),
        ("some flowers", "flowers"),
        ("my dog!", "dog"),
        ("dog.", "dog"),
        ('"a dog"', "dog"),
        ("#dog", "dog"),
        ("dog,", "dog"),
        ("dog's bowl", "dog's bowl"),
        ("a photo of a dog", "dog"),
        ("Photos of dogs", "dogs"),
        ("show me pictures of the beach", "beach"),
        ("a picture of a man riding a horse", "a man riding a horse"),
        ("a cup on a saucer", "a cup on a saucer"),
        ("two dogs run.", "two dogs run"),
        ("A dog runs over the grass .", "A dog runs over the grass ."),
        ("a picture of a man hangs on the wall above a bed", "a picture of a man hangs on the wall above a bed"),
        ("a", "a"),
        ("the", "the"),
        ("...", "..."),
        ("", ""),
        ("a photo of", "photo of"),
        ("photo album", "photo album"),
        ("a 737", "737"),
    ],
)
def test_only_what_says_nothing_is_taken_off(text, plain):
    assert plain_wording(text) == plain
    assert plain_wording(plain) == plain


def test_wordings_of_one_query_have_one_vector():
    rows = load_text_encoder().encode_texts(["airplane", "an airplane", "a photo of an airplane", "airplane."])
    np.testing.assert_allclose(rows, np.repeat(rows[:1], 4, axis=0), atol=1e-5)
