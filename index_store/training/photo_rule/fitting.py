"""Fit a small network with dropout to soft labels, in numpy: a minute for 6,000 photos, and nothing to install."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from index_store.compliance.photo_rule import Network

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class NetworkFit:
    """How a network is fitted: one hidden layer of ReLUs, AdamW with a one-cycle learning rate, cross-entropy."""

    hidden: int = 256
    input_dropout: float = 0.5
    dropout: float = 0.5
    epochs: int = 20
    batch: int = 128
    rate: float = 2e-3
    decay: float = 0.1


def fit_network(rows: Floats, targets: Floats, fit: NetworkFit, seed: int) -> Network:
    """Return a network for rows of shape (n, dimension) and targets in [0, 1] of shape (n,).

    Rows are standardized first; mean and deviation are folded into the first layer.
    """
    mean, deviation = rows.mean(0), rows.std(0) + 1e-6
    standard = ((rows - mean) / deviation).astype(np.float32)
    chance = np.random.default_rng(seed)
    values = _start(rows.shape[1], fit.hidden, chance)
    optimizer = _AdamW(values, fit.decay)
    steps = fit.epochs * -(-len(rows) // fit.batch)
    for step, chosen in enumerate(_batches(len(rows), fit, chance), start=1):
        gradients = _gradients(values, standard[chosen], targets[chosen], fit, chance)
        optimizer.step(gradients, fit.rate * _one_cycle(step / steps))
    weights = values[0] / deviation[:, None]
    return Network(((weights, values[1] - mean @ weights), (values[2], values[3])))


class _AdamW:
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019), betas 0.9 and 0.999; changes `values` in place."""

    def __init__(self, values: list[Floats], decay: float) -> None:
        self._values, self._decay, self._steps = values, decay, 0
        self._means = [np.zeros_like(value) for value in values]
        self._squares = [np.zeros_like(value) for value in values]

    def step(self, gradients: list[Floats], rate: float) -> None:
        self._steps += 1
        for value, gradient, mean, square in zip(self._values, gradients, self._means, self._squares, strict=True):
            mean[...] = 0.9 * mean + 0.1 * gradient
            square[...] = 0.999 * square + 0.001 * gradient * gradient
            unbiased = (mean / (1 - 0.9**self._steps)) / (np.sqrt(square / (1 - 0.999**self._steps)) + 1e-8)
            value[...] -= rate * (unbiased + self._decay * value)


def _start(dimension: int, hidden: int, chance: np.random.Generator) -> list[Floats]:
    shapes = [(dimension, hidden), (hidden,), (hidden, 1), (1,)]
    bounds = [dimension**-0.5, dimension**-0.5, hidden**-0.5, hidden**-0.5]
    return [
        chance.uniform(-bound, bound, shape).astype(np.float32) for shape, bound in zip(shapes, bounds, strict=True)
    ]


def _batches(count: int, fit: NetworkFit, chance: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    for _ in range(fit.epochs):
        order = chance.permutation(count)
        for start in range(0, count, fit.batch):
            yield order[start : start + fit.batch]


def _one_cycle(progress: float) -> float:
    """Rise for three tenths, then fall along a cosine to nothing."""
    rising = 0.3
    if progress < rising:
        return 0.04 + 0.96 * progress / rising
    return 0.5 * (1 + float(np.cos(np.pi * (progress - rising) / (1 - rising))))


def _gradients(
    values: list[Floats], rows: Floats, targets: Floats, fit: NetworkFit, chance: np.random.Generator
) -> list[Floats]:
    weights, bias, out_weights, out_bias = values
    rows = rows * _kept(rows.shape, fit.input_dropout, chance)
    hidden = np.maximum(rows @ weights + bias, 0)
    kept = _kept(hidden.shape, fit.dropout, chance)
    dropped = hidden * kept
    logits = (dropped @ out_weights + out_bias)[:, 0]
    error = ((1 / (1 + np.exp(-logits)) - targets) / len(rows)).astype(np.float32)[:, None]  # (batch, 1)
    back = (error @ out_weights.T) * kept * (hidden > 0)
    return [rows.T @ back, back.sum(0), dropped.T @ error, error.sum(0)]


def _kept(shape: tuple[int, ...], dropout: float, chance: np.random.Generator) -> Floats:
    """Return a mask that keeps the expected sum: 0 where dropped, 1 / (1 - dropout) elsewhere."""
    return (chance.random(shape, dtype=np.float32) >= dropout).astype(np.float32) / np.float32(1 - dropout)
