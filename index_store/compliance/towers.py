"""Look at photos with every tower that has to see them: the encoder's own, and the one that ships."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from index_store.compliance.looks import judge_looks
from index_store.compliance.shipped_vectors import pack_shipped, unpack_shipped
from index_store.encoders.registry import encoder_card, load_photo_encoder
from index_store.records import OpenedPhoto, Verdict

if TYPE_CHECKING:
    from index_store.compliance.choose_photo_rule import PhotoRules
    from index_store.encoders.protocols import Embeddings, PhotoEncoder
    from index_store.records import PhotoInput

Judge = Callable[["Embeddings"], Sequence[Verdict]]
"""A compliance rule for photos: one verdict for each embedding, in order."""


class Seen(NamedTuple):
    """What was seen of some photos: a row for each, in order.

    `shipped_vectors` are the packed embeddings by the tower that ships, "" where `embeddings` are these.
    """

    embeddings: Embeddings
    verdicts: Sequence[Verdict]
    shipped_vectors: Sequence[str]


@dataclass(frozen=True, slots=True)
class ShippedTower:
    """The tower that ships, where the encoder is another, and the rule that judges by it.

    `strictest` joins its verdict with that of the encoder's own rule.
    """

    name: str
    dimension: int
    photo_input: PhotoInput
    load_encoder: Callable[[], PhotoEncoder]
    load_judge: Callable[[], Judge]
    strictest: Callable[[Verdict, Verdict], Verdict]

    def has_seen(self, shipped_vector: str) -> bool:
        """Whether what a row keeps is an embedding by this tower."""
        return unpack_shipped(shipped_vector, self.name, self.dimension) is not None


def shipped_tower(rules: PhotoRules, device: str | None = None) -> ShippedTower | None:
    """Return the tower that ships where these rules need it; it is not opened yet."""
    if rules.shipped is None:
        return None
    card = encoder_card()
    load = partial(load_photo_encoder, card, device=device)
    return ShippedTower(card.name, card.dimension, card.photo_input, load, rules.shipped.load, rules.strictest)


class Towers:
    """The opened towers and rules: they embed and judge photos."""

    def __init__(
        self,
        load_encoder: Callable[[], PhotoEncoder],
        load_judge: Callable[[], Judge] | None,
        threshold: float,
        shipped: ShippedTower | None = None,
    ) -> None:
        """Open all of them; `load_judge` is None where no rule belongs to the encoder, and then there is `shipped`.

        Raises:
            EncoderError, WeightsError: one cannot be opened.
        """
        self._threshold = threshold
        self._encoder = load_encoder()
        self._judge = load_judge and load_judge()
        self._shipped = shipped
        if shipped is not None:
            self._shipped_encoder, self._shipped_judge = shipped.load_encoder(), shipped.load_judge()

    def look(self, photos: Sequence[OpenedPhoto]) -> Seen:
        """Embed and judge photos that were decoded for all towers: see `PhotoInput.joined_with`."""
        if self._shipped is None:
            assert self._judge is not None
            return Seen(*judge_looks(self._encoder, self._judge, photos, self._threshold), [""] * len(photos))
        seen = [photo.in_second_form() for photo in photos]
        rows, verdicts = judge_looks(self._shipped_encoder, self._shipped_judge, seen, self._threshold)
        if self._judge is None:
            embeddings, own = self._encoder.encode_photos([photo.pixels for photo in photos]), verdicts
        else:
            embeddings, own = judge_looks(self._encoder, self._judge, photos, self._threshold)
        strictest = [self._shipped.strictest(*pair) for pair in zip(verdicts, own, strict=True)]
        return Seen(embeddings, strictest, [pack_shipped(self._shipped_encoder.name, row) for row in rows])
