"""Train the look at a text's embedding: captions labelled by the words of the policy, and example texts of our own.

The captions teach what texts about children look like; `examples.tsv` teaches what no list of words names, and,
with harmless twins, what only sounds like it. A tenth of the photos and a fifth of the examples are left out and
measured on. Needs the `train` extra (scikit-learn).
"""

from __future__ import annotations

import csv
import json
import zlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from index_store.compliance.normalising import normalise
from index_store.compliance.policy import load_policy
from index_store.compliance.text_look import ARRAYS_FILE, CARD_FILE, TextLook, load_text_look, save_text_look
from index_store.compliance.texts import TextRule
from index_store.encoders.registry import encoder_card
from index_store.errors import DataError, MissingExtraError
from index_store.training.data.captions import held_out, read_captions
from index_store.training.data.vectors import VectorCache, encoder_vectors
from index_store.training.photo_rule.fitting import NetworkFit, fit_network

try:
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]
except ImportError as error:
    raise MissingExtraError(
        "training the look at texts needs scikit-learn; pip install 'imgsearch-cli[train]'"
    ) from error

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Truth = NDArray[np.bool_]

EXAMPLES = Path(__file__).with_name("examples.tsv")
THRESHOLDS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class TextTraining:
    """Everything that decides how the look comes out; saved in its card.

    `example_weight`: how many times an example counts against a caption.
    """

    held_out_photos: float = 0.1
    held_out_examples: float = 0.2
    example_weight: int = 4
    fit: NetworkFit = field(default_factory=lambda: NetworkFit(48, 0.1, 0.3, epochs=6, batch=256))
    seed: int = 0


@dataclass(frozen=True, slots=True)
class LookRow:
    """What a threshold does on texts that were left out: both errors; None where there is nothing to divide by."""

    part: str
    threshold: float
    texts: int
    recall: float | None
    false_alarms: float | None


@dataclass(frozen=True, slots=True)
class TextLookReport:
    """What training found."""

    version: str
    encoder: str
    texts: int
    withheld: int
    rows: tuple[LookRow, ...]


@dataclass(frozen=True, slots=True)
class _Text:
    text: str
    withheld: bool
    part: str
    left_out: bool


def train_text_look(
    folders: Sequence[Path],
    output: Path,
    config: TextTraining | None = None,
    progress: Progress = lambda done, total: None,
) -> TextLookReport:
    """Train the look for the encoder that ships on the captions of folders and the examples, and save it in `output`.

    Raises:
        DataError: captions cannot be read, or too few of them speak, or do not speak, of children.
    """
    config = config or TextTraining()
    texts = [*_captions(folders, config, progress), *_examples(config)]
    rows = encoder_vectors(None, [(text.text, text.text) for text in texts], [], VectorCache())[0].rows
    truth = np.array([text.withheld for text in texts])
    left_out = np.array([text.left_out for text in texts])
    for truths, part in ((truth[left_out], "left out"), (truth[~left_out], "to train on")):
        if min(truths.sum(), (~truths).sum()) < 10:
            raise DataError(f"too few captions {part} with and without children: {truths.sum()} of {len(truths)}")
    look = _fitted(rows, truth, left_out, [text.part == EXAMPLES.name for text in texts], config)
    output.mkdir(parents=True, exist_ok=True)
    save_text_look(look, output)
    encoder = encoder_card().towers
    version = f"texts-{zlib.crc32((output / ARRAYS_FILE).read_bytes()):08x}"
    card: dict[str, object] = {"version": version, "encoder": encoder, "training": asdict(config)}
    (output / CARD_FILE).write_text(json.dumps(card), encoding="utf-8")
    found = load_text_look(encoder, output).probabilities(rows)
    measured = _measured(found, truth, left_out, [text.part for text in texts])
    report = TextLookReport(version, encoder, len(texts), int(truth.sum()), tuple(measured))
    card |= {
        "data": {"texts": report.texts, "withheld": report.withheld},
        "left_out": [asdict(row) for row in measured],
    }
    card["licence"] = "Apache-2.0; trained on captions of Flickr8k and others (research and education)"
    (output / CARD_FILE).write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
    return report


def read_examples(path: Path = EXAMPLES) -> list[tuple[str, bool]]:
    """Return the example texts, each with whether it speaks of a child."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        return [(row["text"], row["withheld"] == "1") for row in rows]


def _captions(folders: Sequence[Path], config: TextTraining, progress: Progress) -> list[_Text]:
    rule = TextRule(load_policy())
    found: dict[str, _Text] = {}
    photos = [(folder.name, photo) for folder in folders for photo in read_captions(folder)]
    for done, (part, photo) in enumerate(photos, start=1):
        left_out = held_out(photo.image, config.held_out_photos)
        for caption in photo.captions:
            text = normalise(caption).text
            if text not in found:
                found[text] = _Text(text, rule.check(text).withheld, part, left_out)
        progress(done, len(photos))
    return list(found.values())


def _examples(config: TextTraining) -> list[_Text]:
    return [
        _Text(normalise(text).text, withheld, EXAMPLES.name, held_out(text, config.held_out_examples))
        for text, withheld in read_examples(EXAMPLES)
    ]


def _fitted(rows: Floats, truth: Truth, left_out: Truth, is_example: Sequence[bool], config: TextTraining) -> TextLook:
    counts = np.where(is_example, config.example_weight, 1)
    chosen = np.repeat(np.flatnonzero(~left_out), counts[~left_out])
    with threadpool_limits(1):  # small matrices: on a busy machine several threads wait for each other
        network = fit_network(rows[chosen], truth[chosen].astype(np.float32), config.fit, config.seed)
        logits = network.logits(rows[left_out])
        fitted = LogisticRegression(C=1e6).fit(logits[:, None], truth[left_out])
    (weights, bias), (out_weights, out_bias) = network.layers
    return TextLook(weights, bias, out_weights, out_bias, float(fitted.coef_[0, 0]), float(fitted.intercept_[0]))


def _measured(found: Floats, truth: Truth, left_out: Truth, parts: Sequence[str]) -> list[LookRow]:
    rows = []
    for part in dict.fromkeys(parts):
        here = left_out & np.array([each == part for each in parts])
        child, harmless = found[here & truth], found[here & ~truth]
        for threshold in THRESHOLDS:
            recall = round(float(np.mean(child >= threshold)), 4) if len(child) else None
            alarms = round(float(np.mean(harmless >= threshold)), 4) if len(harmless) else None
            rows.append(LookRow(part, threshold, int(here.sum()), recall, alarms))
    return rows
