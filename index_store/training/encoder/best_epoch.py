"""Which of the weights that training passes through are kept: the best by held-out recall, blended with the start."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from index_store.encoders.cards import CARD_FILE, read_card
from index_store.errors import EncoderError
from index_store.training.encoder.model import DualModel
from index_store.training.encoder.validation import Gallery, Recall, exported_recalls, mean_total

State = Mapping[str, Tensor]


class Measured(Protocol):
    """Held-out photos that a model can be measured on."""

    def recall(self, model: DualModel, epoch: int) -> Recall:
        """Measure the model as it is."""
        ...


class Keeper:
    """Look at the model after each epoch and keep the best; without held-out photos the last one.

    `kept_share` of the starting weights is blended into what an epoch offers (WiSE-FT, Wortsman et al. 2022): the
    mean of a model and its fine-tuned self knows the new photos nearly as well, and forgets little of the old ones.
    """

    def __init__(self, model: DualModel, held: Sequence[Measured], kept_share: float) -> None:
        self._held = held
        self._kept_share = kept_share
        self._start = _states(model) if kept_share else None
        self._best: tuple[State, State] | None = None
        self._best_points: list[Recall] = []
        self.curve: list[Recall] = []

    def measure_start(self, model: DualModel) -> None:
        """Put the model that training starts from into the curve, as epoch 0."""
        self._best_points = [held.recall(model, 0) for held in self._held]
        self.curve += self._best_points

    def offer(self, model: DualModel, epoch: int) -> str:
        """Consider the weights of an epoch; return a line for people who watch."""
        if self._start:
            model = copy.deepcopy(model)
            _load(model, _blended(self._start, _states(model), self._kept_share))
        if not self._held:
            self._best = _states(model)
            return f"epoch {epoch}"
        points = [held.recall(model, epoch) for held in self._held]
        self.curve += points
        if not self._best_points or mean_total(points) > mean_total(self._best_points):
            self._best, self._best_points = _states(model), points
        found = "; ".join(
            f"R@1 {point.at_1:.3f}, R@10 {point.at_10:.3f} of {point.gallery} held-out photos {point.data}".rstrip()
            for point in points
        )
        return f"epoch {epoch}: {found}"

    @property
    def best_epoch(self) -> int:
        """The epoch whose weights are kept; 0 is the start."""
        return self._best_points[0].epoch if self._best_points else len(self.curve)

    def put_best_into(self, model: DualModel) -> None:
        """Load the weights that were kept.

        Raises:
            EncoderError: no epoch was better than the start.
        """
        if self._best is None:
            first = self.curve[0]
            raise EncoderError(
                f"no epoch finds more of the {first.gallery} held-out photos than the encoder that training "
                f"started from (R@1 {first.at_1:.3f}): nothing was written; add photos or captions"
            )
        _load(model, self._best)

    def state(self) -> dict[str, Any]:
        """Return what was measured and kept, for a checkpoint."""
        return {
            "curve": [asdict(point) for point in self.curve],
            "best": self._best,
            "best_points": [asdict(point) for point in self._best_points],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave."""
        self.curve = [Recall(**point) for point in state["curve"]]
        self._best = state["best"]
        self._best_points = [Recall(**point) for point in state["best_points"]]


def better_ones_at(output: Path, galleries: Sequence[Gallery], new: Sequence[Recall]) -> list[Recall]:
    """Return the recalls of the encoder that lies in `output` already, if it is one and beats the new one."""
    if not galleries or not (output / CARD_FILE).exists():
        return []
    side = read_card(output).photo_input.side
    old = exported_recalls(output, galleries, side, epoch=0)
    return old if mean_total(old) > mean_total(new) else []


def _states(model: DualModel) -> tuple[State, State]:
    return copy.deepcopy(model.photo.state_dict()), copy.deepcopy(model.text.state_dict())


def _load(model: DualModel, states: tuple[State, State]) -> None:
    model.photo.load_state_dict(states[0])
    model.text.load_state_dict(states[1])


def _blended(start: tuple[State, State], end: tuple[State, State], share: float) -> tuple[State, State]:
    photo, text = (
        {
            name: share * first[name] + (1 - share) * last[name] if last[name].is_floating_point() else last[name]
            for name in last
        }
        for first, last in zip(start, end, strict=True)
    )
    return photo, text
