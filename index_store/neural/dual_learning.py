"""How the dual encoder learns: the contrastive loss, the warm-up of the heads, and the joint training."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from index_store.neural.bases import BERT_MASK, BERT_SPECIAL
from index_store.neural.dual_batches import draw_captions, random_batches
from index_store.neural.dual_config import EncoderTraining
from index_store.neural.dual_data import Progress, Tokens
from index_store.neural.dual_model import DualModel, Heads, PhotoTower, TextTower

_MAX_SCALE = 100.0
"""CLIP's bound on the inverse temperature (Radford et al. 2021)."""
_PHOTO_GROUP = 64


@dataclass(slots=True)
class TrainingData:
    """What the two steps learn from.

    `maps` are views of the photos; photo i has rows `first_caption[i]` up to `first_caption[i + 1]` of `captions`.
    `pseudo_features`, shape (classes, features), are the photo base's classifier rows disguised as pooled photos, and
    `class_captions` their texts, equally many of each class. `pooled_photos` and `pooled_captions` are the features of
    the plain view and of all captions as the trunks give them before they learn. Word dropout puts `mask_token` in the
    place of any token but the `special_tokens`.
    """

    maps: Sequence[Tensor]
    captions: Tokens
    first_caption: Tensor
    pseudo_features: Tensor
    class_captions: Tokens
    pooled_photos: Tensor
    pooled_captions: Tensor
    mask_token: int = BERT_MASK
    special_tokens: Sequence[int] = BERT_SPECIAL


def pseudo_features(classifier: Tensor, pooled: Tensor, bounds: tuple[float, float] = (0.0, 6.0)) -> Tensor:
    """Disguise classifier rows as pooled photo features: the same mean and spread in each feature, within `bounds`.

    A classifier row points to where photos of its class lie, so "a photo of a <class>" can be learnt for a thousand
    classes without a photo of them: recall on photos of other domains gains, at home it neither gains nor loses.
    """
    if not len(classifier):
        return pooled[:0]
    standard = (classifier - classifier.mean(dim=0)) / classifier.std(dim=0)
    return (pooled.mean(dim=0) + pooled.std(dim=0) * standard).clamp(*bounds)


def contrastive_loss(photos: Tensor, texts: Tensor, owner: Tensor, scale: Tensor, smoothing: float) -> Tensor:
    """Return InfoNCE both ways for unit rows; text i belongs to photo `owner[i]`, and a photo may own several texts."""
    logits = scale * texts @ photos.T
    own = functional.one_hot(owner, len(photos)).float().T
    targets = own / own.sum(dim=1, keepdim=True)
    to_photo = functional.cross_entropy(logits, owner, label_smoothing=smoothing)
    to_text = functional.cross_entropy(logits.T, targets, label_smoothing=smoothing)
    return to_photo + to_text


def warm_up(
    heads: tuple[Heads, Heads],
    pooled: tuple[Sequence[Tensor], Tensor],
    data: TrainingData,
    config: EncoderTraining,
    generator: torch.Generator,
    progress: Progress,
) -> None:
    """Train each pair of heads on features that stand still: `pooled` photos (one tensor a view) and class captions."""
    photo_views, class_texts = pooled
    for number, (photo_head, text_head) in enumerate(zip(heads[0].heads, heads[1].heads, strict=True)):
        scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))
        parameters = [*photo_head.parameters(), *text_head.parameters(), scale]
        steps = config.warmup_epochs * max(1, len(photo_views[0]) // config.warmup_batch)
        optimizer = torch.optim.AdamW(parameters, lr=config.warmup_rate, weight_decay=0.1)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, config.warmup_rate, total_steps=steps, pct_start=0.2)
        photo_head.train()
        text_head.train()
        chosen = random_batches(len(photo_views[0]), config.warmup_batch, generator)
        for step in range(steps):
            rows = next(chosen)
            drawn = _draw(photo_views, data, rows, 1, config.classes_per_batch, generator)
            features = torch.cat([drawn.photos, drawn.pseudo_photos])
            words = torch.cat([data.pooled_captions[drawn.captions], class_texts[drawn.class_captions]])
            factor = scale.exp().clamp(max=_MAX_SCALE)
            loss = contrastive_loss(photo_head(features), text_head(words), drawn.owner, factor, config.label_smoothing)
            _take_step(loss, optimizer, schedule)
            progress(number * steps + step + 1, len(heads[0].heads) * steps, "warming up the heads")


