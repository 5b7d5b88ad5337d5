"""The dual encoder as torch modules: two towers, several heads on each, and one common reduction.

Each tower is a trunk, taken over from a pretrained base, and an ensemble of heads that were started from different
seeds. The unit vectors of the heads are joined and rotated into the few dimensions that carry nearly
all of their dot products.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from index_store.training.encoder.config import HeadShape


class Head(nn.Module):
    """Map pooled features to a unit vector: a linear map plus a small network in parallel."""

    def __init__(self, features: int, shape: HeadShape) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(features)
        self.dropout = nn.Dropout(shape.input_dropout)
        self.linear = nn.Linear(features, shape.dimension)
        self.network = nn.Sequential(
            nn.Linear(features, shape.hidden),
            nn.GELU(),
            nn.Dropout(shape.hidden_dropout),
            nn.Linear(shape.hidden, shape.dimension),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Return unit rows, shape (n, dimension)."""
        features = self.dropout(self.norm(features))
        unit: Tensor = functional.normalize(self.linear(features) + self.network(features), dim=-1)
        return unit


class Heads(nn.Module):
    """An ensemble of heads, and the reduction of their joined vectors once it is known."""

    reduction: Tensor

    def __init__(self, features: int, count: int, shape: HeadShape) -> None:
        super().__init__()
        self.heads = nn.ModuleList(Head(features, shape) for _ in range(count))
        self.register_buffer("reduction", torch.eye(count * shape.dimension))

    def joined(self, features: Tensor) -> Tensor:
        """Return the heads' unit vectors side by side, scaled to unit rows, shape (n, count x dimension)."""
        joined: Tensor = torch.cat([head(features) for head in self.heads], dim=-1) / len(self.heads) ** 0.5
        return joined

    def forward(self, features: Tensor) -> Tensor:
        """Return the reduced unit rows."""
        unit: Tensor = functional.normalize(self.joined(features) @ self.reduction, dim=-1)
        return unit


@dataclass(frozen=True, slots=True)
class PixelScale:
    """How a photo trunk wants its pixels: (x - mean) / spread in each channel, where x is 0 to 255."""

    mean: tuple[float, float, float]
    spread: tuple[float, float, float]


LITE_PIXELS = PixelScale((127.0,) * 3, (128.0,) * 3)
"""What EfficientNet-Lite was trained on."""


class PhotoTower(nn.Module):
    """Pixels to unit rows: the frozen front of the trunk, its trained tail, mean pooling, heads.

    The scale of the pixels is part of the tower, so that the exported one takes photos as they are; it is no weight, so
    that checkpoints do not hold it.
    """

    mean: Tensor
    spread: Tensor

    def __init__(self, front: nn.Module, tail: nn.Module, heads: Heads, scale: PixelScale = LITE_PIXELS) -> None:
        super().__init__()
        self.front = front
        self.tail = tail
        self.heads = heads
        self.scale = scale
        self.register_buffer("mean", torch.tensor(scale.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("spread", torch.tensor(scale.spread).view(1, 3, 1, 1), persistent=False)

    def maps(self, pixels: Tensor) -> Tensor:
        """Return the front's feature maps for uint8 pixels of shape (n, side, side, 3)."""
        maps: Tensor = self.front((pixels.permute(0, 3, 1, 2).float() - self.mean) / self.spread)
        return maps

    def pooled(self, maps: Tensor) -> Tensor:
        """Return the tail's features averaged over the picture, shape (n, features)."""
        features: Tensor = self.tail(maps)
        return features.float().mean(dim=(2, 3))

    def forward(self, pixels: Tensor) -> Tensor:
        """Return unit rows for uint8 pixels of shape (n, side, side, 3)."""
        rows: Tensor = self.heads(self.pooled(self.maps(pixels)))
        return rows


class TextTower(nn.Module):
    """Token ids to unit rows: a text trunk, mostly a BERT, mean pooling over the tokens, heads."""

    def __init__(self, bert: nn.Module, heads: Heads) -> None:
        super().__init__()
        self.bert = bert
        self.heads = heads

    def pooled(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return the token states averaged over the tokens that count, shape (n, features)."""
        states = self.bert(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state.float()
        weights = attention_mask[:, :, None].float()
        pooled: Tensor = (states * weights).sum(dim=1) / weights.sum(dim=1)
        return pooled

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return unit rows for int64 ids and mask of shape (n, tokens)."""
        rows: Tensor = self.heads(self.pooled(input_ids, attention_mask))
        return rows


@dataclass(slots=True)
class DualModel:
    """The two towers."""

    photo: PhotoTower
    text: TextTower


def fit_reduction(photos: Tensor, texts: Tensor, dimension: int) -> Tensor:
    """Return the matrix, shape (joined, dimension), that keeps most of the dot products between the two sides.

    Its columns are the leading eigenvectors of the sum of both sides' second moments: what they leave out is small on
    both sides, so it is smaller still in their dot products.
    """
    moments = photos.T @ photos / len(photos) + texts.T @ texts / len(texts)
    _, vectors = torch.linalg.eigh(moments.double())
    leading: Tensor = vectors[:, -dimension:].flip(1).float().contiguous()
    return leading
