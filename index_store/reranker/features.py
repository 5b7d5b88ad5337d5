"""Join the embedding of a text and the embeddings of photos into the features that regressors see; numpy only.

A joining that has to be learned keeps what it learned in named arrays, which travel with the weights:
`learning.py` makes them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Rows = NDArray[np.float32]
    """Shape (n, dimension) or (n, features)."""
    Arrays = Mapping[str, NDArray[np.float32]]

TEXT_SHARPNESS = (20.0, 60.0)
PHOTO_SHARPNESS = 20.0
"""Inverse temperatures at which nearness to a reference bank is averaged: soft, or nearly its maximum."""

HUB_SHARE = 0.5
"""How much of a photo's nearness to reference captions is taken off its cosine; chosen on held-out train photos."""

TEXT_COLUMNS = ("learned text bias", "photo nearness 20", "photo nearness 60", "photo mean", "photo spread")
MATCHING_COLUMNS = ("cosine beyond nearness", "learned match", *TEXT_COLUMNS)
WORD_COLUMNS = ("cosine beyond words 20", "cosine beyond words 60", "likeness to the photo's words")
SHORT_COLUMNS = ("cosine", "learned match", *WORD_COLUMNS, *TEXT_COLUMNS)


def normalised(rows: Rows) -> Rows:
    """Return the rows at length one; a row of zeros stays as it is."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(lengths > 0, lengths, 1.0), dtype=np.float32)


def concatenation(texts: Rows, photos: Rows, _: Arrays) -> Rows:
    """Return text and photo vectors side by side."""
    return np.hstack([texts, photos])


def normalised_concatenation(texts: Rows, photos: Rows, _: Arrays) -> Rows:
    """Return text and photo vectors at length one, side by side."""
    return np.hstack([normalised(texts), normalised(photos)])


def cosine(texts: Rows, photos: Rows, _: Arrays) -> Rows:
    """Return the cosine of each pair, shape (n, 1)."""
    return np.asarray(np.einsum("ij,ij->i", normalised(texts), normalised(photos))[:, None])


def product_and_difference(texts: Rows, photos: Rows, _: Arrays) -> Rows:
    """Return the products and the absolute differences of the components."""
    first, second = normalised(texts), normalised(photos)
    return np.hstack([first * second, np.abs(first - second)])


def mapped(texts: Rows, photos: Rows, arrays: Arrays) -> Rows:
    """Return cosine and distance between the photo and the text's image in the photos' space, shape (n, 2)."""
    image = np.hstack([texts, np.ones((len(texts), 1), np.float32)]) @ arrays["map"]
    distance = np.linalg.norm(normalised(image) - normalised(photos), axis=1)
    return np.column_stack([cosine(image, photos, {}), distance]).astype(np.float32)


def matching(texts: Rows, photos: Rows, arrays: Arrays) -> Rows:
    """Return what the shipped reranker looks at, columns `MATCHING_COLUMNS`; both inputs are unit rows of one space.

    - The cosine less half of the photo's nearness to reference captions: a photo that is near to every text says less
      by being near to this one (hubs; compare the inverted softmax of Smith et al. 2017 and QB-Norm 2022).
    - The learned bilinear match: a matrix fitted to what people judged and the cosine does not say.
    - How the text lies to reference photos, and its learned bias: whether its cosines run high or low as a rule. These
      are the same for all photos of a query, so they move its level and leave its order alone.
    """
    texts, text_places = np.unique(texts, axis=0, return_inverse=True)
    photos, photo_places = np.unique(photos, axis=0, return_inverse=True)
    text_places, photo_places = text_places.ravel(), photo_places.ravel()
    cosines = np.einsum("ij,ij->i", texts[text_places], photos[photo_places])
    to_photos = _towards_photos(texts, arrays)[text_places]
    match = np.einsum("ij,ij->i", to_photos, photos[photo_places] - arrays["photo_mean"])
    return _columns(cosines, match, _nearness(photos, arrays)[photo_places], _text_columns(texts, arrays)[text_places])


def one_text_matching(text: NDArray[np.float32], photos: Rows, arrays: Arrays) -> Rows:
    """Return the same as `matching` for one text, shape (dimension,), and many photos, in a fraction of the time."""
    match = (photos - arrays["photo_mean"]) @ _towards_photos(text[None], arrays)[0]
    of_text = np.repeat(_text_columns(text[None], arrays), len(photos), axis=0)
    return _columns(photos @ text, match, _nearness(photos, arrays), of_text)


def short_matching(texts: Rows, photos: Rows, arrays: Arrays, words: PhotoWords | None = None) -> Rows:
    """Return what the model for short queries looks at, columns `SHORT_COLUMNS`; both inputs are unit rows.

    Pairs of rows, or one text, shape (1, dimension), with many photos. In place of captions there is a bank of words,
    for a photo that is much nearer to other words shows something else ("frog", asked of an elephant), unless these
    mean nearly the same. The bank of photos is another one, with photos of several kinds. Without a bank of words
    `WORD_COLUMNS` are left out. `words` are those of the photos, where they are known already.
    """
    texts = without_wording(texts, arrays["wording"])
    cosines = _products(photos, texts)
    columns = [cosines, _products(photos - arrays["photo_mean"], _towards_photos(texts, arrays))]
    bank = arrays.get("word_bank")
    if bank is not None and len(bank):
        words = words or words_of(photos, bank)
        columns += [cosines[:, None] - words.nearness, _products(words.shares, texts @ bank.T)]
    columns.append(np.broadcast_to(_text_columns(texts, arrays), (len(photos), len(TEXT_COLUMNS))))
    return np.column_stack(columns).astype(np.float32)


class PhotoWords(NamedTuple):
    """How words lie to photos: soft maxima, shape (n, 2), and the shares of a photo's own words, shape (n, words)."""

    nearness: Rows
    shares: Rows

    def take(self, places: NDArray[np.int64]) -> PhotoWords:
        """Return those of some of the photos."""
        return PhotoWords(self.nearness[places], self.shares[places])


