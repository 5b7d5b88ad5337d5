"""Turn feature rows into raw scores by arrays alone: what regressors become once they are trained; numpy only."""

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
    """Anything that scores feature rows, shape (n, features) -> (n,), and is made of arrays."""

    kind: ClassVar[str]

    def predict(self, features: Array) -> Array:
        """Return the raw score of each row; not yet calibrated, and not bound to [0, 1]."""
        ...


@dataclass(frozen=True, slots=True)
class Constant:
    """Answers the same to everything: the baseline. `value` has shape ()."""

    kind: ClassVar[str] = "constant"
    value: Array

    def predict(self, features: Array) -> Array:
        """Return the constant for each row."""
        return np.full(len(features), self.value, dtype=np.float32)


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
class Kernel:
    """A support vector regressor with the radial kernel exp(-gamma |x - v|^2) over standardised features."""

    kind: ClassVar[str] = "kernel"
    mean: Array
    scale: Array
    vectors: Array
    weights: Array
    gamma: Array
    intercept: Array

    def predict(self, features: Array) -> Array:
        """Return the intercept and the weighted kernels to the support vectors."""
        rows = (features - self.mean) / self.scale
        squares = (rows**2).sum(axis=1)[:, None] + (self.vectors**2).sum(axis=1) - 2.0 * rows @ self.vectors.T
        return np.asarray(np.exp(-self.gamma * squares) @ self.weights + self.intercept)


@dataclass(frozen=True, slots=True)
class Trees:
    """Regression trees whose leaves are added up. All arrays but `base` have shape (trees, nodes).

    A row goes to `left` where its `feature` is at most `threshold`; a leaf points to itself. `depth` is the longest.
    """

    kind: ClassVar[str] = "trees"
    feature: NDArray[np.int32]
    threshold: Array
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    value: Array
    base: Array
    depth: NDArray[np.int32]

    def predict(self, features: Array) -> Array:
        """Walk all trees at once, one level a step."""
        trees = np.arange(len(self.feature))[None, :]  # (1, trees)
        rows = np.arange(len(features))[:, None]  # (n, 1)
        nodes = np.zeros((len(features), len(self.feature)), dtype=np.int32)
        for _ in range(int(self.depth)):
            goes_left = features[rows, self.feature[trees, nodes]] <= self.threshold[trees, nodes]
            nodes = np.where(goes_left, self.left[trees, nodes], self.right[trees, nodes])
        return np.asarray(self.base + self.value[trees, nodes].sum(axis=1))


@dataclass(frozen=True, slots=True)
class Network:
    """One hidden layer of rectified units over standardised features."""

    kind: ClassVar[str] = "network"
    mean: Array
    scale: Array
    hidden_weights: Array
    hidden_bias: Array
    output_weights: Array
    output_bias: Array

    def predict(self, features: Array) -> Array:
        """Return the output unit."""
        rows = (features - self.mean) / self.scale
        hidden = np.maximum(rows @ self.hidden_weights + self.hidden_bias, 0.0)
        return np.asarray(hidden @ self.output_weights + self.output_bias)


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


_KINDS = {model.kind: model for model in (Constant, Linear, Quadratic, Kernel, Trees, Network, Curve)}


def predictor_arrays(predictor: Predictor) -> dict[str, NDArray[np.generic]]:
    """Return the arrays of a predictor by name, to be saved."""
    return {field.name: np.asarray(getattr(predictor, field.name)) for field in fields(predictor)}  # type: ignore[arg-type]


def predictor_from_arrays(kind: str, arrays: Mapping[str, NDArray[np.generic]]) -> Predictor:
    """Return the predictor that `predictor_arrays` took apart; raise `WeightsError` where it is none."""
    if kind not in _KINDS:
        raise WeightsError(f"no predictor is called {kind!r}; there are {', '.join(sorted(_KINDS))}")
    model = _KINDS[kind]
    try:
        return model(**{field.name: arrays[field.name] for field in fields(model)})  # type: ignore[arg-type]
    except KeyError as error:
        raise WeightsError(f"the predictor {kind!r} lacks its array {error}") from error