def train_jointly(
    model: DualModel,
    data: TrainingData,
    config: EncoderTraining,
    generator: torch.Generator,
    progress: Progress,
    after_epoch: Callable[[DualModel, int], str],
) -> None:
    """Train the photo trunk's tail, the text trunk and all heads.

    `after_epoch` is given the averaged model, which it may measure and copy, and the epoch, from 1; it answers with a
    line about it for people who watch. `model` ends with the last weights, not averaged.
    """
    note = "training both towers"
    _set_trunk_dropout(model, config.trunk_dropout)
    scale = nn.Parameter(torch.tensor(math.log(20.0)))
    optimizer, schedule, steps = _joint_optimizer(model, scale, config, len(data.maps[0]))
    average = _average(model, config.averaged_epochs * steps)
    chosen = random_batches(len(data.maps[0]), config.batch, generator)
    for epoch in range(config.epochs):
        for step in range(steps):
            model.photo.train()
            model.text.train()
            rows = next(chosen)
            drawn = _draw(data.maps, data, rows, config.captions_per_photo, config.classes_per_batch, generator)
            photos = torch.cat([pool_photos(model, drawn.photos), drawn.pseudo_photos])
            words = data.captions.rows(drawn.captions)
            words = drop_words(words, config.word_dropout, generator, data.mask_token, data.special_tokens)
            texts = pool_texts(model, words)
            if len(drawn.class_captions):
                texts = torch.cat([texts, pool_texts(model, data.class_captions.rows(drawn.class_captions))])
            factor = scale.exp().clamp(max=_MAX_SCALE)
            losses = [
                contrastive_loss(photo_head(photos), text_head(texts), drawn.owner, factor, config.label_smoothing)
                for photo_head, text_head in zip(model.photo.heads.heads, model.text.heads.heads, strict=True)
            ]
            _take_step(torch.stack(losses).mean(), optimizer, schedule)
            for averaged, tower in zip(average, (model.photo, model.text), strict=True):
                averaged.update_parameters(tower)
            progress(epoch * steps + step + 1, config.epochs * steps, note)
        note = after_epoch(
            DualModel(cast(PhotoTower, average[0].module), cast(TextTower, average[1].module)), epoch + 1
        )


def _average(model: DualModel, steps: float) -> tuple[AveragedModel, AveragedModel]:
    """Keep an exponential average of the weights over about so many steps (Izmailov et al. 2018 average equally)."""
    decay = max(0.0, 1 - 1 / max(1.0, steps))
    update = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
    return AveragedModel(model.photo, multi_avg_fn=update), AveragedModel(model.text, multi_avg_fn=update)


def _set_trunk_dropout(model: DualModel, share: float) -> None:
    for module in model.text.bert.modules():
        if isinstance(module, nn.Dropout):
            module.p = share


class _Drawn(NamedTuple):
    """What stands together in a step: photos, a view of each, then pseudo photos; captions, then class captions.

    `captions` and `class_captions` are rows of the training data's; `owner` says for each which photo it belongs to.
    """

    photos: Tensor
    pseudo_photos: Tensor
    captions: Tensor
    class_captions: Tensor
    owner: Tensor


def _draw(
    views: Sequence[Tensor],
    data: TrainingData,
    rows: Tensor,
    captions_per_photo: int,
    classes: int,
    generator: torch.Generator,
) -> _Drawn:
    """Draw a view and captions of each row at random, and classes with one of their captions."""
    chosen = torch.randint(len(views), (len(rows),), generator=generator)
    photos = torch.stack([views[view][row] for view, row in zip(chosen.tolist(), rows.tolist(), strict=True)])
    captions, owner = draw_captions(rows, data.first_caption, captions_per_photo, generator)
    known = len(data.pseudo_features)
    extra = torch.randperm(known, generator=generator)[:classes]
    each = len(data.class_captions.ids) // max(1, known)
    class_captions = extra * each + torch.randint(each, (len(extra),), generator=generator)
    owner = torch.cat([owner, len(rows) + torch.arange(len(extra))])
    return _Drawn(photos, data.pseudo_features[extra], captions, class_captions, owner)


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
    model: DualModel, scale: nn.Parameter, config: EncoderTraining, photos: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler, int]:
    steps = max(1, photos // config.batch)
    heads = [*model.photo.heads.parameters(), *model.text.heads.parameters(), scale]
    trunk = [parameter for parameter in model.text.bert.parameters() if parameter.requires_grad]
    groups = [
        {"params": list(model.photo.tail.parameters()), "lr": config.rates.photo_tail, "weight_decay": 0.05},
        {"params": trunk, "lr": config.rates.text_trunk, "weight_decay": 0.01},
        {"params": heads, "lr": config.rates.heads, "weight_decay": 0.1},
    ]
    optimizer = torch.optim.AdamW(groups)
    highest = [float(group["lr"]) for group in optimizer.param_groups]
    total = config.epochs * steps
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, highest, total_steps=total, pct_start=0.15)
    return optimizer, schedule, steps


def _take_step(loss: Tensor, optimizer: torch.optim.Optimizer, schedule: torch.optim.lr_scheduler.LRScheduler) -> None:
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    schedule.step()
