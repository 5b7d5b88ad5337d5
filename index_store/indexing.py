"""Bring a store in line with the photos on the disk: find, plan, decode ahead, encode, judge, write."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

from index_store.compliance.decisions import Decision, overrule
from index_store.decoding import decode_ahead
from index_store.errors import PhotoUnreadableError, UsageError
from index_store.finding import Found, find_photos
from index_store.machine import usable_cores
from index_store.planning import EncodingJob, IndexPlan, Reuse, lies_below, plan_changes
from index_store.records import FindOptions, IndexedRoot, IndexReport, OpenedPhoto, Skipped, StoredPhoto, Verdict
from index_store.store import ImageStore

if TYPE_CHECKING:
    from index_store.encoders.protocols import Embeddings, PhotoEncoder, PhotoInput

Judge = Callable[["Embeddings"], Sequence[Verdict]]
"""The compliance rule for photos: one verdict for each embedding, in order."""

Progress = Callable[[int, int], None]
"""Called with the number of photos done and the number in all."""

_Judged = tuple["Embeddings", Sequence[Verdict]]

BATCH_PER_CORE = 8
"""Photos encoded at once, for each core: two runs of the photo tower."""

MAX_BATCH = 64
"""The most photos encoded at once: three such batches of 320 x 320 pixels are 60 MB."""

BATCHES_AHEAD = 2
"""Batches that are given to the encoder while rows are written, so that neither waits for the other."""

JUDGED_AT_ONCE = 1024
"""Embeddings judged at once when the policy has changed."""

WRITE_SIZE = 256
"""Photos written at once. A run that is killed loses at most these and what is being encoded."""


@dataclass(frozen=True, slots=True)
class IndexOptions:
    """How an index run goes about its work; `workers` decode photos ahead of the encoder, by default one for a core."""

    workers: int | None = None
    prune_empty: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """A folder or file to index, as an absolute path, and how photos are looked for in it.

    `name` is the name by which other machines know the folder, if it has one.
    """

    path: str
    find: FindOptions = FindOptions()  # noqa: RUF009  (frozen)
    name: str = ""


@dataclass(frozen=True, slots=True)
class _Decoded:
    job: EncodingJob
    photo: OpenedPhoto


@dataclass(frozen=True, slots=True)
class IndexModels:
    """What photos are indexed with. The two loaders are called only when a photo has to be embedded.

    `decisions` are those by hand that stand, by content hash.
    """

    photo_input: PhotoInput
    load_encoder: Callable[[], PhotoEncoder]
    load_judge: Callable[[], Judge]
    decisions: Mapping[str, Decision] = field(default_factory=dict)


def index_photos(
    places: Sequence[Place],
    store: ImageStore,
    models: IndexModels,
    options: IndexOptions | None = None,
    progress: Progress = lambda done, total: None,
) -> IndexReport:
    """Index the photos below `places` and forget those that are gone from there.

    A run over unchanged folders loads no model. A photo that cannot be read is skipped and reported; a batch is
    written whole or not at all.

    Raises:
        UsageError: a place does not exist, holds no photos, or holds none any more where some were indexed.
        StoreError: the store cannot be written.
    """
    options = options or IndexOptions()
    started = time.monotonic()
    found, plan = plan_run(places, store.photos(), options)
    _remember_roots(store, places, found)
    report = apply_plan(plan, store, models, options, progress)
    return replace(report, seconds=time.monotonic() - started)


def plan_run(places: Sequence[Place], photos: Iterable[StoredPhoto], options: IndexOptions) -> tuple[Found, IndexPlan]:
    """Find the photos below `places` and plan how the stored `photos` have to change; nothing is written.

    Raises:
        UsageError: as `index_photos` does.
    """
    paths = [place.path for place in places]
    found = _find_all(places)
    stored = {photo.image_id: photo for photo in photos}
    _refuse_vanished(paths, found, stored, options)
    return found, plan_changes(found, stored, paths)


def _find_all(places: Sequence[Place]) -> Found:
    """Find the photos below several places, each photo once."""
    missing = [place.path for place in places if not os.path.exists(place.path)]
    if missing:
        raise UsageError(f"{', '.join(missing)}: no such file or folder; nothing was indexed")
    together = Found()
    for place in places:
        found = find_photos(place.path, place.find)
        together.files += found.files
        together.skipped += found.skipped
        together.unreadable += found.unreadable
    together.files = sorted({photo.image_id: photo for photo in together.files}.values(), key=lambda p: p.image_id)
    together.skipped = list(dict.fromkeys(together.skipped))
    return together


def apply_plan(
    plan: IndexPlan, store: ImageStore, models: IndexModels, options: IndexOptions, progress: Progress
) -> IndexReport:
    """Do what a plan says: first what needs no encoder, then the rest in batches, deletions last."""
    _reuse(store, plan.reused)
    store.update([replace(reuse.source, file=reuse.file) for reuse in plan.touched])
    writer = _Writer(store, models)
    skipped, spoiled = list(plan.skipped), set[str]()
    total = len(plan.jobs)
    with (
        closing(decode_ahead(plan.jobs, models.photo_input, options.workers or usable_cores())) as decoded,
        writer,
    ):
        for done, (job, outcome) in enumerate(decoded, start=1):
            if isinstance(outcome, OpenedPhoto):
                writer.add(_Decoded(job, outcome))
            else:
                skipped += [Skipped(file.image_id, str(outcome)) for file in job.files]
                if not isinstance(outcome, PhotoUnreadableError):
                    # what is stored shows another picture than the file does now
                    spoiled.update(file.image_id for file in job.files if file.image_id in plan.changed)
            progress(done, total)
        writer.finish()
    store.delete(sorted(plan.removed | spoiled))
    lost = {skip.path for skip in skipped}
    return IndexReport(
        added=len(plan.added - lost),
        changed=len(plan.changed - lost),
        moved=len(plan.moved),
        touched=len(plan.touched),
        unchanged=plan.unchanged,
        removed=len(plan.removed) - len(plan.moved) + len(spoiled),
        encoded=writer.encoded,
        skipped=tuple(sorted(skipped, key=lambda skip: skip.path or "")),
    )


def batch_size() -> int:
    """Return how many photos are given to the encoder at once on this machine."""
    return min(MAX_BATCH, BATCH_PER_CORE * usable_cores())


class _Writer:
    """Collects decoded photos, has them encoded and judged in batches, and writes the rows in larger ones.

    The encoder works in a thread of its own, so that Chroma writes meanwhile.
    """

    def __init__(self, store: ImageStore, models: IndexModels) -> None:
        self._store = store
        self._models = models
        self._loaded: tuple[PhotoEncoder, Judge] | None = None
        self._batch_size = batch_size()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="encode")
        self._waiting: list[_Decoded] = []
        self._encoding: deque[tuple[list[_Decoded], Future[_Judged]]] = deque()
        self._rows: list[tuple[StoredPhoto, Embeddings]] = []
        self.encoded = 0

    def add(self, photo: _Decoded) -> None:
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

    def __enter__(self) -> _Writer:
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

    def _encode(self, batch: Sequence[_Decoded]) -> _Judged:
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

    def _rows_of(self, decoded: _Decoded, verdict: Verdict) -> list[StoredPhoto]:
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


def _reuse(store: ImageStore, reused: Sequence[Reuse]) -> None:
    """Write rows for files whose content is stored; all sources are read first, since files may have swapped names."""
    if not reused:
        return
    embeddings = store.embeddings(sorted({reuse.source.image_id for reuse in reused}))
    rows = [replace(reuse.source, file=reuse.file) for reuse in reused]
    store.upsert(rows, np.stack([embeddings[reuse.source.image_id] for reuse in reused]))


def rejudge(store: ImageStore, rule: str, policy: str, models: IndexModels) -> int:
    """Judge anew, from their stored embeddings, the photos that another rule or another policy judged; return how many.

    No photo is opened. Decisions by hand stand.
    """
    outdated = store.judged_otherwise(rule, policy)
    judge = models.load_judge() if outdated else None
    for start in range(0, len(outdated), JUDGED_AT_ONCE):
        batch = outdated[start : start + JUDGED_AT_ONCE]
        embeddings = store.embeddings([photo.image_id for photo in batch])
        assert judge is not None
        verdicts = judge(np.stack([embeddings[photo.image_id] for photo in batch]))
        store.update([replace(photo, verdict=verdict) for photo, verdict in zip(batch, verdicts, strict=True)])
    return len(outdated)


def _refuse_vanished(paths: Sequence[str], found: Found, stored: dict[str, StoredPhoto], options: IndexOptions) -> None:
    """Stop before a folder that is not mounted is taken for one whose photos were deleted."""
    for path in paths:
        if any(lies_below(photo.image_id, path) for photo in found.files):
            continue
        before = sum(lies_below(image_id, path) for image_id in stored)
        if before and not options.prune_empty:
            raise UsageError(
                f"{path}: holds no photo, and {before} from there are indexed; if it is not mounted, mount it; "
                "if they are to be forgotten, say --prune-empty; nothing was changed"
            )
        if not before and not found.skipped:
            raise UsageError(f"{path}: no photos found (jpg, png, webp, bmp, gif, tiff); nothing was indexed")


def _remember_roots(store: ImageStore, places: Sequence[Place], found: Found) -> None:
    known = store.roots()
    now = datetime.now(UTC).isoformat(timespec="seconds")
    for place in places:
        if any(place.path != root.path and lies_below(place.path, root.path) for root in known):
            continue  # part of a root that is known; it is refreshed with it
        for inner in known:
            if inner.path != place.path and lies_below(inner.path, place.path):
                store.drop_root(inner)
        photos = sum(lies_below(photo.image_id, place.path) for photo in found.files)
        store.set_root(IndexedRoot(place.path, now, photos, place.find, place.name))
