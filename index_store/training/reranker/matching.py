"""Learn the joining `matching`: reference banks, and a bilinear match of what the cosine does not say.

The match is a ridge regression on all products of a text's and a photo's components (and on both alone, as biases),
fitted to the judgements minus what the cosine already predicts. The products are never written out: photos and texts
repeat, so conjugate gradients work on the two small matrices and the sparse table of pairs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from index_store.errors import MissingExtraError
from index_store.reranker.features import matching
from index_store.training.data.pairs import Pairs
from index_store.training.data.splits import folds_by_photo

try:
    from scipy.sparse import csr_matrix
    from sklearn.isotonic import IsotonicRegression
except ImportError as error:  # pragma: no cover - the plain installation has both through sentence-transformers
    raise MissingExtraError("training needs scikit-learn: pip install 'imgsearch-cli[train]'") from error

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Rows = NDArray[np.float32]
    Vector = NDArray[np.float64]


_CHUNK = 20_000


@dataclass(frozen=True, slots=True)
class MatchingOptions:
    """How the bilinear match is learned; chosen on photo-group validation, see docs/relevance.md.

    `penalty` holds the weights near zero; `scale` multiplies the centred vectors, and so says what a weight costs
    relative to a bias; `crowd_weight` is the weight of a pair of the crowd, relative to one of the experts; `folds` is
    how often the match is fitted again so that the regressor sees it on photos that it was not fitted on.
    """

    penalty: float = 1_000.0
    scale: float = 3.0
    crowd_weight: float = 0.03
    steps: int = 30
    folds: int = 5
    bank_size: int = 1_000


def draw_bank(rows: Rows, size: int, seed: int) -> Rows:
    """Return at most `size` of the rows, drawn without replacement."""
    if len(rows) <= size:
        return rows
    return rows[np.sort(np.random.default_rng(seed).choice(len(rows), size, replace=False))]


def fit_matching(
    pairs: Pairs, crowd: Pairs | None, banks: tuple[Rows, Rows], options: MatchingOptions
) -> dict[str, Rows]:
    """Return the arrays that the joining `matching` needs.

    `crowd` are pairs that only the crowd judged, of photos that may be learned from; `banks` are reference photos and
    reference captions. Texts and photos of both pair tables must be the same `Vectors`.
    """
    text_mean = pairs.texts.rows[np.unique(pairs.text_places)].mean(axis=0)
    photo_mean = pairs.photos.rows[np.unique(pairs.photo_places)].mean(axis=0)
    photo_rows = _with_bias(pairs.photos.rows - photo_mean, options.scale)
    text_rows = _with_bias(pairs.texts.rows - text_mean, options.scale)
    tables = [pairs] if crowd is None or not len(crowd) else [pairs, crowd]
    factors = [1.0, options.crowd_weight]
    solution = bilinear_ridge(
        photo_rows,
        text_rows,
        np.concatenate([table.photo_places for table in tables]),
        np.concatenate([table.text_places for table in tables]),
        np.concatenate([_beyond_cosine(table) for table in tables]),
        np.concatenate([factor * table.weight for factor, table in zip(factors, tables, strict=False)]),
        options.penalty,
        options.steps,
    )
    scales = np.append(np.full(len(text_mean), options.scale, np.float32), np.float32(1.0))
    return {
        "weights": (solution * scales[:, None] * scales[None, :]).astype(np.float32),
        "text_mean": text_mean,
        "photo_mean": photo_mean,
        "photo_bank": banks[0],
        "caption_bank": banks[1],
    }


def matching_features(
    pairs: Pairs, crowd: Pairs | None, banks: tuple[Rows, Rows], options: MatchingOptions, seed: int
) -> Rows:
    """Return the features of training pairs, the learned columns from matches fitted on the other photos.

    A match scores the pairs that it was fitted on too well; a regressor trained on that would trust it too much.
    """
    folds = folds_by_photo(pairs.images, options.folds, seed)
    parts = []
    for fold in folds:
        seen = frozenset(pairs.photo_places[fold.train].tolist())
        rest = None if crowd is None else crowd.take(np.flatnonzero(np.isin(crowd.photo_places, list(seen))))
        arrays = fit_matching(pairs.take(fold.train), rest, banks, options)
        held_out = pairs.take(fold.valid)
        parts.append(matching(held_out.text_rows, held_out.photo_rows, arrays))
    features = np.empty((len(pairs), parts[0].shape[1]), dtype=np.float32)
    for fold, part in zip(folds, parts, strict=True):
        features[fold.valid] = part
    return features


def bilinear_ridge(
    photos: Rows,
    texts: Rows,
    photo_places: NDArray[np.int64],
    text_places: NDArray[np.int64],
    wanted: Vector,
    weight: Vector,
    penalty: float,
    steps: int,
) -> Rows:
    """Return W, shape (photo features, text features), that minimises sum w (wanted - p'Wt)^2 + penalty |W|^2.

    Conjugate gradients from W = 0; each step costs two products of the small matrices and one look at every pair.
    """

    def spread(values: Vector) -> Rows:
        table = csr_matrix((values.astype(np.float32), (photo_places, text_places)), shape=(len(photos), len(texts)))
        return np.asarray(photos.T @ (table @ texts), dtype=np.float32)

    def normal(weights: Rows) -> Rows:
        predicted = _products(photos @ weights, texts, photo_places, text_places)
        return spread(weight * predicted) + penalty * weights

    solution = np.zeros((photos.shape[1], texts.shape[1]), dtype=np.float32)
    residual = spread(weight * wanted)
    direction, square = residual.copy(), float((residual**2).sum())
    for _ in range(steps):
        if square < 1e-12:
            break
        image = normal(direction)
        rate = square / float((direction * image).sum())
        solution += rate * direction
        residual -= rate * image
        square, before = float((residual**2).sum()), square
        direction = residual + (square / before) * direction
    return solution


def _products(
    photos: Rows, texts: Rows, photo_places: NDArray[np.int64], text_places: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Return the inner product of each pair of rows; the rows are gathered a part at a time, as pairs can be many."""
    found = np.empty(len(photo_places), np.float32)
    for start in range(0, len(found), _CHUNK):
        part = slice(start, start + _CHUNK)
        found[part] = np.einsum("ij,ij->i", photos[photo_places[part]], texts[text_places[part]])
    return found


def _beyond_cosine(pairs: Pairs) -> Vector:
    """Return what the cosine, through isotonic regression, leaves unexplained of the relevance."""
    cosines = _products(pairs.photos.rows, pairs.texts.rows, pairs.photo_places, pairs.text_places)
    curve = IsotonicRegression(out_of_bounds="clip").fit(cosines, pairs.relevance, sample_weight=pairs.weight)
    return np.asarray(pairs.relevance - curve.predict(cosines))


def _with_bias(rows: Rows, scale: float) -> Rows:
    return np.hstack([rows * scale, np.ones((len(rows), 1), np.float32)]).astype(np.float32)
