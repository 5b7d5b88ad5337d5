"""Score candidates for a query, from 0 to 1, with the weights that training left; numpy only.

>>> reranker = load_reranker(encoder_card().towers)
>>> scores = reranker.score(query_embedding, photo_embeddings)
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from index_store.errors import WeightsError
from index_store.reranker.features import JOININGS, one_text_matching
from index_store.reranker.predictors import Curve, SavedPredictor, predictor_arrays, predictor_from_arrays
from index_store.reranker.short_queries import ShortQueryModel, short_query_model
from index_store.user_text import read_json

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Rows = NDArray[np.float32]

CARD_FILE = "card.json"
WEIGHTS_FILE = "reranker.npz"
SCHEMA = 1
_MOST_STEPS = 127
"""A signed byte counts so far."""

_SHIPPED = Path(__file__).parent.parent / "weights" / "reranker"
_REPAIR = "reinstall imgsearch-cli, or train one with `imgsearch train reranker`"


@dataclass(frozen=True, slots=True)
class Reranker:
    """A trained regressor with its calibration; immutable and safe to share.

    `min_score` is the score below which a photo is no match; `card` is what `card.json` says about it all. `short`
    scores queries of a few words, where there is one; between the two kinds a score is a mean of both.
    """

    joining: str
    learned: Mapping[str, Rows]
    predictor: SavedPredictor
    calibration: Curve
    encoder: str
    dimension: int
    version: str
    min_score: float
    card: Mapping[str, Any]
    short: ShortQueryModel | None = None

    def score(self, query_embedding: NDArray[np.float32], photo_embeddings: Rows) -> NDArray[np.float32]:
        """Return the calibrated score in [0, 1] of each photo, shape (n,); both inputs are unit rows of the encoder.

        Raises:
            WeightsError: the embeddings are of another length than those that the reranker was trained on.
        """
        self._check_dimension(query_embedding.shape[-1], photo_embeddings.shape[-1])
        if len(photo_embeddings) == 0:
            return np.zeros(0, dtype=np.float32)
        if self.short is None:
            return self._score_sentence(query_embedding, photo_embeddings)
        share = float(self.short.share(query_embedding[None])[0])
        if share == 0.0:
            return self._score_sentence(query_embedding, photo_embeddings)
        short = self.short.score(query_embedding[None], photo_embeddings)
        if share == 1.0:
            return short
        sentence = self._score_sentence(query_embedding, photo_embeddings)
        return np.asarray(share * short + (1 - share) * sentence, dtype=np.float32)

    def _score_sentence(self, query_embedding: NDArray[np.float32], photo_embeddings: Rows) -> NDArray[np.float32]:
        if self.joining == "matching":
            features = one_text_matching(query_embedding, photo_embeddings, self.learned)
        else:
            repeated = np.broadcast_to(query_embedding, (len(photo_embeddings), len(query_embedding)))
            features = JOININGS[self.joining](repeated, photo_embeddings, self.learned)
        return self.calibration.at(self.predictor.predict(features))

    def score_pairs(self, query_embeddings: Rows, photo_embeddings: Rows) -> NDArray[np.float32]:
        """Return the score of each pair of rows, shape (n,); the same as `score`, pair by pair."""
        self._check_dimension(query_embeddings.shape[-1], photo_embeddings.shape[-1])
        features = JOININGS[self.joining](query_embeddings, photo_embeddings, self.learned)
        scores = self.calibration.at(self.predictor.predict(features))
        if self.short is None or len(scores) == 0:
            return scores
        share = self.short.share(query_embeddings)
        return np.asarray(share * self.short.score(query_embeddings, photo_embeddings) + (1 - share) * scores)

    def _check_dimension(self, *lengths: int) -> None:
        for length in lengths:
            if length != self.dimension:
                raise WeightsError(
                    f"the reranker {self.version} wants embeddings of {self.dimension} numbers, these have {length}; "
                    f"it belongs to the encoder {self.encoder}"
                )


def load_reranker(towers: str, folder: Path | None = None) -> Reranker:
    """Open the reranker in `folder`, by default the one that ships, for the encoder with these `towers`.

    Raises:
        WeightsError: its files are missing or damaged, or it was trained on another encoder's embeddings.
    """
    reranker = read_reranker(folder or _SHIPPED)
    if reranker.encoder != towers:
        raise WeightsError(
            f"{folder or _SHIPPED}: the reranker was trained on the encoder {reranker.encoder}, not on {towers}; "
            f"train one with `imgsearch train reranker DATA --encoder ENCODER --output DIR`"
        )
    return reranker


def read_reranker(folder: Path) -> Reranker:
    """Open the reranker in `folder`, whichever encoder it belongs to; raise `WeightsError` where it is damaged."""
    card = _read_card(folder / CARD_FILE)
    path = folder / WEIGHTS_FILE
    try:
        data = path.read_bytes()
    except OSError as error:
        raise WeightsError(f"{path}: the weights are missing; {_REPAIR}") from error
    if hashlib.sha256(data).hexdigest() != card["sha256"]:
        raise WeightsError(f"{path}: is damaged or not the file that {CARD_FILE} describes; {_REPAIR}")
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            arrays = _widened({name: archive[name] for name in archive.files})
        return _reranker(card, arrays)
    except (KeyError, TypeError, ValueError, zipfile.BadZipFile) as error:
        raise WeightsError(f"{path}: is damaged ({type(error).__name__}: {error}); {_REPAIR}") from error


def write_reranker(folder: Path, reranker: Reranker) -> Reranker:
    """Write weights and card of `reranker` into `folder`, and return it as it will be read, with its version."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **_packed(reranker))  # type: ignore[arg-type]  # numpy's stub knows no **dict
    digest = hashlib.sha256(buffer.getvalue()).hexdigest()
    card = {
        "schema": SCHEMA,
        "version": f"{reranker.card.get('model', reranker.predictor.kind)}-{digest[:8]}",
        "encoder": reranker.encoder,
        "dimension": reranker.dimension,
        "joining": reranker.joining,
        "predictor": reranker.predictor.kind,
        "min_score": reranker.min_score,
        "sha256": digest,
        **{name: value for name, value in reranker.card.items() if name not in {"schema", "version", "sha256"}},
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / WEIGHTS_FILE).write_bytes(buffer.getvalue())
    (folder / CARD_FILE).write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return read_reranker(folder)


