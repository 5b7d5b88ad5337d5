"""Teachers for texts: large text trunks, frozen, with an ensemble of heads onto the embeddings of photos.

A trunk that is too large to ship knows more of what texts mean. Its pooled features, with those of the own trunk,
are computed once for all texts; heads on them learn in a minute which photo a text is about.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from index_store.training.encoder.bases import TextBase
from index_store.training.encoder.batches import MixedBatches, draw_captions, equal_captions
from index_store.training.encoder.config import HeadShape
from index_store.training.encoder.model import Head, Heads, TextTower
from index_store.training.encoder.photo_views import Progress, Tokens, tokenize
from index_store.training.encoder.resumable_files import in_parts
from index_store.training.encoder.steps import MAX_SCALE, contrastive_loss, take_step

_TEXT_BATCH = 128
_MAX_TOKENS = 40


@dataclass(frozen=True, slots=True)
class TeacherTraining:
    """How the teacher's heads learn; `heads` of them, from different seeds, whose mean teaches."""

    heads: int = 4
    hidden: int = 1024
    input_dropout: float = 0.3
    hidden_dropout: float = 0.5
    epochs: int = 20
    batch: int = 1000
    rate: float = 1e-3
    label_smoothing: float = 0.05


@dataclass(frozen=True, slots=True)
class PhotoTexts:
    """Photos, as the embeddings they keep, and their texts: photo i has texts `first_text[i]` to `first_text[i + 1]`.

    Photos come in sets of `sizes` photos with a weight each. Keys are those of `TrainingData`.
    """

    photos: Tensor
    sizes: Sequence[int]
    weights: Sequence[float]
    first_text: Tensor
    text_keys: Tensor
    photo_keys: Tensor

    def batches(self, batch: int, generator: torch.Generator) -> MixedBatches:
        """Return what draws batches of these photos."""
        return MixedBatches(self.sizes, self.weights, batch, generator)

    def steps(self, batch: int) -> int:
        """Return how many batches make a pass over as many photos as there are."""
        return max(1, sum(self.sizes) // batch)

    def draw(self, rows: Tensor, number: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Draw texts of the photos in `rows`: their rows, whose each is, and which other photos say the same."""
        texts, owner = draw_captions(rows, self.first_text, number, generator)
        return texts, owner, equal_captions(self.text_keys[texts], self.photo_keys[rows], owner)


def pooled_features(base: TextBase, texts: Sequence[str], progress: Progress, cache: Path | None) -> Tensor:
    """Return the pooled states of a frozen text trunk, half precision, shape (texts, features), kept in `cache`."""
    tokens = tokenize(texts, base.tokenizer, min(_MAX_TOKENS, base.max_tokens))
    order = tokens.mask.sum(dim=1).argsort(stable=True)  # texts of like length share a batch
    tower = TextTower(base.bert, Heads(1, 0, HeadShape())).eval()

    def make(start: int) -> Iterator[NDArray[Any]]:
        for first in range(start, len(texts), _TEXT_BATCH):
            rows = order[first : first + _TEXT_BATCH]
            progress(min(first + _TEXT_BATCH, len(texts)), len(texts), f"texts through {base.name}")
            yield _pooled(tower, tokens.rows(rows)).half().numpy()

    file = cache / f"texts-{_fingerprint(base, texts)}.npy" if cache else None
    made = torch.from_numpy(in_parts(file, len(texts), make).copy())
    return made[order.argsort()]


@torch.no_grad()
def _pooled(tower: TextTower, tokens: Tokens) -> Tensor:
    with torch.autocast("cpu", torch.bfloat16):
        return tower.pooled(tokens.ids, tokens.mask)


def _fingerprint(base: TextBase, texts: Sequence[str]) -> str:
    digest = hashlib.sha256(base.name.encode())
    for weight in base.bert.state_dict().values():
        digest.update(weight.numpy().tobytes())
    for text in texts:
        digest.update(text.encode(errors="surrogatepass") + b"\n")
    return digest.hexdigest()[:32]


class Teacher(nn.Module):
    """An ensemble of heads on features of texts, onto unit rows in the space of the photos' embeddings."""

    def __init__(self, features: int, dimension: int, config: TeacherTraining) -> None:
        super().__init__()
        shape = HeadShape(dimension, config.hidden, config.input_dropout, config.hidden_dropout)
        self.heads = nn.ModuleList(Head(features, shape) for _ in range(config.heads))

    def forward(self, features: Tensor) -> Tensor:
        """Return the normalised mean of the heads' unit rows."""
        return functional.normalize(torch.stack([head(features) for head in self.heads]).mean(dim=0), dim=-1)


def train_teacher(
    features: Tensor,
    data: PhotoTexts,
    config: TeacherTraining,
    generator: torch.Generator,
    progress: Progress,
) -> Teacher:
    """Train a teacher's heads by contrast; `features`, shape (texts, features), are those of the texts of `data`."""
    teacher = Teacher(features.shape[1], data.photos.shape[1], config)
    steps = config.epochs * data.steps(config.batch)
    for number, head in enumerate(teacher.heads):
        scale = nn.Parameter(torch.tensor(math.log(20.0)))
        optimizer = torch.optim.AdamW([*head.parameters(), scale], lr=config.rate, weight_decay=0.1)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, config.rate, total_steps=steps, pct_start=0.2)
        batches = data.batches(config.batch, generator)
        head.train()
        for step in range(steps):
            rows = batches.draw()
            texts, owner, ignored = data.draw(rows, 1, generator)
            factor = scale.exp().clamp(max=MAX_SCALE)
            unit = head(features[texts].float())
            loss = contrastive_loss(data.photos[rows], unit, owner, factor, config.label_smoothing, ignored)
            take_step(loss, optimizer, schedule)
            progress(number * steps + step + 1, len(teacher.heads) * steps, "steps, the teacher's heads learn")
    return teacher.eval()


@torch.no_grad()
def taught(teacher: Teacher, features: Tensor) -> Tensor:
    """Return what the teacher makes of all features, float32 unit rows."""
    return torch.cat([teacher(part.float()) for part in torch.split(features, 1000)])
