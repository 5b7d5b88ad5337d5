"""Turn a photo that a query gives into an embedding, unless the policy withholds it; nothing of it is stored."""

from __future__ import annotations

import os
from threading import Lock
from typing import TYPE_CHECKING

from index_store.compliance.choose_photo_rule import choose_photo_rules
from index_store.compliance.towers import ShippedTower, Towers, shipped_tower
from index_store.encoders.registry import EncoderCard, load_photo_encoder
from index_store.errors import DecoderError, PhotoError, UsageError
from index_store.once import once
from index_store.scratch import scratch_folder

if TYPE_CHECKING:
    from index_store.compliance.choose_photo_rule import PhotoRules
    from index_store.compliance.decisions import HandDecisions
    from index_store.compliance.policy import Policy
    from index_store.encoders.protocols import PhotoEncoder
    from index_store.photos.decoder_workers import Decoder
    from index_store.records import Embedding, OpenedPhoto, PhotoInput


class GivenPhotos:
    """Opens, encodes and judges photos as an index run does; several threads may ask at the same time."""

    def __init__(self, card: EncoderCard, policy: Policy, encoder_named: str | None, *, withhold: bool = True) -> None:
        """Take the card of the store's encoder, and how the user named it; without `withhold` none is judged."""
        self._card = card
        self._policy = policy
        self._named = encoder_named
        self._withhold = withhold
        self._decoding = Lock()

    def embedding(self, photo: str | bytes, decisions: HandDecisions) -> tuple[str, Embedding] | None:
        """Return the content hash and the embedding of a photo, None where it is withheld.

        `photo` is the path of a file, or the content of one; `decisions` are those by hand that stand.

        Raises:
            UsageError: it is no photo that can be opened.
            EncoderError, WeightsError: a model is missing or damaged.
        """
        opened = self._opened(photo)
        content = opened.file.content_hash or ""
        if not self._withhold:
            return content, self._encoder.encode_photos([opened.pixels])[0]
        seen = self._towers.look([opened])
        verdict = decisions.apply(content, seen.embeddings[0], seen.verdicts[0], seen.shipped_vectors[0])
        return None if verdict.withholds_at(self._policy.photo_threshold) else (content, seen.embeddings[0])

    def _opened(self, photo: str | bytes) -> OpenedPhoto:
        if isinstance(photo, str):
            return self._decoded(photo, photo)
        with scratch_folder() as folder:  # its owner's alone: the worker that decodes opens files
            path = os.path.join(folder, "photo")
            with open(path, "wb") as file:
                file.write(photo)
            return self._decoded(path, "the photo")

    def _decoded(self, path: str, name: str) -> OpenedPhoto:
        try:
            with self._decoding:
                return self._decoder.decode(path, self._wanted)
        except PhotoError as error:
            raise UsageError(f"{name}: {error}") from error
        except DecoderError as error:
            raise UsageError(f"{name}: cannot be decoded: {error}") from error

    @once
    def _decoder(self) -> Decoder:
        from index_store.photos.decoder_workers import Decoder

        return Decoder()

    @once
    def _encoder(self) -> PhotoEncoder:
        return load_photo_encoder(self._card)

    @once
    def _shipped(self) -> ShippedTower | None:
        """The tower that ships, where the rule that judges needs it."""
        return shipped_tower(self._rules)

    @once
    def _rules(self) -> PhotoRules:
        return choose_photo_rules(self._card, self._policy, named=self._named)

    @once
    def _wanted(self) -> PhotoInput:
        if not self._withhold or self._shipped is None:
            return self._card.photo_input
        return self._card.photo_input.joined_with(self._shipped.photo_input)

    @once
    def _towers(self) -> Towers:
        own = self._rules.own
        return Towers(lambda: self._encoder, own.load if own else None, self._policy.photo_threshold, self._shipped)