def _read_card(path: Path) -> dict[str, Any]:
    try:
        card = read_json(path)
    except OSError as error:
        raise WeightsError(f"{path}: the reranker's card is missing; {_REPAIR}") from error
    except ValueError as error:
        raise WeightsError(f"{path}: is damaged ({error}); {_REPAIR}") from error
    needed = ("schema", "version", "encoder", "dimension", "joining", "predictor", "min_score", "sha256")
    if not isinstance(card, dict) or any(name not in card for name in needed):
        raise WeightsError(f"{path}: is not a reranker's card; {_REPAIR}")
    if card["schema"] != SCHEMA or card["joining"] not in JOININGS:
        raise WeightsError(
            f"{path}: schema {card['schema']}, joining {card['joining']!r}: not of this version; {_REPAIR}"
        )
    return card


def _reranker(card: dict[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Reranker:
    def part(prefix: str) -> dict[str, NDArray[Any]]:
        return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}

    calibration = part("calibration.")
    return Reranker(
        joining=card["joining"],
        learned=part("learned."),
        predictor=predictor_from_arrays(card["predictor"], part("predictor.")),
        calibration=Curve(calibration["knots"], calibration["heights"]),
        encoder=str(card["encoder"]),
        dimension=int(card["dimension"]),
        version=str(card["version"]),
        min_score=float(card["min_score"]),
        card=card,
        short=short_query_model(part("short.")) if "short.learned.gate" in arrays else None,
    )


def _packed(reranker: Reranker) -> dict[str, NDArray[Any]]:
    """Return all arrays by name: what was learned in half precision, banks in bytes, which is exact enough for both.

    A bank's numbers are multiples of its `step`. Cosines with a bank are averaged, and errors of 1 in 1,000 with them.
    """
    arrays: dict[str, NDArray[Any]] = {f"learned.{name}": array for name, array in reranker.learned.items()}
    if reranker.short is not None:
        arrays |= {f"short.{name}": array for name, array in reranker.short.arrays().items()}
    packed = {name: array.astype(np.float16) if "learned." in name else array for name, array in arrays.items()}
    for name, array in arrays.items():
        if name.endswith("_bank") and array.size:
            step = max(float(np.abs(array).max()), 1e-9) / _MOST_STEPS
            packed[name] = np.round(array / step).astype(np.int8)
            packed[f"{name}.step"] = np.array(step, dtype=np.float32)
    packed |= {f"predictor.{name}": array for name, array in predictor_arrays(reranker.predictor).items()}
    return packed | {f"calibration.{name}": array for name, array in predictor_arrays(reranker.calibration).items()}


def _widened(arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Return the arrays in single precision, banks in bytes as what they stand for."""
    wide = {name: array.astype(np.float32) if array.dtype.kind == "f" else array for name, array in arrays.items()}
    steps = {name.removesuffix(".step"): step for name, step in wide.items() if name.endswith(".step")}
    wide |= {name: arrays[name].astype(np.float32) * step for name, step in steps.items()}
    return {name: array for name, array in wide.items() if not name.endswith(".step")}
