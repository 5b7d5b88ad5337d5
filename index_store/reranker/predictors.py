"""Turn feature rows into raw scores: the trained regressors that can be saved, as plain arrays; numpy only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, ClassVar, Protocol

import numpy as np

from index_store.errors import WeightsError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float32]


class Predictor(Protocol):
    """Anything that scores feature rows, shape (n, features) -> (n,)."""

    def predict(self, features: Array) -> Array:
        """Return the raw score of each row; not yet calibrated, and not bound to [0, 1]."""
        ...


class SavedPredictor(Predictor, Protocol):
    """A predictor that consists of arrays, so that weights can be written and read without the training library."""

    kind: ClassVar[str]


@dataclass(frozen=True, slots=True)
class Quadratic:
    """A polynomial of degree two over standardised features; `quadratic`, shape (f, f), is zero for a linear model."""

    kind: ClassVar[str] = "quadratic"
    mean: Array
    scale: Array
    intercept: Array
    linear: Array
    quadratic: Array

    def predict(self, features: Array) -> Array:
        """Return intercept + linear . x + x' quadratic x of the standardised rows x."""
        rows = (features - self.mean) / self.scale
        return np.asarray(self.intercept + rows @ self.linear + np.einsum("ij,ij->i", rows @ self.quadratic, rows))


@dataclass(frozen=True, slots=True)
class Linear:
    """A weighted sum of standardised features."""

    kind: ClassVar[str] = "linear"
    mean: Array
    scale: Array
    intercept: Array
    linear: Array

    def predict(self, features: Array) -> Array:
        """Return intercept + linear . x of the standardised rows x."""
        return np.asarray(self.intercept + ((features - self.mean) / self.scale) @ self.linear)


@dataclass(frozen=True, slots=True)
class Curve:
    """A piecewise linear function of the first feature; with rising `heights` it keeps every order."""

    kind: ClassVar[str] = "curve"
    knots: Array
    heights: Array

    def predict(self, features: Array) -> Array:
        """Interpolate between the knots; outside of them the end heights hold."""
        return self.at(features[:, 0])

    def at(self, values: Array) -> Array:
        """Interpolate values of shape (n,)."""
        return np.interp(values, self.knots, self.heights).astype(np.float32)


_KINDS = {model.kind: model for model in (Linear, Quadratic, Curve)}


def predictor_arrays(predictor: SavedPredictor) -> dict[str, NDArray[np.generic]]:
    """Return the arrays of a predictor by name, to be saved."""
    return {field.name: np.asarray(getattr(predictor, field.name)) for field in fields(predictor)}  # type: ignore[arg-type]


def predictor_from_arrays(kind: str, arrays: Mapping[str, NDArray[np.generic]]) -> SavedPredictor:
    """Return the predictor made of these arrays, the reverse of `predictor_arrays`.

    Raises:
        WeightsError: there is no such kind of predictor, or an array is missing.
    """
    if kind not in _KINDS:
        raise WeightsError(f"no predictor is called {kind!r}; there are {', '.join(sorted(_KINDS))}")
    model = _KINDS[kind]
    try:
        return model(**{field.name: arrays[field.name] for field in fields(model)})  # type: ignore[arg-type]
    except KeyError as error:
        raise WeightsError(f"the predictor {kind!r} lacks its array {error}") from error
