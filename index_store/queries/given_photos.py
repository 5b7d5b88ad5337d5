"""Turn a photo that a query gives into an embedding, unless the policy withholds it; nothing of it is stored."""

from __future__ import annotations

import os
from threading import Lock
from typing import TYPE_CHECKING

from index_store.compliance.choose_photo_rule import choose_photo_rule
from index_store.encoders.registry import EncoderCard, load_photo_encoder
from index_store.errors import DecoderError, PhotoError, UsageError
from index_store.once import once
from index_store.scratch import scratch_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from index_store.compliance.decisions import HandDecisions
    from index_store.compliance.policy import Policy
    from index_store.encoders.protocols import Embeddings, PhotoEncoder
    from index_store.photos.decode import Decoder
    from index_store.records import Embedding, OpenedPhoto, Verdict


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
        from index_store.compliance.looks import judge_looks

        threshold = self._policy.photo_threshold
        embeddings, verdicts = judge_looks(self._encoder, self._judge, [opened], threshold)
        verdict = decisions.apply(content, embeddings[0], verdicts[0])
        return None if verdict.withholds_at(threshold) else (content, embeddings[0])

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
                return self._decoder.decode(path, self._card.photo_input)
        except PhotoError as error:
            raise UsageError(f"{name}: {error}") from error
        except DecoderError as error:
            raise UsageError(f"{name}: cannot be decoded: {error}") from error

    @once
    def _decoder(self) -> Decoder:
        from index_store.photos.decode import Decoder

        return Decoder()

    @once
    def _encoder(self) -> PhotoEncoder:
        return load_photo_encoder(self._card)

    @once
    def _judge(self) -> Callable[[Embeddings], Sequence[Verdict]]:
        # an encoder without a rule: a photo that nobody allowed by hand is withheld, as those of the store are
        _, load = choose_photo_rule(self._card, self._policy, named=self._named, unjudged=not self._policy.mandatory)
        return load()
