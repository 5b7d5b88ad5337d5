"""A store that is opened when first needed, and the encoder that it was built with."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from index_store.encoders.registry import EncoderCard, encoder_card, stored_card
from index_store.once import once
from index_store.paths import named_store

if TYPE_CHECKING:
    from index_store.store.image_store import ImageStore


class OpenedStore:
    """Several threads may use it at the same time."""

    def __init__(self, store: str | os.PathLike[str] | None, encoder: str | None) -> None:
        """Name the store, by default the user's own, and the encoder, by default the one that the store was built with.

        Raises:
            EncoderError, WeightsError: there is no such encoder, or its card is damaged.
        """
        self.place = named_store(store)
        self.named_encoder = encoder
        self.named_card = encoder_card(encoder)
        self.shipped_card = encoder_card()

    @once
    def store(self) -> ImageStore:
        """The opened store."""
        from index_store.store.image_store import open_store

        card = self.named_card
        return open_store(self.place, self.named_encoder and card.name, preferred=card.name, read_only=True)

    @property
    def is_open(self) -> bool:
        """Whether the store has been opened."""
        return "store" in self.__dict__

    @once
    def card(self) -> EncoderCard:
        """The card of the encoder whose photos are searched."""
        name = self.store.manifest.encoder
        return self.named_card if self.named_card.name == name else stored_card(name)

    @property
    def has_shipped_texts(self) -> bool:
        """Whether the text tower that ships embeds the texts: an own one may share the photo tower and its name."""
        return self.card.towers == self.shipped_card.towers

    def close(self) -> None:
        """Close the store; the next use opens it again."""
        opened = vars(self).pop("store", None)
        if opened is not None:
            opened.close()
