"""Train the text tower alone, the photo tower as it is: from a teacher too large to ship, and by a little contrast.

The embeddings of photos stay what they are, so that a store that was made with the encoder stays valid.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from index_store.training.encoder.bases import BERT_MASK, BERT_SPECIAL
from index_store.training.encoder.model import DualModel, TextTower
from index_store.training.encoder.photo_views import Tokens
from index_store.training.encoder.steps import MAX_SCALE, contrastive_loss, drop_words, pool_texts, take_step
from index_store.training.encoder.teachers import PhotoTexts, TeacherTraining
from index_store.training.encoder.validation import Recall, pool_all_texts, recall_at

_WORD = re.compile(r"[^\W_]+(?:['-][^\W_]+)*")
_LOOSE_ENDS = frozenset(
    "a an the of in on at to with and or is are by for from into near next up while as its".split()  # noqa: SIM905
)
"""Words that a short query neither begins nor ends with."""


@dataclass(frozen=True, slots=True)
class TextTraining:
    """The configuration of training the text tower alone.

    `pieces` texts of one to five words are added to a batch of `batch` captions: nobody says which photo they belong
    to, so the teacher alone does. `contrast` weighs the contrastive loss against the teacher's; without a teacher it is
    all that there is.
    """

    seed: int = 0
    validation_share: float = 0.05
    epochs: int = 8
    batch: int = 320
    pieces: int = 160
    contrast: float = 0.2
    nearness: float = 10.0
    word_dropout: float = 0.05
    label_smoothing: float = 0.0
    averaged_epochs: float = 1.0
    rate_trunk: float = 5e-5
    rate_heads: float = 2e-4
    train_tokens: int = 32
    most_captions: int = 5
    teacher: TeacherTraining = field(default_factory=TeacherTraining)


@dataclass(frozen=True, slots=True)
class Lessons:
    """What a teacher makes of the texts and of pieces of them: unit rows; `pieces` are the tokens of the latter."""

    text_rows: Tensor
    pieces: Tokens
    piece_rows: Tensor


@dataclass(frozen=True, slots=True)
class TaughtTexts:
    """What the text tower learns from: photos with texts, and what a teacher makes of these, if there is one."""

    data: PhotoTexts
    texts: Tokens
    lessons: Lessons | None = None
    mask_token: int = BERT_MASK
    special_tokens: Sequence[int] = BERT_SPECIAL


def pieces_of(captions: Sequence[str], seed: int) -> list[str]:
    """Return pieces of one to five words, one of each caption that has one, each once."""
    found: dict[str, None] = {}
    for caption in captions:
        words = _WORD.findall(caption)
        chance = random.Random(f"{seed} {caption}")
        length = chance.randint(1, 5)
        if length >= len(words):
            continue
        start = chance.randint(0, len(words) - length)
        piece = words[start : start + length]
        while piece and piece[0].lower() in _LOOSE_ENDS:
            piece = piece[1:]
        while piece and piece[-1].lower() in _LOOSE_ENDS:
            piece = piece[:-1]
        if piece:
            found[" ".join(piece)] = None
    return list(found)


class TextLearning:
    """Train the text trunk and the text heads; it can be saved after any step, and go on, as `JointTraining`."""

    def __init__(self, model: DualModel, taught: TaughtTexts, config: TextTraining, generator: torch.Generator) -> None:
        self._model, self._taught, self._config, self._generator = model, taught, config, generator
        self._scale = nn.Parameter(torch.tensor(math.log(40.0)))
        self.steps = taught.data.steps(config.batch)
        self.done = 0
        heads = [*model.text.heads.parameters(), self._scale]
        trunk = [parameter for parameter in model.text.bert.parameters() if parameter.requires_grad]
        self._optimizer = torch.optim.AdamW(
            [
                {"params": trunk, "lr": config.rate_trunk, "weight_decay": 0.01},
                {"params": heads, "lr": config.rate_heads, "weight_decay": 0.05},
            ]
        )
        self._schedule = torch.optim.lr_scheduler.OneCycleLR(
            self._optimizer,
            [config.rate_trunk, config.rate_heads],
            total_steps=config.epochs * self.steps,
            pct_start=0.1,
        )
        decay = max(0.0, 1 - 1 / max(1.0, config.averaged_epochs * self.steps))
        update = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
        self._average = AveragedModel(model.text, multi_avg_fn=update)
        self._batches = taught.data.batches(config.batch, generator)

    @property
    def averaged(self) -> DualModel:
        """The photo tower, and the text tower's averaged weights, which must not be changed."""
        return DualModel(self._model.photo, cast(TextTower, self._average.module))

    def step(self) -> None:
        """Learn from one batch of photos with a text each, and from pieces."""
        taught, config, generator = self._taught, self._config, self._generator
        self._model.text.train()
        rows = self._batches.draw()
        texts, owner, ignored = taught.data.draw(rows, 1, generator)
        photos = taught.data.photos[rows]
        unit = self._unit(taught.texts.rows(texts))
        factor = self._scale.exp().clamp(max=MAX_SCALE)
        loss = contrastive_loss(photos, unit, owner, factor, config.label_smoothing, ignored)
        if lessons := taught.lessons:
            pieces = torch.randperm(len(lessons.piece_rows), generator=generator)[: config.pieces]
            unit = torch.cat([unit, self._unit(lessons.pieces.rows(pieces))])
            wanted = torch.cat([lessons.text_rows[texts], lessons.piece_rows[pieces]])
            loss = teaching_loss(unit, wanted, photos, config.nearness) + config.contrast * loss
        take_step(loss, self._optimizer, self._schedule)
        self._average.update_parameters(self._model.text)
        self.done += 1

    def _unit(self, words: Tokens) -> Tensor:
        taught, config = self._taught, self._config
        words = drop_words(words, config.word_dropout, self._generator, taught.mask_token, taught.special_tokens)
        unit: Tensor = self._model.text.heads(pool_texts(self._model, words))
        return unit

    def state(self) -> dict[str, Any]:
        """Return all that the next step hangs on, random numbers too."""
        return {
            "done": self.done,
            "tower": self._model.text.state_dict(),
            "average": self._average.state_dict(),
            "scale": self._scale.detach(),
            "optimizer": self._optimizer.state_dict(),
            "schedule": self._schedule.state_dict(),
            "batches": self._batches.state(),
            "generator": self._generator.get_state(),
            "dropout": torch.get_rng_state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave."""
        self.done = state["done"]
        self._model.text.load_state_dict(state["tower"])
        self._average.load_state_dict(state["average"])
        with torch.no_grad():
            self._scale.copy_(state["scale"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._schedule.load_state_dict(state["schedule"])
        self._batches.restore(state["batches"])
        self._generator.set_state(state["generator"])
        torch.set_rng_state(state["dropout"])


def teaching_loss(unit: Tensor, wanted: Tensor, photos: Tensor, nearness: float, scale: float = 40.0) -> Tensor:
    """Return how far texts are from the teacher's rows, and their ranking of the photos from the teacher's."""
    ranked = functional.log_softmax(scale * unit @ photos.T, dim=1)
    target = functional.softmax(scale * wanted @ photos.T, dim=1)
    return functional.kl_div(ranked, target, reduction="batchmean") + nearness * (1 - (unit * wanted).sum(dim=1)).mean()


@dataclass(frozen=True, slots=True)
class TextGallery:
    """Held-out photos, as their embeddings, and the tokens of all their captions."""

    photos: Tensor
    captions: Tokens
    owner: Tensor
    data: str = ""

    @torch.no_grad()
    def recall(self, model: DualModel, epoch: int) -> Recall:
        """Measure the text tower as it is."""
        model.text.eval()
        texts = model.text.heads(pool_all_texts(model, self.captions))
        return Recall(epoch, len(self.photos), *recall_at(texts, self.photos, self.owner), self.data)
