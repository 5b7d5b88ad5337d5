"""Fit the head with torch: less than a minute of one core for 36,000 texts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from index_store.encoders.languages.head import Head

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class HeadFit:
    """How the head is fitted: AdamW with a one-cycle learning rate, 1 - cosine to the shipped tower's embedding."""

    hidden: int = 768
    dropout: float = 0.1
    noise: float = 0.0
    epochs: int = 12
    batch: int = 512
    rate: float = 2e-3
    decay: float = 0.01


class _Network(nn.Module):
    def __init__(self, inputs: int, fit: HeadFit, outputs: int) -> None:
        super().__init__()
        self.hidden, self.out = nn.Linear(inputs, fit.hidden), nn.Linear(fit.hidden, outputs)
        self.linear = nn.Linear(inputs, outputs, bias=False)
        self.dropout = nn.Dropout(fit.dropout)

    def forward(self, rows: Tensor) -> Tensor:
        found: Tensor = self.out(self.dropout(self.hidden(rows).relu())) + self.linear(rows)
        return nn.functional.normalize(found, dim=1)


def fit_head(rows: Floats, targets: Floats, fit: HeadFit, seed: int) -> Head:
    """Return the head that turns the tower's rows (n, 512) into the embeddings `targets` (n, dimension), unit rows.

    The same seed gives the same head.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = _fitted(torch.from_numpy(rows), torch.from_numpy(targets), fit)
    finally:
        torch.set_num_threads(threads)
    arrays = {name: each.detach().numpy().T.copy() for name, each in network.named_parameters()}
    return Head(
        arrays["hidden.weight"],
        arrays["hidden.bias"],
        arrays["out.weight"],
        arrays["out.bias"],
        arrays["linear.weight"],
    )


def _fitted(rows: Tensor, targets: Tensor, fit: HeadFit) -> _Network:
    network = _Network(rows.shape[1], fit, targets.shape[1])
    optimizer = torch.optim.AdamW(network.parameters(), lr=fit.rate, weight_decay=fit.decay)
    steps = fit.epochs * -(-len(rows) // fit.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, fit.rate, total_steps=steps + 1, cycle_momentum=False)
    for _ in range(fit.epochs):
        for batch in torch.split(torch.randperm(len(rows)), fit.batch):
            inputs = rows[batch]
            if fit.noise:
                inputs = nn.functional.normalize(inputs + fit.noise * torch.randn_like(inputs) / rows.shape[1] ** 0.5)
            loss = (1 - (network(inputs) * targets[batch]).sum(1)).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return network
