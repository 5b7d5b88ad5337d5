"""Find the models that belong to an encoder: its reranker and its rule for photos; standard library only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from index_store.encoders.cards import CARD_FILE
from index_store.encoders.registry import DEFAULT_ENCODER, EncoderCard, encoder_card, stored_card
from index_store.errors import EncoderError, WeightsError
from index_store.user_text import read_json

RERANKER = "reranker"
PHOTO_RULE = "minors"
"""The folders of the two kinds, below the shipped weights and below an encoder's own folder."""

SHIPPED = Path(__file__).parent.parent / "weights"


def find_model(kind: str, encoder_name: str, named: str | None = None) -> Path | None:
    """Return the folder of the encoder's reranker or rule, or None where none belongs to it.

    What ships comes first, then what lies in the encoder's own folder. `named` is how the user named the encoder, which
    for a folder is the only way to find it.
    """
    shipped = encoder_card(DEFAULT_ENCODER)
    card = shipped if named is None and encoder_name == shipped.name else _card(encoder_name, named)
    # an encoder with the photo tower that ships has its name, and perhaps a text tower of its own
    if encoder_name == shipped.name and (kind == PHOTO_RULE or card is None or card.towers == shipped.towers):
        return SHIPPED / kind  # also where it is damaged: opening it says so
    if card is None or card.name != encoder_name:
        return None
    folder = card.folder / kind
    if not (folder / CARD_FILE).is_file():
        return None
    if pipe := next((path for path in folder.iterdir() if not path.is_file() and not path.is_dir()), None):
        raise WeightsError(f"{pipe}: is no plain file; nothing in this folder was read")  # to open it would wait
    return folder


def belongs_to(folder: Path) -> Any:
    """Return the encoder that a model says it belongs to, None where it cannot be read.

    A rule for photos names the encoder, a reranker both of its towers.
    """
    try:
        content = read_json(folder / CARD_FILE)
    except (OSError, ValueError):
        return None
    return content.get("encoder") if isinstance(content, dict) else None


def towers_of(encoder_name: str, named: str | None = None) -> str:
    """Return the name of both towers of an encoder that a store names; just its name where it is not known here."""
    card = _card(encoder_name, named)
    return card.towers if card is not None and card.name == encoder_name else encoder_name


def training_advice(kind: str, card: EncoderCard, named: str) -> str:
    """Return the command that makes a missing companion where it will be found."""
    return f"imgsearch train {kind} DATA --encoder {named} --output {card.folder / kind}"


def _card(encoder_name: str, named: str | None) -> EncoderCard | None:
    try:
        return encoder_card(named) if named else stored_card(encoder_name)
    except (EncoderError, WeightsError):
        return None  # an encoder in a folder that was not named, or one that was fetched on another machine
