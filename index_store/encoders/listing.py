"""List the encoders that can be used here, and what is missing for the others; loads none of them."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass, replace

from index_store.encoders.cards import SENTENCE_CLIP
from index_store.encoders.encoder_models import PHOTO_RULE, RERANKER, belongs_to, find_model
from index_store.encoders.published import PUBLISHED, Published
from index_store.encoders.registry import DEFAULT_ENCODER, EncoderCard, encoder_card
from index_store.encoders.sentence_cards import HUB_NAMES, cached_hub_names, find_hub_card
from index_store.errors import EncoderError, WeightsError

_NEEDED = ("sentence_transformers", "torch")


@dataclass(frozen=True, slots=True)
class ListedEncoder:
    """An encoder as the list shows it: `encoder` is what --encoder takes, `name` what stores call it.

    `missing` says what to do before it can be used, and is empty where nothing is missing. Without a reranker scores
    come by reference to the store's photos. `photo_rule` is a rule of its own, besides the one that ships, which judges
    all photos. `megabytes` are those of its weights, `published` what others measured of it, and `best` marks the one
    with the highest published recall among those that can be used, else the one that ships.
    """

    encoder: str
    kind: str
    name: str | None = None
    dimension: int | None = None
    reranker: bool = False
    photo_rule: bool = False
    missing: str = ""
    megabytes: int | None = None
    published: Published | None = None
    best: bool = False

    @property
    def usable(self) -> bool:
        """Whether it can be used here and now."""
        return not self.missing


def list_encoders(folders: Sequence[str] = ()) -> list[ListedEncoder]:
    """Return the encoder that ships, those in `folders`, those in the hub's local cache, and well-known other ones."""
    listed = [_listed(DEFAULT_ENCODER, "ships")]
    listed += [_listed(folder, "folder") for folder in folders]
    listed += [_listed(name, "hub") for name in dict.fromkeys((*HUB_NAMES, *cached_hub_names()))]
    best = max((encoder for encoder in listed if encoder.usable), key=_recall, default=None)  # of equal ones the first
    return [replace(encoder, best=encoder is best) for encoder in listed]


def _recall(encoder: ListedEncoder) -> float:
    return encoder.published.flickr30k if encoder.published else 0.0


def _listed(encoder: str, kind: str) -> ListedEncoder:
    known = PUBLISHED.get(encoder) if kind == "hub" else None
    unknown = ListedEncoder(encoder, kind, megabytes=known.megabytes if known else None, published=known)
    try:
        if kind == "hub" and find_hub_card(encoder) is None:
            return replace(unknown, missing=f"imgsearch encoders --fetch {encoder}")
        card = encoder_card(encoder)
    except (EncoderError, WeightsError) as error:
        return replace(unknown, missing=str(error).removesuffix("; nothing was changed"))
    return replace(
        unknown,
        name=card.name,
        dimension=card.dimension,
        reranker=_has(RERANKER, card, encoder),
        photo_rule=_has(PHOTO_RULE, card, encoder),
        missing=_lacking(card),
        megabytes=round(sum(card.file_bytes.values()) / 1e6),
    )


def _has(kind: str, card: EncoderCard, encoder: str) -> bool:
    folder = find_model(kind, card.name, encoder)
    return folder is not None and belongs_to(folder) in (card.name, card.towers)


def _lacking(card: EncoderCard) -> str:
    if card.kind != SENTENCE_CLIP:
        return ""
    lacking = [name.replace("_", "-") for name in _NEEDED if importlib.util.find_spec(name) is None]
    return f"pip install {' '.join(lacking)}" if lacking else ""
