"""Fit a small network with dropout to soft labels, with torch on the CPU: a minute for 6,000 photos."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

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


def fit_network(rows: Floats, targets: Floats, fit: NetworkFit, seed: int, weights: Floats | None = None) -> Network:
    """Return a network for rows of shape (n, dimension) and targets in [0, 1] of shape (n,), which count by `weights`.

    Rows are standardized first; mean and deviation are folded into the first layer. The same seed gives the same
    network.
    """
    mean, deviation = rows.mean(0), rows.std(0) + 1e-6
    standard = torch.from_numpy(((rows - mean) / deviation).astype(np.float32))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # batches are small: threads would wait for one another
    try:
        counts = np.ones(len(rows), np.float32) if weights is None else weights.astype(np.float32)
        told = torch.from_numpy(targets.astype(np.float32)), torch.from_numpy(counts)
        hidden, output = _fitted(standard, *told, fit, seed)
    finally:
        torch.set_num_threads(threads)
    (first, bias), (out_weights, out_bias) = (
        (layer.weight.detach().numpy().T.copy(), layer.bias.detach().numpy().copy()) for layer in (hidden, output)
    )
    first = (first / deviation[:, None]).astype(np.float32)
    return Network(((first, bias - mean @ first), (out_weights, out_bias)))


def _fitted(rows: Tensor, targets: Tensor, counts: Tensor, fit: NetworkFit, seed: int) -> tuple[nn.Linear, nn.Linear]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        hidden, output = nn.Linear(rows.shape[1], fit.hidden), nn.Linear(fit.hidden, 1)
        network = nn.Sequential(nn.Dropout(fit.input_dropout), hidden, nn.ReLU(), nn.Dropout(fit.dropout), output)
        optimizer = torch.optim.AdamW(network.parameters(), lr=fit.rate, weight_decay=fit.decay)
        steps = fit.epochs * -(-len(rows) // fit.batch)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, fit.rate, total_steps=steps + 1, cycle_momentum=False)
        for _ in range(fit.epochs):
            for batch in torch.split(torch.randperm(len(rows)), fit.batch):
                loss = nn.functional.binary_cross_entropy_with_logits(
                    network(rows[batch])[:, 0], targets[batch], weight=counts[batch]
                )
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                schedule.step()
    return hidden, output
