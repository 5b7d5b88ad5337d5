"""How the dual encoder learns: the contrastive loss, the warm-up of the heads, and the joint training."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from index_store.neural.bases import BERT_MASK, BERT_SPECIAL
from index_store.neural.dual_batches import MixedBatches, draw_captions, equal_captions
from index_store.neural.dual_config import EncoderTraining
from index_store.neural.dual_data import Maps, Progress, Tokens
from index_store.neural.dual_model import DualModel, Heads, PhotoTower, TextTower

_MAX_SCALE = 100.0
"""CLIP's bound on the inverse temperature (Radford et al. 2021)."""
_PHOTO_GROUP = 64


@dataclass(slots=True)
class TrainingData:
    """What the two steps learn from.

    `maps` are views of the photos, which come in sets of `sizes` photos with a weight each; photo i has rows
    `first_caption[i]` up to `first_caption[i + 1]` of `captions`. `caption_keys` are equal for captions that say the
    same, and `photo_keys` those of each photo's captions, filled up with -1.
    `pseudo_features`, shape (classes, features), are the photo base's classifier rows disguised as pooled photos, and
    `class_captions` their texts, equally many of each class, whose keys are `class_keys`. Word dropout puts
    `mask_token` in the place of any token but the `special_tokens`.
    """

    maps: Sequence[Maps]
    sizes: Sequence[int]
    weights: Sequence[float]
    captions: Tokens
    first_caption: Tensor
    caption_keys: Tensor
    photo_keys: Tensor
    pseudo_features: Tensor
    class_captions: Tokens
    class_keys: Tensor
    mask_token: int = BERT_MASK
    special_tokens: Sequence[int] = BERT_SPECIAL

    def steps(self, batch: int) -> int:
        """Return how many batches make a pass over as many photos as there are."""
        return max(1, sum(self.sizes) // batch)

    def batches(self, batch: int, generator: torch.Generator) -> MixedBatches:
        """Return what draws batches of these photos."""
        return MixedBatches(self.sizes, self.weights, batch, generator)


@dataclass(frozen=True, slots=True)
class StillFeatures:
    """Pooled features as the trunks give them before they learn: views of the photos, captions, class captions."""

    photos: Sequence[Tensor]
    captions: Tensor
    class_captions: Tensor


def pseudo_features(classifier: Tensor, pooled: Tensor, bounds: tuple[float, float] = (0.0, 6.0)) -> Tensor:
    """Disguise classifier rows as pooled photo features: the same mean and spread in each feature, within `bounds`.

    A classifier row points to where photos of its class lie, so "a photo of a <class>" can be learnt for a thousand
    classes without a photo of them: recall on photos of other domains gains, at home it neither gains nor loses.
    """
    if not len(classifier):
        return pooled[:0]
    standard = (classifier - classifier.mean(dim=0)) / classifier.std(dim=0)
    return (pooled.mean(dim=0) + pooled.std(dim=0) * standard).clamp(*bounds)


def contrastive_loss(
    photos: Tensor, texts: Tensor, owner: Tensor, scale: Tensor, smoothing: float, ignored: Tensor | None = None
) -> Tensor:
    """Return InfoNCE both ways for unit rows; text i belongs to photo `owner[i]`, and a photo may own several texts.

    `ignored`, shape (texts, photos), marks pairs that are neither positive nor negative.
    """
    logits = scale * texts @ photos.T
    own = functional.one_hot(owner, len(photos)).float()
    ignored = torch.zeros_like(own, dtype=torch.bool) if ignored is None else ignored
    to_photo = _cross_entropy(logits, own, ignored, smoothing)
    to_text = _cross_entropy(logits.T, own.T, ignored.T, smoothing)
    return to_photo + to_text


def _cross_entropy(logits: Tensor, own: Tensor, ignored: Tensor, smoothing: float) -> Tensor:
    """Return the mean cross entropy over rows that have something of their own; ignored places do not exist."""
    likely = functional.log_softmax(logits.masked_fill(ignored, -torch.inf), dim=1).masked_fill(ignored, 0.0)
    allowed = (~ignored).float()
    targets = (1 - smoothing) * own / own.sum(dim=1, keepdim=True) + smoothing * allowed / allowed.sum(
        dim=1, keepdim=True
    )
    return -(targets * likely).sum(dim=1).mean()


def warm_up(
    heads: tuple[Heads, Heads],
    still: StillFeatures,
    data: TrainingData,
    config: EncoderTraining,
    generator: torch.Generator,
    progress: Progress,
) -> None:
    """Train each pair of heads on features that stand still."""
    for number, (photo_head, text_head) in enumerate(zip(heads[0].heads, heads[1].heads, strict=True)):
        scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))
        parameters = [*photo_head.parameters(), *text_head.parameters(), scale]
        steps = config.warmup_epochs * data.steps(config.warmup_batch)
        optimizer = torch.optim.AdamW(parameters, lr=config.warmup_rate, weight_decay=0.1)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, config.warmup_rate, total_steps=steps, pct_start=0.2)
        photo_head.train()
        text_head.train()
        batches = data.batches(config.warmup_batch, generator)
        for step in range(steps):
            drawn = draw(still.photos, data, batches.draw(), 1, config.classes_per_batch, generator)
            features = torch.cat([drawn.photos, drawn.pseudo_photos])
            words = torch.cat([still.captions[drawn.captions], still.class_captions[drawn.class_captions]])
            factor = scale.exp().clamp(max=_MAX_SCALE)
            loss = contrastive_loss(
                photo_head(features), text_head(words), drawn.owner, factor, config.label_smoothing, drawn.ignored
            )
            _take_step(loss, optimizer, schedule)
            progress(number * steps + step + 1, len(heads[0].heads) * steps, "steps of warming up the heads")


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
        factor = self._scale.exp().clamp(max=_MAX_SCALE)
        losses = [
            contrastive_loss(
                photo_head(photos), text_head(texts), drawn.owner, factor, config.label_smoothing, drawn.ignored
            )
            for photo_head, text_head in zip(model.photo.heads.heads, model.text.heads.heads, strict=True)
        ]
        _take_step(torch.stack(losses).mean(), self._optimizer, self._schedule)
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


