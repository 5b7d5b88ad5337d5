"""How the dual encoder learns: the contrastive loss, the warm-up of the heads, and the joint training."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from index_store.neural.dual_data import Tokens
from index_store.neural.dual_model import DualModel, Heads

MASK_TOKEN = 103
"""BERT's [MASK], which stands in for dropped words."""
_SPECIAL_BELOW = 999
"""BERT's ids below this one are [PAD], [CLS], [SEP] and the like: they are never dropped."""
_MAX_SCALE = 100.0
"""CLIP's bound on the inverse temperature (Radford et al. 2021)."""
_RELU6_RANGE = (0.0, 6.0)


@dataclass(frozen=True, slots=True)
class LearningRates:
    """AdamW's highest rates of the joint training; the text trunk, trained on far more texts, moves least."""

    photo_tail: float = 2e-4
    text_trunk: float = 5e-5
    heads: float = 5e-4


@dataclass(slots=True)
class TrainingData:
    """What the two steps learn from.

    `maps` are views of the photos; photo i has rows `first_caption[i]` up to `first_caption[i + 1]` of `captions`.
    `pseudo_features`, shape (classes, features), are the photo base's classifier rows disguised as pooled photos, and
    `class_captions` their texts.
    """

    maps: Sequence[Tensor]
    captions: Tokens
    first_caption: Tensor
    pseudo_features: Tensor
    class_captions: Tokens


def pseudo_features(classifier: Tensor, pooled: Tensor) -> Tensor:
    """Disguise classifier rows as pooled photo features: the same mean and spread in each feature.

    A classifier row points to where photos of its class lie, so "a photo of a <class>" can be learnt for a thousand
    classes without a photo of them: recall on photos of other domains gains, at home it neither gains nor loses.
    """
    if not len(classifier):
        return pooled[:0]
    standard = (classifier - classifier.mean(dim=0)) / classifier.std(dim=0)
    return (pooled.mean(dim=0) + pooled.std(dim=0) * standard).clamp(*_RELU6_RANGE)


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
    class_texts: Tensor,
    *,
    epochs: int,
    batch: int,
    classes: int,
    rate: float,
    smoothing: float,
    generator: torch.Generator,
    progress: Callable[[int, int, str], None],
) -> None:
    """Train each pair of heads on frozen features: `pooled` photos (one tensor a view) and texts."""
    photo_views, texts = pooled
    for number, (photo_head, text_head) in enumerate(zip(heads[0].heads, heads[1].heads, strict=True)):
        scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))
        parameters = [*photo_head.parameters(), *text_head.parameters(), scale]
        steps = epochs * max(1, len(photo_views[0]) // batch)
        optimizer = torch.optim.AdamW(parameters, lr=rate, weight_decay=0.1)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps, pct_start=0.2)
        photo_head.train()
        text_head.train()
        chosen = _batches(len(photo_views[0]), batch, generator)
        for step in range(steps):
            rows = next(chosen)
            view = torch.randint(len(photo_views), (len(rows),), generator=generator)
            photos = torch.stack([photo_views[v][row] for v, row in zip(view.tolist(), rows.tolist(), strict=True)])
            captions, owner = _captions_of(rows, data.first_caption, 1, generator)
            extra = torch.randperm(len(class_texts), generator=generator)[:classes]
            features = torch.cat([photos, data.pseudo_features[extra]])
            words = torch.cat([texts[captions], class_texts[extra]])
            owner = torch.cat([owner, len(rows) + torch.arange(len(extra))])
            factor = scale.exp().clamp(max=_MAX_SCALE)
            loss = contrastive_loss(photo_head(features), text_head(words), owner, factor, smoothing)
            _take_step(loss, optimizer, schedule)
            progress(number * steps + step + 1, len(heads[0].heads) * steps, "warming up the heads")


