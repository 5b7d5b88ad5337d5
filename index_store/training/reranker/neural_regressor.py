"""The notebooks' network: one hidden layer over joined vectors, trained in PyTorch; only the study uses it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from numpy.typing import NDArray

HIDDEN_UNITS = 128
DROPOUT = 0.4
LEARNING_RATE = 0.001
EPOCHS = 15
BATCH = 128


@dataclass(frozen=True, slots=True)
class HiddenLayer:
    """A trained network, in evaluation mode, over features that are standardised first."""

    network: nn.Sequential
    mean: NDArray[np.float32]
    scale: NDArray[np.float32]

    def predict(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the output unit for each row, shape (n, f) -> (n,)."""
        with torch.inference_mode():
            rows = torch.from_numpy(((features - self.mean) / self.scale).astype(np.float32))
            return np.asarray(self.network(rows)[:, 0].numpy(), dtype=np.float32)


def fit_hidden_layer(
    features: NDArray[np.float32],
    relevance: NDArray[np.float64],
    weight: NDArray[np.float64],
    seed: int,
    epochs: int = EPOCHS,
) -> HiddenLayer:
    """Fit linear, ReLU, dropout 0.4, linear with Adam at 0.001 and the squared error, as the notebooks do.

    `features` has shape (n, f), the others (n,). The same seed gives the same weights.
    """
    mean, scale = features.mean(axis=0), np.maximum(features.std(axis=0), np.float32(1e-6))
    rows = torch.from_numpy(((features - mean) / scale).astype(np.float32))
    targets = torch.from_numpy(np.column_stack([relevance, weight]).astype(np.float32))  # (n, 2)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # batches are small: threads would wait for one another
    try:
        network = _trained(rows, targets, seed, epochs)
    finally:
        torch.set_num_threads(threads)
    return HiddenLayer(network, mean, scale)


def _trained(rows: Tensor, targets: Tensor, seed: int, epochs: int) -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        hidden, output = nn.Linear(rows.shape[1], HIDDEN_UNITS), nn.Linear(HIDDEN_UNITS, 1)
        network = nn.Sequential(hidden, nn.ReLU(), nn.Dropout(DROPOUT), output)
        optimiser = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE)
        for _ in range(epochs):
            for batch in torch.split(torch.randperm(len(rows)), BATCH):
                wanted, weight = targets[batch].unbind(dim=1)
                loss = (weight * (network(rows[batch])[:, 0] - wanted) ** 2).sum() / weight.sum()
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
    return network.eval()
