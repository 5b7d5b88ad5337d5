"""Which of the weights that training passes through are kept: the best by held-out recall, blended with the start."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from index_store.encoders.captions import CaptionedPhoto
from index_store.encoders.cards import CARD_FILE, read_card
from index_store.errors import EncoderError
from index_store.neural.dual_data import Tokens
from index_store.neural.dual_judging import HeldOut, Recall, exported_recall
from index_store.neural.dual_model import DualModel

State = Mapping[str, Tensor]


class Keeper:
    """Look at the model after each epoch and keep the best; without held-out photos the last one.

    `kept_share` of the starting weights is blended into what an epoch offers (WiSE-FT, Wortsman et al. 2022): the
    mean of a model and its fine-tuned self knows the new photos nearly as well, and forgets little of the old ones.
    """

    def __init__(self, model: DualModel, held: HeldOut | None, kept_share: float) -> None:
        self._held = held
        self._kept_share = kept_share
        self._start = _states(model) if kept_share else None
        self._best: tuple[State, State] | None = None
        self._best_point: Recall | None = None
        self.curve: list[Recall] = []

    def measure_start(self, model: DualModel) -> None:
        """Put the model that training starts from into the curve, as epoch 0."""
        if self._held:
            self._best_point = self._held.recall(model, 0)
            self.curve.append(self._best_point)

    def offer(self, model: DualModel, epoch: int) -> str:
        """Consider the weights of an epoch; return a line for people who watch."""
        if self._start:
            model = copy.deepcopy(model)
            _load(model, _blended(self._start, _states(model), self._kept_share))
        if not self._held:
            self._best = _states(model)
            return f"epoch {epoch}"
        point = self._held.recall(model, epoch)
        self.curve.append(point)
        if self._best_point is None or point.total > self._best_point.total:
            self._best, self._best_point = _states(model), point
        return f"epoch {epoch}: R@1 {point.at_1:.3f}, R@10 {point.at_10:.3f} of {point.gallery} held-out photos"

    @property
    def best_epoch(self) -> int:
        """The epoch whose weights are kept; 0 is the start."""
        return self._best_point.epoch if self._best_point else len(self.curve)

    def put_best_into(self, model: DualModel) -> None:
        """Load the weights that were kept.

        Raises:
            EncoderError: no epoch was better than the start.
        """
        if self._best is None:
            raise EncoderError(
                f"no epoch finds more of the {self.curve[0].gallery} held-out photos than the encoder that training "
                f"started from (R@1 {self.curve[0].at_1:.3f}): nothing was written; add photos or captions"
            )
        _load(model, self._best)


def better_one_at(output: Path, photos: list[CaptionedPhoto], captions: Tokens, new: Recall) -> Recall | None:
    """Return the recall of the encoder that lies in `output` already, if it is one and beats the new one."""
    if not (output / CARD_FILE).exists():
        return None
    side = read_card(output).photo_input.side
    old = exported_recall(output, photos, captions, side, epoch=0)
    return old if old.total > new.total else None


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
