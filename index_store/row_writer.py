"""Encode, judge and write decoded photos: in batches for the encoder, beside Chroma, which gets larger ones."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from index_store.compliance.decisions import Decision, overrule
from index_store.machine import usable_cores
from index_store.planning import EncodingJob
from index_store.records import OpenedPhoto, StoredPhoto, Verdict
from index_store.store import ImageStore

if TYPE_CHECKING:
    from index_store.encoders.protocols import Embeddings, PhotoEncoder, PhotoInput

Judge = Callable[["Embeddings"], Sequence[Verdict]]
"""The compliance rule for photos: one verdict for each embedding, in order."""

_Judged = tuple["Embeddings", Sequence[Verdict]]

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
    """What photos are indexed with. The two loaders are called only when a photo has to be embedded.

    `decisions` are those by hand that stand, by content hash.
    """

    photo_input: PhotoInput
    load_encoder: Callable[[], PhotoEncoder]
    load_judge: Callable[[], Judge]
    decisions: Mapping[str, Decision] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Decoded:
    """A decoded photo, and the files that hold it."""

    job: EncodingJob
    photo: OpenedPhoto


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
        self._loaded: tuple[PhotoEncoder, Judge] | None = None
        self._batch_size = batch_size()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="encode")
        self._waiting: list[Decoded] = []
        self._encoding: deque[tuple[list[Decoded], Future[_Judged]]] = deque()
        self._rows: list[tuple[StoredPhoto, Embeddings]] = []
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

    def _encode(self, batch: Sequence[Decoded]) -> _Judged:
        if self._loaded is None:
            self._loaded = self._models.load_encoder(), self._models.load_judge()
        encoder, judge = self._loaded
        embeddings = encoder.encode_photos([decoded.photo.pixels for decoded in batch])
        return embeddings, judge(embeddings)

    def _collect(self) -> None:
        """Wait for the oldest batch, and write when enough rows have come together."""
        batch, future = self._encoding[0]
        embeddings, verdicts = future.result()
        rows = [
            (row, embedding)
            for decoded, embedding, verdict in zip(batch, embeddings, verdicts, strict=True)
            for row in self._rows_of(decoded, verdict)
        ]
        self._encoding.popleft()  # only now, and before its rows are taken: Ctrl-C may come between any two lines
        self._rows += rows
        self.encoded += len(batch)
        if len(self._rows) >= WRITE_SIZE:
            self._write()

    def _rows_of(self, decoded: Decoded, verdict: Verdict) -> list[StoredPhoto]:
        """Return the rows of a photo and of its copies."""
        photo = decoded.photo
        content_hash = photo.file.content_hash
        holds = overrule(verdict, self._models.decisions.get(content_hash or ""))
        files = (photo.file, *decoded.job.copies)
        return [
            StoredPhoto(replace(file, content_hash=content_hash), photo.width, photo.height, holds) for file in files
        ]

    def _write(self) -> None:
        if self._rows:
            self._store.upsert([row for row, _ in self._rows], np.stack([embedding for _, embedding in self._rows]))
        self._rows.clear()


def _has_succeeded(future: Future[_Judged]) -> bool:
    return future.done() and future.exception() is None
