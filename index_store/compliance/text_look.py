"""Look at a text's embedding: how probably does it speak of a person under the age limit, whatever its words are?

A small network on the text tower's vector, learned from captions and from example texts (`text_training.py`).
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from index_store.errors import WeightsError
from index_store.user_text import read_json

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

SHIPPED_WEIGHTS = Path(__file__).parents[1] / "weights" / "texts"
CARD_FILE = "card.json"
ARRAYS_FILE = "texts.npz"
_AGAIN = "install imgsearch-cli again, no text is judged without it"


@dataclass(frozen=True, slots=True)
class TextLook:
    """One hidden layer of ReLUs, one output, calibrated by sigmoid(slope * logit + offset)."""

    weights: Floats
    bias: Floats
    out_weights: Floats
    out_bias: Floats
    slope: float
    offset: float

    def probabilities(self, embeddings: Floats) -> Floats:
        """Return for each row of shape (n, dimension) the probability that its text speaks of a child, shape (n,).

        A row that is not finite gets 1.
        """
        with np.errstate(all="ignore"):
            hidden = np.maximum(embeddings @ self.weights + self.bias, 0)
            logits = (hidden @ self.out_weights + self.out_bias)[:, 0]
            found = 1 / (1 + np.exp(-np.clip(self.slope * logits + self.offset, -60, 60)))
        found = np.where(np.isfinite(embeddings).all(axis=1) & np.isfinite(found), found, 1.0)
        rounded: Floats = found.astype(np.float32)
        return rounded


def load_text_look(towers: str, folder: Path = SHIPPED_WEIGHTS) -> TextLook:
    """Return the look for embeddings of texts by an encoder, named by its `towers`.

    Raises:
        WeightsError: the weights are missing or damaged, or were trained on another encoder's embeddings.
    """
    card = _card(folder / CARD_FILE)
    if card.get("encoder") != towers:
        raise WeightsError(
            f"{folder}: the look at texts was trained for the encoder {card.get('encoder')!r}, not {towers!r}; "
            "train it again with 'imgsearch train texts'"
        )
    path = folder / ARRAYS_FILE
    try:
        with np.load(path, allow_pickle=False) as arrays:
            weights, bias, out_weights, out_bias = (
                arrays[name].astype(np.float32) for name in ("weights", "bias", "out_weights", "out_bias")
            )
            look = TextLook(weights, bias, out_weights, out_bias, float(arrays["slope"]), float(arrays["offset"]))
    except FileNotFoundError as error:
        raise WeightsError(f"{path}: missing; {_AGAIN}") from error
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise WeightsError(f"{path}: damaged; {_AGAIN}") from error
    hidden = look.bias.shape[0] if look.bias.ndim == 1 else -1
    if look.weights.ndim != 2 or look.weights.shape[1] != hidden or look.out_weights.shape != (hidden, 1):
        raise WeightsError(f"{path}: its arrays do not fit each other; {_AGAIN}")
    return look


def save_text_look(look: TextLook, folder: Path) -> None:
    """Write the arrays into `folder`, weights as float16."""
    np.savez(
        folder / ARRAYS_FILE,
        weights=look.weights.astype(np.float16),
        bias=look.bias,
        out_weights=look.out_weights.astype(np.float16),
        out_bias=look.out_bias,
        slope=look.slope,
        offset=look.offset,
    )


def _card(path: Path) -> dict[str, Any]:
    try:
        card = read_json(path)
    except FileNotFoundError as error:
        raise WeightsError(f"{path}: missing; {_AGAIN}") from error
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path}: damaged; {_AGAIN}") from error
    if not isinstance(card, dict):
        raise WeightsError(f"{path}: is no card; {_AGAIN}")
    return card
