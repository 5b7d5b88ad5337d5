"""Bring a store in line with the photos on the disk: find, plan, decode ahead, encode, judge, write."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

import numpy as np

from index_store.decoding import decode_ahead
from index_store.errors import PhotoUnreadableError
from index_store.machine import paused_collector, usable_cores
from index_store.planning import IndexPlan, Reuse, plan_changes
from index_store.records import IndexedRoot, IndexReport, OpenedPhoto, Skipped, StoredPhoto
from index_store.roots import Place, Survey, survey
from index_store.row_writer import Decoded, IndexModels, RowWriter
from index_store.store import ImageStore

Progress = Callable[[int, int], None]
"""Called with the number of photos done and the number in all."""

JUDGED_AT_ONCE = 1024
"""Embeddings judged at once when the policy has changed."""


@dataclass(frozen=True, slots=True)
class IndexOptions:
    """How an index run goes about its work; `workers` decode photos ahead of the encoder, by default one for a core."""

    workers: int | None = None
    prune_empty: bool = False


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
    seen, plan = plan_run(places, store.roots(), store.photos(), options)
    report = apply_plan(plan, store, models, options, progress)
    # a root that goes may have given its photos their names, so it goes after them
    for root in seen.to_drop:
        store.drop_root(root)
    for root in seen.to_set:
        store.set_root(root)
    return replace(report, seconds=time.monotonic() - started)


def plan_run(
    places: Sequence[Place], known: Sequence[IndexedRoot], photos: Iterable[StoredPhoto], options: IndexOptions
) -> tuple[Survey, IndexPlan]:
    """Find the photos below `places` and plan how the stored `photos` have to change; nothing is written.

    Raises:
        UsageError: as `index_photos` does.
    """
    with paused_collector():
        stored = {photo.image_id: photo for photo in photos}
        seen = survey(places, known, stored, prune_empty=options.prune_empty, file_of=lambda path: stored[path].file)
        return seen, plan_changes(seen.found, stored, seen.gone)


def apply_plan(
    plan: IndexPlan, store: ImageStore, models: IndexModels, options: IndexOptions, progress: Progress
) -> IndexReport:
    """Do what a plan says: first what needs no encoder, then the rest in batches, deletions last."""
    _reuse(store, plan.reused)
    store.update([replace(reuse.source, file=reuse.file) for reuse in plan.touched])
    writer = RowWriter(store, models)
    skipped, spoiled = list(plan.skipped), set[str]()
    total = len(plan.jobs)
    with (
        closing(decode_ahead(plan.jobs, models.photo_input, options.workers or usable_cores())) as decoded,
        writer,
    ):
        for done, (job, outcome) in enumerate(decoded, start=1):
            if isinstance(outcome, OpenedPhoto):
                writer.add(Decoded(job, outcome))
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
        passed_over=plan.passed_over,
    )


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
