"""Read the card of the head for other languages: its encoder, and the languages that may be searched."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from index_store.errors import WeightsError
from index_store.user_text import read_json

SHIPPED_WEIGHTS = Path(__file__).parents[2] / "weights" / "languages"
CARD_FILE = "card.json"

LEAST_RECALL = 0.9
LEAST_SENTENCES, LEAST_SHORT = 60, 30
"""A language is searched only when at least that share of so many texts about children was refused, of each kind."""


@dataclass(frozen=True, slots=True)
class Refusals:
    """How texts about children in one language were judged: counts of texts, and of those that were refused."""

    sentences: int
    sentences_refused: int
    short: int
    short_refused: int

    @property
    def searched(self) -> bool:
        """Whether the language is safe enough to be searched."""
        return (
            self.sentences >= LEAST_SENTENCES
            and self.short >= LEAST_SHORT
            and self.sentences_refused >= LEAST_RECALL * self.sentences
            and self.short_refused >= LEAST_RECALL * self.short
        )


def read_language_card(encoder_name: str, folder: Path = SHIPPED_WEIGHTS) -> Mapping[str, Refusals]:
    """Return what was measured of each language, by its code.

    Raises:
        WeightsError: the card is missing or damaged, or belongs to another encoder.
    """
    path = folder / CARD_FILE
    try:
        card = read_json(path)
        owner = card["encoder"]
        measured = {
            str(code): Refusals(**{name: int(row[name]) for name in _COUNTS}) for code, row in card["refusals"].items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsError(f"{path}: missing or damaged; install imgsearch-cli again") from error
    if owner != encoder_name:
        raise WeightsError(
            f"{folder}: other languages were learned for the encoder {owner!r}, not {encoder_name!r}; "
            "learn them again with 'imgsearch train languages'"
        )
    return measured


_COUNTS = ("sentences", "sentences_refused", "short", "short_refused")