class Drawn(NamedTuple):
    """What stands together in a step: photos, a view of each, then pseudo photos; captions, then class captions.

    `captions` and `class_captions` are rows of the training data's; `owner` says for each which photo it belongs to,
    and `ignored`, shape (texts, photos), which other photos say the same.
    """

    photos: Tensor
    pseudo_photos: Tensor
    captions: Tensor
    class_captions: Tensor
    owner: Tensor
    ignored: Tensor


def draw(
    views: Sequence[Maps] | Sequence[Tensor],
    data: TrainingData,
    rows: Tensor,
    captions_per_photo: int,
    classes: int,
    generator: torch.Generator,
) -> Drawn:
    """Draw a view and captions of each row at random, and classes with one of their captions."""
    chosen = torch.randint(len(views), (len(rows),), generator=generator)
    photos = torch.stack([views[view][row] for view, row in zip(chosen.tolist(), rows.tolist(), strict=True)])
    captions, owner = draw_captions(rows, data.first_caption, captions_per_photo, generator)
    known = len(data.pseudo_features)
    extra = torch.randperm(known, generator=generator)[:classes]
    each = len(data.class_captions.ids) // max(1, known)
    class_captions = extra * each + torch.randint(each, (len(extra),), generator=generator)
    owner = torch.cat([owner, len(rows) + torch.arange(len(extra))])
    text_keys = torch.cat([data.caption_keys[captions], data.class_keys[class_captions]])
    class_keys = torch.full((len(extra), data.photo_keys.shape[1]), -1)
    class_keys[:, 0] = data.class_keys[class_captions]
    ignored = equal_captions(text_keys, torch.cat([data.photo_keys[rows], class_keys]), owner)
    return Drawn(photos, data.pseudo_features[extra], captions, class_captions, owner, ignored)


def pool_photos(model: DualModel, maps: Tensor) -> Tensor:
    """Return the pooled features of cached maps; bfloat16 and channels last, which CPUs are fastest with.

    The photos pass in small groups: what a group leaves behind fits the processor's caches better.
    """
    with torch.autocast("cpu", torch.bfloat16):
        groups = [
            model.photo.pooled(group.float().contiguous(memory_format=torch.channels_last))
            for group in torch.split(maps, _PHOTO_GROUP)
        ]
    return torch.cat(groups)


def pool_texts(model: DualModel, tokens: Tokens) -> Tensor:
    """Return the pooled features of texts, which pass in groups of like length to spare padding."""
    order = tokens.mask.sum(dim=1).argsort()
    groups = [tokens.rows(part) for part in order.chunk(max(1, len(order) // 64))]
    with torch.autocast("cpu", torch.bfloat16):
        pooled = torch.cat([model.text.pooled(group.ids, group.mask) for group in groups])
    return pooled[order.argsort()]


def drop_words(
    tokens: Tokens,
    share: float,
    generator: torch.Generator,
    mask_token: int = BERT_MASK,
    special_tokens: Sequence[int] = BERT_SPECIAL,
) -> Tokens:
    """Replace a share of the words by the mask and look away from them; special tokens are never dropped."""
    words = ~torch.isin(tokens.ids, torch.tensor(special_tokens))
    dropped = (torch.rand(tokens.ids.shape, generator=generator) < share) & words
    return Tokens(tokens.ids.masked_fill(dropped, mask_token), tokens.mask.masked_fill(dropped, 0))


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


def _take_step(loss: Tensor, optimizer: torch.optim.Optimizer, schedule: torch.optim.lr_scheduler.LRScheduler) -> None:
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    schedule.step()
