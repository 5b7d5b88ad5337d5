"""Judge from its embedding whether a photo shows a person under the age limit: a small network and its calibration."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from index_store.errors import WeightsError
from index_store.records import Verdict
from index_store.user_text import read_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from index_store.compliance.policy import Policy

    Floats = NDArray[np.float32]

SHIPPED_WEIGHTS = Path(__file__).parents[1] / "weights" / "minors"
CARD_FILE = "card.json"
ARRAYS_FILE = "minors.npz"


@dataclass(frozen=True, slots=True)
class Network:
    """Layers of (weights, bias), ReLU between them, one output: the logit that a photo shows a child."""

    layers: tuple[tuple[Floats, Floats], ...]

    def logits(self, embeddings: Floats) -> Floats:
        """Return one logit for each row, shape (n,)."""
        values = embeddings
        for weights, bias in self.layers[:-1]:
            values = np.maximum(values @ weights + bias, 0)
        weights, bias = self.layers[-1]
        return (values @ weights + bias)[:, 0]


@dataclass(frozen=True, slots=True)
class PhotoModel:
    """Networks whose mean logit is calibrated to a probability by Platt's sigmoid(slope * logit + offset).

    With `person`, networks that tell whether a person is there, the others tell whether that person is a child, and the
    logit is that of the product of both probabilities.
    """

    networks: tuple[Network, ...]
    slope: float
    offset: float
    person: tuple[Network, ...] = ()

    def logits(self, embeddings: Floats) -> Floats:
        """Return the logit before calibration for each row of shape (n, dimension), shape (n,)."""
        logit: Floats = np.mean([network.logits(embeddings) for network in self.networks], axis=0)
        if not self.person:
            return logit
        there: Floats = np.mean([network.logits(embeddings) for network in self.person], axis=0)
        # 1 / (p * q) - 1 with p = sigmoid(a), q = sigmoid(b) is e^-a + e^-b + e^-(a + b)
        both: Floats = -np.logaddexp(np.logaddexp(-logit, -there), -(logit + there))
        return both

    def probabilities(self, embeddings: Floats) -> Floats:
        """Return the calibrated probability for each row of shape (n, dimension), shape (n,)."""
        scaled = np.clip(self.slope * self.logits(embeddings) + self.offset, -60, 60)
        calibrated: Floats = (1 / (1 + np.exp(-scaled))).astype(np.float32)
        return calibrated


class PhotoRule:
    """The model joined with the policy's threshold: what `index` asks about every photo."""

    def __init__(self, model: PhotoModel, version: str, policy: Policy) -> None:
        self._model = model
        self._policy = policy
        self.version = version

    def probabilities(self, embeddings: Floats) -> Floats:
        """Return for each embedding the calibrated probability that its photo shows a child, shape (n,)."""
        return self._model.probabilities(embeddings)

    def judge(self, embeddings: Floats) -> list[Verdict]:
        """Return one verdict for each embedding, in order; an embedding that is not finite is withheld."""
        return [self._verdict(float(probability)) for probability in self.probabilities(embeddings)]

    def _verdict(self, probability: float) -> Verdict:
        threshold = self._policy.photo_threshold
        if not np.isfinite(probability):
            return Verdict(True, 1.0, "the embedding cannot be judged", self.version, self._policy.digest)
        withheld = probability >= threshold
        compared = "reaches" if withheld else "is below"
        reason = f"probability {probability:.2f} of a child {compared} the threshold {threshold:g}"
        return Verdict(withheld, probability, reason, self.version, self._policy.digest)


def load_photo_rule(encoder_name: str, policy: Policy, folder: Path = SHIPPED_WEIGHTS) -> PhotoRule:
    """Return the rule for embeddings of `encoder_name`.

    Raises:
        WeightsError: the weights are missing or damaged, or were trained on another encoder's embeddings.
    """
    card = _card_for(encoder_name, folder)
    return PhotoRule(load_model(folder), str(card["version"]), policy)


def photo_rule_version(encoder_name: str, folder: Path = SHIPPED_WEIGHTS) -> str:
    """Return the version of the rule for embeddings of `encoder_name` without loading it; raises as it does."""
    return str(_card_for(encoder_name, folder)["version"])


def _card_for(encoder_name: str, folder: Path) -> dict[str, Any]:
    card = _card(folder)
    if card.get("encoder") != encoder_name:
        raise WeightsError(
            f"{folder}: the photo rule was trained for the encoder {card.get('encoder')!r}, not {encoder_name!r}; "
            "train one for it with 'imgsearch train minors', or use the shipped encoder"
        )
    return card


def _card(folder: Path) -> dict[str, Any]:
    path = folder / CARD_FILE
    try:
        card = read_json(path)
    except FileNotFoundError as error:
        raise WeightsError(
            f"{path}: the photo rule's weights are missing; install imgsearch-cli again, nothing is shown without them"
        ) from error
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path}: damaged; install imgsearch-cli again") from error
    if not isinstance(card, dict) or "version" not in card:
        raise WeightsError(f"{path}: not a card of a photo rule; install imgsearch-cli again")
    return card


def load_model(folder: Path) -> PhotoModel:
    """Return the model saved in `folder` by `save_model`; raise WeightsError where it is missing or damaged."""
    path = folder / ARRAYS_FILE
    try:
        with np.load(path, allow_pickle=False) as arrays:
            networks = tuple(_network(arrays, number) for number in range(int(arrays["networks"])))
            persons = int(arrays["persons"]) if "persons" in arrays else 0
            young, person = networks[: len(networks) - persons], networks[len(networks) - persons :]
            return PhotoModel(young, float(arrays["slope"]), float(arrays["offset"]), person)
    except FileNotFoundError as error:
        raise WeightsError(f"{path}: the photo rule's weights are missing; install imgsearch-cli again") from error
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise WeightsError(f"{path}: damaged; install imgsearch-cli again") from error


def _network(arrays: Any, number: int) -> Network:
    count = int(arrays[f"layers_{number}"])
    names = [(f"weights_{number}_{layer}", f"bias_{number}_{layer}") for layer in range(count)]
    return Network(
        tuple((arrays[weights].astype(np.float32), arrays[bias].astype(np.float32)) for weights, bias in names)
    )


def save_model(model: PhotoModel, folder: Path) -> None:
    """Write the model's arrays into `folder`, weights as float16 (which moves no probability by more than 0.002)."""
    networks = (*model.networks, *model.person)
    arrays: dict[str, Any] = {"networks": len(networks), "slope": model.slope, "offset": model.offset}
    if model.person:
        arrays["persons"] = len(model.person)
    for number, network in enumerate(networks):
        arrays[f"layers_{number}"] = len(network.layers)
        for layer, (weights, bias) in enumerate(network.layers):
            arrays[f"weights_{number}_{layer}"] = weights.astype(np.float16)
            arrays[f"bias_{number}_{layer}"] = bias.astype(np.float32)
    np.savez(folder / ARRAYS_FILE, **arrays)


def recall_and_precision(
    probabilities: Floats, labels: Sequence[bool] | NDArray[np.bool_], threshold: float
) -> tuple[float, float]:
    """Return recall and precision of withholding from `threshold` upwards; nan where there is nothing to divide by."""
    withheld, truth = probabilities >= threshold, np.asarray(labels, bool)
    hits = float(np.sum(withheld & truth))
    return hits / max(float(truth.sum()), 1e-9), hits / max(float(withheld.sum()), 1e-9)