def train_jointly(
    model: DualModel,
    data: TrainingData,
    *,
    epochs: int,
    batch: int,
    captions_per_photo: int,
    classes: int,
    word_dropout: float,
    rates: LearningRates,
    smoothing: float,
    generator: torch.Generator,
    progress: Callable[[int, int, str], None],
    after_epoch: Callable[[int], None],
) -> None:
    """Train the photo trunk's tail, the text trunk and all heads; `after_epoch` may measure the model."""
    scale = nn.Parameter(torch.tensor(math.log(20.0)))
    optimizer, schedule, steps = _joint_optimizer(model, scale, rates, epochs, len(data.maps[0]), batch)
    for epoch in range(epochs):
        chosen = _batches(len(data.maps[0]), batch, generator)
        for step in range(steps):
            model.photo.heads.train()
            model.text.train()
            rows = next(chosen)
            view = torch.randint(len(data.maps), (len(rows),), generator=generator)
            maps = torch.stack([data.maps[v][row] for v, row in zip(view.tolist(), rows.tolist(), strict=True)])
            captions, owner = _captions_of(rows, data.first_caption, captions_per_photo, generator)
            extra = torch.randperm(len(data.pseudo_features), generator=generator)[:classes]
            photos = torch.cat([pool_photos(model, maps), data.pseudo_features[extra]])
            words = drop_words(data.captions.rows(captions), word_dropout, generator)
            texts = pool_texts(model, words)
            if len(extra):
                texts = torch.cat([texts, pool_texts(model, data.class_captions.rows(extra))])
            owner = torch.cat([owner, len(rows) + torch.arange(len(extra))])
            factor = scale.exp().clamp(max=_MAX_SCALE)
            losses = [
                contrastive_loss(photo_head(photos), text_head(texts), owner, factor, smoothing)
                for photo_head, text_head in zip(model.photo.heads.heads, model.text.heads.heads, strict=True)
            ]
            _take_step(torch.stack(losses).mean(), optimizer, schedule)
            progress(epoch * steps + step + 1, epochs * steps, "training both towers")
        after_epoch(epoch + 1)


def pool_photos(model: DualModel, maps: Tensor) -> Tensor:
    """Return the pooled features of cached maps; bfloat16 inside, which is 2.6 times as fast on a CPU that has it."""
    with torch.autocast("cpu", torch.bfloat16):
        return model.photo.pooled(maps.float())


def pool_texts(model: DualModel, tokens: Tokens) -> Tensor:
    """Return the pooled features of texts, which pass in groups of like length to spare padding."""
    order = tokens.mask.sum(dim=1).argsort()
    groups = [tokens.rows(part) for part in order.chunk(max(1, len(order) // 64))]
    with torch.autocast("cpu", torch.bfloat16):
        pooled = torch.cat([model.text.pooled(group.ids, group.mask) for group in groups])
    return pooled[order.argsort()]


def drop_words(tokens: Tokens, share: float, generator: torch.Generator) -> Tokens:
    """Replace a share of the words by [MASK] and look away from them."""
    dropped = (torch.rand(tokens.ids.shape, generator=generator) < share) & (tokens.ids > _SPECIAL_BELOW)
    return Tokens(tokens.ids.masked_fill(dropped, MASK_TOKEN), tokens.mask.masked_fill(dropped, 0))


def _joint_optimizer(
    model: DualModel, scale: nn.Parameter, rates: LearningRates, epochs: int, photos: int, batch: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler, int]:
    steps = max(1, photos // batch)
    # the word embeddings stay: 6,000 photos name too few of the 30,000 words, and the others must not be left behind
    model.text.bert.embeddings.requires_grad_(False)
    heads = [*model.photo.heads.parameters(), *model.text.heads.parameters(), scale]
    trunk = [parameter for parameter in model.text.bert.parameters() if parameter.requires_grad]
    groups = [
        {"params": list(model.photo.tail.parameters()), "lr": rates.photo_tail, "weight_decay": 0.05},
        {"params": trunk, "lr": rates.text_trunk, "weight_decay": 0.01},
        {"params": heads, "lr": rates.heads, "weight_decay": 0.1},
    ]
    optimizer = torch.optim.AdamW(groups)
    highest = [float(group["lr"]) for group in optimizer.param_groups]
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, highest, total_steps=epochs * steps, pct_start=0.15)
    return optimizer, schedule, steps


def _take_step(loss: Tensor, optimizer: torch.optim.Optimizer, schedule: torch.optim.lr_scheduler.LRScheduler) -> None:
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    schedule.step()


def _batches(count: int, batch: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Yield rows in random order for ever, each once before any comes again; an incomplete last batch is left out."""
    while True:
        order = torch.randperm(count, generator=generator)
        for start in range(0, max(1, count - batch + 1), batch):
            yield order[start : start + batch]


def _captions_of(rows: Tensor, first_caption: Tensor, number: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Pick up to `number` captions of each photo at random; return their rows and, for each, its place in `rows`."""
    captions: list[Tensor] = []
    owner: list[int] = []
    for place, row in enumerate(rows.tolist()):
        start, end = int(first_caption[row]), int(first_caption[row + 1])
        picked = start + torch.randperm(end - start, generator=generator)[:number]
        captions.append(picked)
        owner += [place] * len(picked)
    return torch.cat(captions), torch.tensor(owner)
