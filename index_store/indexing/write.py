"""Encode, judge and write decoded photos: in batches for the encoder, and larger ones for Chroma."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from index_store.compliance.decisions import HandDecisions
from index_store.compliance.looks import THRESHOLD
from index_store.compliance.towers import Judge, Seen, ShippedTower, Towers, shipped_tower
from index_store.encoders.registry import EncoderCard, load_photo_encoder
from index_store.machine import usable_cores
from index_store.records import EncodingJob, OpenedPhoto, PhotoFile, StoredPhoto, Verdict
from index_store.store.image_store import ImageStore

if TYPE_CHECKING:
    from index_store.compliance.choose_photo_rule import PhotoRules
    from index_store.encoders.protocols import PhotoEncoder
    from index_store.records import Embedding, PhotoInput

_LOG = logging.getLogger(__name__)


BATCH_PER_CORE = 8
"""Photos encoded at once, for each core: two runs of the photo tower."""

MAX_BATCH = 64
"""The most photos encoded at once: three such batches of 320 x 320 pixels are 60 MB."""

BATCHES_AHEAD = 2
"""Batches that are given to the encoder while rows are written, so that neither waits for the other."""

WRITE_SIZE = 256
"""Photos written at once. A run that is killed loses at most these and what is being encoded."""


@dataclass(frozen=True, slots=True)
class IndexModels:
    """What photos are indexed with. The loaders are called only when a photo has to be embedded.

    `load_judge` is None where no rule belongs to the encoder itself; then there is `shipped`. `decisions` are those by
    hand that stand; `threshold` is the policy's, near which a photo is looked at again.
    """

    photo_input: PhotoInput
    load_encoder: Callable[[], PhotoEncoder]
    load_judge: Callable[[], Judge] | None
    decisions: HandDecisions = field(default_factory=HandDecisions)
    threshold: float = THRESHOLD
    shipped: ShippedTower | None = None

    @property
    def wanted(self) -> PhotoInput:
        """How photos are decoded: once, for both towers."""
        return self.photo_input if self.shipped is None else self.photo_input.joined_with(self.shipped.photo_input)

    def has_seen(self, photo: StoredPhoto) -> bool:
        """Whether the tower that ships has seen a photo, where it has to."""
        return self.shipped is None or self.shipped.has_seen(photo.shipped_vector)


def index_models(
    card: EncoderCard, rules: PhotoRules, decisions: HandDecisions, threshold: float, device: str | None = None
) -> IndexModels:
    """Return what photos are indexed with: an encoder, and the rules for its photos; nothing is opened yet."""
    own = None if rules.own is None else rules.own.load
    load_encoder = partial(load_photo_encoder, card, device=device)
    return IndexModels(card.photo_input, load_encoder, own, decisions, threshold, shipped_tower(rules, device))


CHANGED_MEANWHILE = "changed while it was indexed; the next run takes it up"


@dataclass(frozen=True, slots=True)
class Decoded:
    """A decoded photo, and the files that hold it, each with its fingerprint and the content hash."""

    photo: OpenedPhoto
    files: tuple[PhotoFile, ...]

    @staticmethod
    def of(job: EncodingJob, photo: OpenedPhoto) -> Decoded:
        """Join a job with what was decoded for it.

        The content is that which was decoded: a hash that was taken before says nothing of a file that has changed
        since, and then nothing of its copies.
        """
        content = photo.file.content_hash
        read = replace(job.file, size_bytes=photo.file.size_bytes, mtime_ns=photo.file.mtime_ns, content_hash=content)
        return Decoded(photo, (read, *(copy for copy in job.copies if copy.content_hash == content)))


def batch_size() -> int:
    """Return how many photos are given to the encoder at once on this machine."""
    return min(MAX_BATCH, BATCH_PER_CORE * usable_cores())


class RowWriter:
    """Collects decoded photos, has them encoded and judged in batches, and writes the rows in larger ones.

    The encoder works in a thread of its own, so that Chroma writes meanwhile.
    """

    def __init__(self, store: ImageStore, models: IndexModels) -> None:
        """Write to `store`; the models are loaded with the first batch."""
        self._store = store
        self._models = models
        self._towers: Towers | None = None
        self._batch_size = batch_size()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="encode")
        self._waiting: list[Decoded] = []
        self._encoding: deque[tuple[list[Decoded], Future[Seen]]] = deque()
        self._rows: list[tuple[StoredPhoto, Embedding]] = []
        self.encoded = 0

    def add(self, photo: Decoded) -> None:
        """Take a photo; write when enough have come together.

        Raises:
            EncoderError, WeightsError: the models cannot be loaded.
            StoreError: the store cannot be written.
        """
        self._waiting.append(photo)
        if len(self._waiting) == self._batch_size:
            self._hand_over()
        while len(self._encoding) > BATCHES_AHEAD:
            self._collect()

    def finish(self) -> None:
        """Encode and write what is left."""
        self._hand_over()
        while self._encoding:
            self._collect()
        self._write()

    def __enter__(self) -> RowWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        """After an interruption, write only what has its embedding already, for a quick way out."""
        try:
            if kind is not None and not issubclass(kind, Exception):
                while self._encoding and _has_succeeded(self._encoding[0][1]):
                    self._collect()
                self._write()
        finally:
            self._thread.shutdown(wait=True, cancel_futures=True)

    def _hand_over(self) -> None:
        if self._waiting:
            batch, self._waiting = self._waiting, []
            self._encoding.append((batch, self._thread.submit(self._encode, batch)))

    def _encode(self, batch: Sequence[Decoded]) -> Seen:
        models = self._models
        if self._towers is None:
            self._towers = Towers(models.load_encoder, models.load_judge, models.threshold, models.shipped)
        return self._towers.look([decoded.photo for decoded in batch])

    def _collect(self) -> None:
        """Wait for the oldest batch, and write when enough rows have come together."""
        batch, future = self._encoding[0]
        rows = [
            (self._row_of(decoded, embedding, verdict, shipped), embedding)
            for decoded, embedding, verdict, shipped in zip(batch, *future.result(), strict=True)
        ]
        self._encoding.popleft()  # only now, and before its rows are taken: Ctrl-C may come between any two lines
        self._rows += rows
        self.encoded += len(batch)
        if len(self._rows) >= WRITE_SIZE:
            self._write()

    def _row_of(self, decoded: Decoded, embedding: Embedding, verdict: Verdict, shipped: str) -> StoredPhoto:
        photo, content = decoded.photo, decoded.photo.file.content_hash or ""
        holds = self._models.decisions.apply(content, embedding, verdict, shipped)
        if photo.faults and not holds.withholds_at(self._models.threshold):
            _LOG.info("%s: %s", photo.file.image_id, photo.faults)
        pictures = 1 + len(photo.frames) + photo.unseen
        size = photo.width, photo.height
        about = photo.taken or "", photo.camera
        row = StoredPhoto(content, decoded.files, *size, holds, *about, pictures, shipped_vector=shipped)
        return row.with_files(decoded.files)

    def _write(self) -> None:
        """Write the rows that have come together; one that another writer has written meanwhile keeps its files."""
        fresh: dict[str, tuple[StoredPhoto, Embedding]] = {}
        for row, embedding in self._rows:
            before = fresh.get(row.content_hash)
            fresh[row.content_hash] = row.with_files([*(before[0].files if before else ()), *row.files]), embedding
        if fresh:
            known = self._store.photos_of(list(fresh))
            rows = [
                row.with_files([*known[content].files, *row.files]) if content in known else row
                for content, (row, _) in fresh.items()
            ]
            self._store.upsert(rows, np.stack([embedding for _, embedding in fresh.values()]))
        self._rows.clear()


def _has_succeeded(future: Future[Seen]) -> bool:
    return future.done() and future.exception() is None
