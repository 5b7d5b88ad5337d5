"""How the dual encoder learns: the data, the contrastive loss, the warm-up of the heads, and what a step reads."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from index_store.training.encoder.bases import BERT_MASK, BERT_SPECIAL
from index_store.training.encoder.batches import MixedBatches, draw_captions, equal_captions
from index_store.training.encoder.config import EncoderTraining
from index_store.training.encoder.model import DualModel, Heads
from index_store.training.encoder.photo_views import Maps, Progress, Tokens

MAX_SCALE = 100.0
"""CLIP's bound on the inverse temperature (Radford et al. 2021)."""
_PHOTO_GROUP = 64
_TEXT_GROUP = 64
_SPARING_GROUP = 16
_LARGE_TRUNK = 40_000_000
"""From so many weights that learn on, a text trunk spares memory for a third more time. MiniLM has 11 million."""


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
            factor = scale.exp().clamp(max=MAX_SCALE)
            loss = contrastive_loss(
                photo_head(features), text_head(words), drawn.owner, factor, config.label_smoothing, drawn.ignored
            )
            take_step(loss, optimizer, schedule)
            progress(number * steps + step + 1, len(heads[0].heads) * steps, "steps of warming up the heads")


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
    """Return the pooled features of texts, which pass in groups of like length to spare padding.

    A large trunk keeps nothing of a group but its features, and computes the rest again when it learns: the layers'
    states of all groups together would take gigabytes.
    """
    again = torch.is_grad_enabled() and _learned_weights(model.text.bert) > _LARGE_TRUNK
    order = tokens.mask.sum(dim=1).argsort()
    size = _SPARING_GROUP if again else _TEXT_GROUP
    groups = [tokens.rows(part) for part in order.chunk(max(1, len(order) // size))]
    with torch.autocast("cpu", torch.bfloat16):
        pooled = [
            checkpoint(model.text.pooled, group.ids, group.mask, use_reentrant=False)
            if again
            else model.text.pooled(group.ids, group.mask)
            for group in groups
        ]
    return torch.cat(pooled)[order.argsort()]


def _learned_weights(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


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


def take_step(loss: Tensor, optimizer: torch.optim.Optimizer, schedule: torch.optim.lr_scheduler.LRScheduler) -> None:
    """Change the weights by the loss, and the rates by the schedule."""
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    schedule.step()
