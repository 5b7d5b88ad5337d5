"""The joint training of both towers, one step at a time."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from index_store.training.encoder.config import EncoderTraining
from index_store.training.encoder.model import DualModel, PhotoTower, TextTower
from index_store.training.encoder.steps import (
    MAX_SCALE,
    TrainingData,
    contrastive_loss,
    draw,
    drop_words,
    pool_photos,
    pool_texts,
    take_step,
)


class JointTraining:
    """Train the photo trunk's tail, the text trunk and all heads; it can be saved after any step, and go on.

    `averaged` is the model that is measured and kept: an exponential average of the weights.
    """

    def __init__(
        self, model: DualModel, data: TrainingData, config: EncoderTraining, generator: torch.Generator
    ) -> None:
        _set_trunk_dropout(model, config.trunk_dropout)
        self._model, self._data, self._config, self._generator = model, data, config, generator
        self._scale = nn.Parameter(torch.tensor(math.log(20.0)))
        self.steps = data.steps(config.batch)
        self.done = 0
        self._optimizer, self._schedule = _joint_optimizer(model, self._scale, config, config.epochs * self.steps)
        self._average = _average(model, config.averaged_epochs * self.steps)
        self._batches = data.batches(config.batch, generator)

    @property
    def averaged(self) -> DualModel:
        """The averaged weights, which must not be changed."""
        return DualModel(cast(PhotoTower, self._average[0].module), cast(TextTower, self._average[1].module))

    def step(self) -> None:
        """Learn from one batch."""
        model, data, config, generator = self._model, self._data, self._config, self._generator
        model.photo.train()
        model.text.train()
        rows = self._batches.draw()
        drawn = draw(data.maps, data, rows, config.captions_per_photo, config.classes_per_batch, generator)
        photos = torch.cat([pool_photos(model, drawn.photos), drawn.pseudo_photos])
        words = data.captions.rows(drawn.captions)
        words = drop_words(words, config.word_dropout, generator, data.mask_token, data.special_tokens)
        texts = pool_texts(model, words)
        if len(drawn.class_captions):
            texts = torch.cat([texts, pool_texts(model, data.class_captions.rows(drawn.class_captions))])
        factor = self._scale.exp().clamp(max=MAX_SCALE)
        losses = [
            contrastive_loss(
                photo_head(photos), text_head(texts), drawn.owner, factor, config.label_smoothing, drawn.ignored
            )
            for photo_head, text_head in zip(model.photo.heads.heads, model.text.heads.heads, strict=True)
        ]
        take_step(torch.stack(losses).mean(), self._optimizer, self._schedule)
        for averaged, tower in zip(self._average, (model.photo, model.text), strict=True):
            averaged.update_parameters(tower)
        self.done += 1

    def state(self) -> dict[str, Any]:
        """Return all that the next step hangs on, random numbers too."""
        return {
            "done": self.done,
            "towers": [self._model.photo.state_dict(), self._model.text.state_dict()],
            "average": [average.state_dict() for average in self._average],
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
        for tower, average, weights, averaged in zip(
            (self._model.photo, self._model.text), self._average, state["towers"], state["average"], strict=True
        ):
            tower.load_state_dict(weights)
            average.load_state_dict(averaged)
        with torch.no_grad():
            self._scale.copy_(state["scale"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._schedule.load_state_dict(state["schedule"])
        self._batches.restore(state["batches"])
        self._generator.set_state(state["generator"])
        torch.set_rng_state(state["dropout"])


def _average(model: DualModel, steps: float) -> tuple[AveragedModel, AveragedModel]:
    """Keep an exponential average of the weights over about so many steps (Izmailov et al. 2018 average equally)."""
    decay = max(0.0, 1 - 1 / max(1.0, steps))
    update = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
    return AveragedModel(model.photo, multi_avg_fn=update), AveragedModel(model.text, multi_avg_fn=update)


def _set_trunk_dropout(model: DualModel, share: float) -> None:
    for module in model.text.bert.modules():
        if isinstance(module, nn.Dropout):
            module.p = share


def _joint_optimizer(
    model: DualModel, scale: nn.Parameter, config: EncoderTraining, total: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    heads = [*model.photo.heads.parameters(), *model.text.heads.parameters(), scale]
    trunk = [parameter for parameter in model.text.bert.parameters() if parameter.requires_grad]
    groups = [
        {"params": list(model.photo.tail.parameters()), "lr": config.rates.photo_tail, "weight_decay": 0.05},
        {"params": trunk, "lr": config.rates.text_trunk, "weight_decay": 0.01},
        {"params": heads, "lr": config.rates.heads, "weight_decay": 0.1},
    ]
    optimizer = torch.optim.AdamW(groups)
    highest = [float(group["lr"]) for group in optimizer.param_groups]
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, highest, total_steps=total, pct_start=0.15)
    return optimizer, schedule