def words_of(photos: Rows, bank: Rows) -> PhotoWords:
    """Return how near the words of a bank are to each photo: at sharpness 20 and 60, shares at 30."""
    similarities = photos @ bank.T  # (n, n_words)
    highest = similarities.max(axis=1, keepdims=True)
    tenth = np.exp(10.0 * (similarities - highest))  # its powers are the others: one exponential is enough
    twentieth = tenth * tenth
    own = twentieth * tenth
    soft = [np.log(power.mean(axis=1)) / sharpness for power, sharpness in ((twentieth, 20.0), (own * own, 60.0))]
    return PhotoWords(np.column_stack(soft) + highest, own / own.sum(axis=1, keepdims=True))


def without_wording(texts: Rows, directions: Rows) -> Rows:
    """Return unit rows without what only tells how a thing is worded: "a dog" or "dogs"; `directions` are unit rows."""
    return normalised(np.asarray(texts - (texts @ directions.T) @ directions, dtype=np.float32))


def _products(photos: Rows, texts: Rows) -> Rows:
    """Return the inner products of pairs of rows, or of all photos with a single text."""
    return np.asarray(np.einsum("ij,ij->i", texts, photos) if len(texts) > 1 else photos @ texts[0])


def _columns(cosines: Rows, match: Rows, nearness: Rows, of_texts: Rows) -> Rows:
    return np.column_stack([cosines - HUB_SHARE * nearness, match, of_texts]).astype(np.float32)


def _towards_photos(texts: Rows, arrays: Arrays) -> Rows:
    """Return the vector that a photo is multiplied with to give the learned match, for each text."""
    return np.asarray((texts - arrays["text_mean"]) @ arrays["weights"][:-1, :-1].T)


def _nearness(photos: Rows, arrays: Arrays) -> Rows:
    """Return how near the reference captions are to each photo, shape (n,)."""
    return _soft_maximum(photos @ arrays["caption_bank"].T, PHOTO_SHARPNESS)


def _text_columns(texts: Rows, arrays: Arrays) -> Rows:
    """Return `TEXT_COLUMNS` of each text."""
    similarities = texts @ arrays["photo_bank"].T  # (n, n_reference)
    bias = (texts - arrays["text_mean"]) @ arrays["weights"][-1, :-1]
    nearness = [_soft_maximum(similarities, sharpness) for sharpness in TEXT_SHARPNESS]
    return np.column_stack([bias, *nearness, similarities.mean(axis=1), similarities.std(axis=1)])


def _soft_maximum(similarities: Rows, sharpness: float) -> Rows:
    """Return log(mean(exp(sharpness * s))) / sharpness along rows: between the mean and the maximum."""
    return np.asarray(np.log(np.exp(sharpness * similarities).mean(axis=1)) / sharpness)


JOININGS: dict[str, Callable[[Rows, Rows, Arrays], Rows]] = {
    "concatenation": concatenation,
    "normalised-concatenation": normalised_concatenation,
    "cosine": cosine,
    "product-difference": product_and_difference,
    "mapped": mapped,
    "matching": matching,
}
"""Every joining by its name: (text rows, photo rows, learned arrays) -> feature rows."""

SAME_SPACE = frozenset({"cosine", "product-difference", "matching"})
"""Joinings that mean something only where texts and photos are vectors of one length."""
