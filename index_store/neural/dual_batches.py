"""Which photos and captions stand together in a training batch."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor


def random_batches(count: int, batch: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Yield rows in random order for ever, each once before any comes again; an incomplete last batch is left out."""
    while True:
        order = torch.randperm(count, generator=generator)
        for start in range(0, max(1, count - batch + 1), batch):
            yield order[start : start + batch]


def draw_captions(
    rows: Tensor, first_caption: Tensor, number: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Pick up to `number` captions of each photo at random; return their rows and, for each, its place in `rows`."""
    captions: list[Tensor] = []
    owner: list[int] = []
    for place, row in enumerate(rows.tolist()):
        start, end = int(first_caption[row]), int(first_caption[row + 1])
        picked = start + torch.randperm(end - start, generator=generator)[:number]
        captions.append(picked)
        owner += [place] * len(picked)
    return torch.cat(captions), torch.tensor(owner)
