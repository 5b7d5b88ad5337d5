"""Score candidates with an encoder that no reranker belongs to: the cosine itself, named as uncalibrated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    Rows = NDArray[np.float32]


class Scorer(Protocol):
    """What turns a query and its candidates into scores; bigger is better."""

    @property
    def version(self) -> str:
        """The name that status and reports use."""
        ...

    @property
    def min_score(self) -> float:
        """The score below which a photo is no match."""
        ...

    def score(self, query_embedding: NDArray[np.float32], photo_embeddings: Rows) -> NDArray[np.float32]:
        """Return the score in [0, 1] of each photo, shape (n,); both inputs are unit rows of the encoder."""
        ...


@dataclass(frozen=True, slots=True)
class CosineScorer:
    """The cosine, its negative half cut off.

    Nothing is stretched to look like a probability: a good match of CLIP has a cosine of about 0.3, and shows as that.
    Photos with a negative cosine all have the score 0; their order is that of their similarity.
    """

    version: str = "cosine (uncalibrated)"
    min_score: float = 0.0

    def score(self, query_embedding: NDArray[np.float32], photo_embeddings: Rows) -> NDArray[np.float32]:
        """Return max(0, cosine) of each photo, shape (n,); both inputs are unit rows of the encoder."""
        scores: NDArray[np.float32] = np.clip(photo_embeddings @ query_embedding, 0.0, 1.0).astype(np.float32)
        return scores


def load_scorer(towers: str, folder: Path | None) -> Scorer:
    """Return the reranker in `folder`, or the cosine where no reranker belongs to the encoder.

    Raises:
        WeightsError: the reranker is damaged, or belongs to another encoder.
    """
    if folder is None:
        return CosineScorer()
    from index_store.reranker.reranking import load_reranker

    return load_reranker(towers, folder)
