"""Which photos and captions stand together in a training batch."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor


def shares(weights: Sequence[float], batch: int) -> list[int]:
    """Return how many photos of each set stand in a batch: by weight, at least one, their sum being `batch`."""
    exact = [batch * weight / sum(weights) for weight in weights]
    counts = [max(1, int(each)) for each in exact]
    while sum(counts) != batch:
        step = 1 if sum(counts) < batch else -1
        open_ones = [place for place, count in enumerate(counts) if count + step > 0]
        if not open_ones:
            break
        place = max(open_ones, key=lambda place: step * (exact[place] - counts[place]))
        counts[place] += step
    return counts


class MixedBatches:
    """Draw batches from sets of photos, the same number of each set in every batch.

    The photos of a set come in random order, each once before any comes again. Sets lie one after the other: the rows
    of the second begin behind those of the first. `state` and `restore` let a killed training go on.
    """

    def __init__(self, sizes: Sequence[int], weights: Sequence[float], batch: int, generator: torch.Generator) -> None:
        self._sizes = sizes
        self._counts = shares(weights, min(batch, sum(sizes)))
        self._generator = generator
        self._orders = [torch.empty(0, dtype=torch.long) for _ in sizes]

    def draw(self) -> Tensor:
        """Return the rows of the next batch."""
        rows: list[Tensor] = []
        first = 0
        for place, (size, count) in enumerate(zip(self._sizes, self._counts, strict=True)):
            while len(self._orders[place]) < count:
                fresh = torch.randperm(size, generator=self._generator)
                self._orders[place] = torch.cat([self._orders[place], fresh])
            rows.append(first + self._orders[place][:count])
            self._orders[place] = self._orders[place][count:]
            first += size
        return torch.cat(rows)

    def state(self) -> list[Tensor]:
        """Return what is still to come of each set's order."""
        return [order.clone() for order in self._orders]

    def restore(self, state: Sequence[Tensor]) -> None:
        """Go on where another one was."""
        self._orders = list(state)


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


def key_table(keys: Sequence[int], first_caption: Tensor) -> Tensor:
    """Return the keys of each photo's captions, shape (photos, most captions), filled up with -1."""
    bounds = first_caption.tolist()
    width = max(end - start for start, end in pairwise(bounds))
    table = torch.full((len(bounds) - 1, width), -1, dtype=torch.long)
    for row, (start, end) in enumerate(pairwise(bounds)):
        table[row, : end - start] = torch.tensor(keys[start:end])
    return table


def equal_captions(text_keys: Tensor, photo_keys: Tensor, owner: Tensor) -> Tensor:
    """Tell for each text and photo, shape (texts, photos), whether the photo, not the text's own, says the same.

    Such a pair is no negative one: nobody can tell which of two bakeries "a bakery" is.
    """
    same = (text_keys[:, None, None] == photo_keys[None]).any(dim=2)
    same[torch.arange(len(owner)), owner] = False
    return same
