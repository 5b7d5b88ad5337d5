"""The notebooks' network: one hidden layer over joined vectors, trained in PyTorch, given back as plain arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from index_store.reranker.predictors import Network

if TYPE_CHECKING:
    from numpy.typing import NDArray

HIDDEN_UNITS = 128
DROPOUT = 0.4
LEARNING_RATE = 0.001
EPOCHS = 15
BATCH = 128


def fit_hidden_layer(
    features: NDArray[np.float32],
    relevance: NDArray[np.float64],
    weight: NDArray[np.float64],
    seed: int,
    epochs: int = EPOCHS,
) -> Network:
    """Fit linear, ReLU, dropout 0.4, linear with Adam at 0.001 and the squared error, as the notebooks do.

    `features` has shape (n, f), the others (n,). The same seed gives the same weights.
    """
    mean, scale = features.mean(axis=0), np.maximum(features.std(axis=0), np.float32(1e-6))
    rows = torch.from_numpy(((features - mean) / scale).astype(np.float32))
    targets = torch.from_numpy(np.column_stack([relevance, weight]).astype(np.float32))  # (n, 2)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # batches are small: threads would wait for one another
    try:
        hidden, output = _trained(rows, targets, seed, epochs)
    finally:
        torch.set_num_threads(threads)
    return Network(
        mean.astype(np.float32),
        scale.astype(np.float32),
        hidden_weights=hidden.weight.detach().numpy().T.copy(),
        hidden_bias=hidden.bias.detach().numpy().copy(),
        output_weights=output.weight.detach().numpy()[0].copy(),
        output_bias=output.bias.detach().numpy()[0].copy(),
    )


def _trained(rows: Tensor, targets: Tensor, seed: int, epochs: int) -> tuple[nn.Linear, nn.Linear]:
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
    return hidden, output
