"""Train what other languages need: the head, and the look at the embeddings that it gives; then measure refusals.

All is taught in English: the head learns to give, from what the multilingual tower says of a text, the embedding of
the shipped text tower, and the look learns from the same texts through the head. A language is searched only where
texts about children were refused often enough, and that is measured here, each time. Needs the extras `train` and
`languages`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from index_store.compliance.normalising import normalise
from index_store.compliance.policy import load_policy
from index_store.compliance.text_look import TextLook, load_text_look, save_text_look
from index_store.compliance.texts import TextRule
from index_store.encoders.languages.card import CARD_FILE, read_language_card
from index_store.encoders.languages.head import Head, head_version, load_head, save_head
from index_store.encoders.languages.wheel import WHEEL
from index_store.encoders.registry import encoder_card, load_text_encoder
from index_store.training.data.vectors import VectorCache
from index_store.training.languages.fitting import HeadFit, fit_head
from index_store.training.languages.refusals import measure_refusals
from index_store.training.languages.texts import english_texts
from index_store.training.photo_rule.fitting import NetworkFit, fit_network
from index_store.training.text_look.train import read_examples

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from index_store.encoders.languages.tower import SentenceTower

    Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class LanguageTraining:
    """Everything that decides how head and look come out; saved in their card.

    `least_probability` is the network's own probability that becomes the policy's threshold for texts: lower than that
    threshold, because through the head texts about children look less like such. At .35, 19 in place of 12 of 133
    harmless Russian texts were refused, for one more of 183 about children.
    """

    head: HeadFit = field(default_factory=HeadFit)
    look: NetworkFit = field(default_factory=lambda: NetworkFit(48, 0.1, 0.3, epochs=6, batch=256))
    example_weight: int = 4
    least_probability: float = 0.52
    seed: int = 0


@dataclass(frozen=True, slots=True)
class LanguageRow:
    """How one language's texts were judged: counts, and whether it is searched."""

    language: str
    sentences: int
    sentences_refused: int
    short: int
    short_refused: int
    others: int
    others_refused: int
    searched: bool


@dataclass(frozen=True, slots=True)
class LanguageReport:
    """What training found; `cosine` is the mean over the texts that were learned."""

    version: str
    encoder: str
    texts: int
    cosine: float
    rows: tuple[LanguageRow, ...]


def train_languages(
    folders: Sequence[Path], output: Path, config: LanguageTraining | None = None, cache: VectorCache | None = None
) -> LanguageReport:
    """Train head and look for the encoder that ships on the captions of folders, and save them in `output`.

    Raises:
        DataError: captions cannot be read.
        MissingExtraError: the extra `languages` is not installed.
    """
    from index_store.encoders.languages.tower import SentenceTower  # late: the extra may be missing

    config, cache, policy = config or LanguageTraining(), cache or VectorCache(), load_policy()
    texts = english_texts(folders, policy, config.seed)
    encoder = encoder_card().towers
    tower = SentenceTower()
    rows = cache.texts(WHEEL, texts, lambda: tower.encode)
    targets = cache.texts(encoder, texts, lambda: load_text_encoder().encode_texts)
    output.mkdir(parents=True, exist_ok=True)
    save_head(fit_head(rows, targets, config.head, config.seed), output)
    head = load_head(output, targets.shape[1])  # as it will be used, in half precision
    found = head.embeddings(rows)
    rule = TextRule(policy)
    save_text_look(_fitted_look(found, texts, rule, config), output)
    report = _measured(tower, head, output, rule, policy.text_threshold)
    card = {
        "version": head_version(output),
        "encoder": encoder,
        "tower": WHEEL,
        "training": asdict(config),
        "data": {"texts": len(texts), "folders": [folder.name for folder in folders]},
        "cosine": round(float((found * targets).sum(axis=1).mean()), 4),
        "refusals": report,
        "licence": "Apache-2.0; trained on captions of Flickr8k and others (research and education), English alone",
    }
    (output / CARD_FILE).write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
    searched = {code for code, each in read_language_card(encoder, output).items() if each.searched}
    lines = tuple(LanguageRow(code, **counts, searched=code in searched) for code, counts in report.items())
    return LanguageReport(head_version(output), encoder, len(texts), float(str(card["cosine"])), lines)


def _fitted_look(rows: Floats, texts: Sequence[str], rule: TextRule, config: LanguageTraining) -> TextLook:
    """Return the look at the head's embeddings; texts are labelled by the policy's words, examples by hand."""
    known = {normalise(text).text: withheld for text, withheld in read_examples()}
    labels = [known[text] if text in known else rule.check(text).withheld for text in texts]
    counts = [config.example_weight if text in known else 1 for text in texts]
    chosen = np.repeat(np.arange(len(texts)), counts)
    network = fit_network(rows[chosen], np.array(labels, np.float32)[chosen], config.look, config.seed)
    (weights, bias), (out_weights, out_bias) = network.layers
    offset = _logit(rule.policy.text_threshold) - _logit(config.least_probability)
    return TextLook(weights, bias, out_weights, out_bias, 1.0, offset)


def _logit(probability: float) -> float:
    return math.log(probability / (1 - probability))


def _measured(
    tower: SentenceTower, head: Head, output: Path, rule: TextRule, threshold: float
) -> dict[str, dict[str, int]]:
    """Return how texts of each language are judged, words and look together, as a query is."""
    encoder = encoder_card().towers
    (output / CARD_FILE).write_text(json.dumps({"encoder": encoder}), encoding="utf-8")
    look = load_text_look(encoder, output)

    def refuses(text: str) -> bool:
        verdict = rule.check(text)
        if verdict.withheld or rule.misspelt(text):
            return True
        seen = text if verdict.rest_as_written is None else verdict.rest_as_written
        return bool(seen) and bool(look.probabilities(head.embeddings(tower.encode([seen])))[0] >= threshold)

    return {code: dict(counts) for code, counts in measure_refusals(refuses).items()}
