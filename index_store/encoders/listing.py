"""List the encoders that can be used here, and what is missing for the others; loads none of them."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass

from index_store.encoders.cards import SENTENCE_CLIP
from index_store.encoders.encoder_models import PHOTO_RULE, RERANKER, belongs_to, find_model
from index_store.encoders.registry import DEFAULT_ENCODER, EncoderCard, encoder_card
from index_store.encoders.sentence_cards import HUB_NAMES, cached_hub_names, find_hub_card
from index_store.errors import EncoderError, WeightsError

_NEEDED = ("sentence_transformers", "torch")


@dataclass(frozen=True, slots=True)
class ListedEncoder:
    """An encoder as the list shows it: `encoder` is what --encoder takes, `name` what stores call it.

    `missing` says what to do before it can be used, and is empty where nothing is missing. Without a reranker scores
    are bare similarities. `photo_rule` is a rule of its own, besides the one that ships, which judges all photos.
    """

    encoder: str
    kind: str
    name: str | None = None
    dimension: int | None = None
    reranker: bool = False
    photo_rule: bool = False
    missing: str = ""

    @property
    def usable(self) -> bool:
        """Whether it can be used here and now."""
        return not self.missing


def list_encoders(folders: Sequence[str] = ()) -> list[ListedEncoder]:
    """Return the encoder that ships, those in `folders`, those in the hub's local cache, and well-known other ones."""
    listed = [_listed(DEFAULT_ENCODER, "ships")]
    listed += [_listed(folder, "folder") for folder in folders]
    return listed + [_listed(name, "hub") for name in dict.fromkeys((*HUB_NAMES, *cached_hub_names()))]


def _listed(encoder: str, kind: str) -> ListedEncoder:
    try:
        if kind == "hub" and find_hub_card(encoder) is None:
            return ListedEncoder(encoder, kind, missing=f"imgsearch encoders --fetch {encoder}")
        card = encoder_card(encoder)
    except (EncoderError, WeightsError) as error:
        return ListedEncoder(encoder, kind, missing=str(error).removesuffix("; nothing was changed"))
    return ListedEncoder(
        encoder,
        kind,
        card.name,
        card.dimension,
        _has(RERANKER, card, encoder),
        _has(PHOTO_RULE, card, encoder),
        _lacking(card),
    )


def _has(kind: str, card: EncoderCard, encoder: str) -> bool:
    folder = find_model(kind, card.name, encoder)
    return folder is not None and belongs_to(folder) in (card.name, card.towers)


def _lacking(card: EncoderCard) -> str:
    if card.kind != SENTENCE_CLIP:
        return ""
    lacking = [name.replace("_", "-") for name in _NEEDED if importlib.util.find_spec(name) is None]
    return f"pip install {' '.join(lacking)}" if lacking else ""
