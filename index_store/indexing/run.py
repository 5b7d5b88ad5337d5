"""Bring a store in line with the photos on the disk: find, plan, decode ahead, encode, judge, write."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np

from index_store.compliance.decisions import HandDecisions
from index_store.indexing.cluster import RayOptions
from index_store.indexing.embed import Embedded, Progress, embed_photos
from index_store.indexing.plan import IndexPlan, plan_changes
from index_store.indexing.write import IndexModels
from index_store.machine import paused_collector, usable_workers
from index_store.photos.decoder_workers import Decoders
from index_store.photos.places import Place
from index_store.photos.survey import Survey, survey
from index_store.records import EncodingJob, IndexedRoot, IndexReport, PhotoFile, StoredPhoto, Verdict
from index_store.store.image_store import ImageStore

if TYPE_CHECKING:
    from index_store.encoders.protocols import Embeddings
    from index_store.records import Embedding

JUDGED_AT_ONCE = 1024
"""Embeddings judged at once when the policy has changed."""

_NEARBY = 200
"""Candidates among which the photos that look equal to a decided one are sought."""


@dataclass(frozen=True, slots=True)
class IndexOptions:
    """How an index run goes about its work.

    `workers` decode photos ahead of the encoder, by default one for a core; `rehash` reads every file, also those whose
    size and time have not changed. At most `most` contents are embedded, so that the store's lock is held for a while
    only; the report then says how many are left for the next run. With `ray` actors do the work, at most `workers`.
    """

    workers: int | None = None
    prune_empty: bool = False
    rehash: bool = False
    most: int | None = None
    ray: RayOptions | None = None


Embedder = Callable[[Sequence[EncodingJob], ImageStore, IndexModels, IndexOptions, Progress], Embedded]
"""What embeds and writes the photos of a plan's jobs."""


def index_photos(
    places: Sequence[Place],
    store: ImageStore,
    models: IndexModels,
    options: IndexOptions | None = None,
    progress: Progress = lambda done, total: None,
    embed: Embedder | None = None,
) -> IndexReport:
    """Index the photos below `places` and forget those that are gone from there.

    A run over unchanged folders loads no model. A photo that cannot be read is skipped and reported; a batch is
    written whole or not at all. `embed` does the work, by default this machine.

    Raises:
        UsageError: a place does not exist, holds no photos, or holds none any more where some were indexed.
        StoreError: the store cannot be written.
    """
    options = options or IndexOptions()
    started = time.monotonic()
    known = [root for root in store.roots() if root.trusted]
    seen, plan = plan_run(places, known, store.photos(), options, models.has_seen)
    plan, left = plan.first(options.most)
    store.set_roots(seen.to_set)  # first, so that a refresh completes a run that is interrupted
    report = apply_plan(plan, store, models, options, progress, embed or embed_here)
    store.drop_roots(seen.to_drop)  # last, since a root that goes may have given its photos their names
    return replace(report, left=left, seconds=time.monotonic() - started)


def plan_run(
    places: Sequence[Place],
    known: Sequence[IndexedRoot],
    photos: Iterable[StoredPhoto],
    options: IndexOptions,
    has_seen: Callable[[StoredPhoto], bool] = lambda photo: True,
) -> tuple[Survey, IndexPlan]:
    """Find the photos below `places` and plan how the stored `photos` have to change; nothing is written.

    Rows that the tower that ships has not seen, though it has to, are made again.

    Raises:
        UsageError: as `index_photos` does.
    """
    with paused_collector():
        stored = list(photos)
        files = {file.image_id: file for photo in stored for file in photo.files}
        seen = survey(places, known, files.keys(), prune_empty=options.prune_empty, file_of=files.__getitem__)
        again = {photo.content_hash for photo in stored if not has_seen(photo)}
        return seen, plan_changes(seen.found, stored, seen.gone, rehash=options.rehash, again=again)


def embed_here(
    jobs: Sequence[EncodingJob], store: ImageStore, models: IndexModels, options: IndexOptions, progress: Progress
) -> Embedded:
    """Embed photos with the cores of this machine."""
    with closing(Decoders(options.workers or usable_workers())) as decoders:
        return embed_photos(jobs, store, models, decoders, progress)


def apply_plan(
    plan: IndexPlan,
    store: ImageStore,
    models: IndexModels,
    options: IndexOptions,
    progress: Progress,
    embed: Embedder = embed_here,
) -> IndexReport:
    """Do what a plan says: first what needs no encoder, then the rest in batches, losses last."""
    _add_files(store, plan.gains)
    done = embed(plan.jobs, store, models, options, progress) if plan.jobs else Embedded()
    store.drop_paths({content: paths - done.kept for content, paths in plan.losses.items()})
    skipped = (*plan.skipped, *done.skipped)
    lost = {skip.path for skip in skipped}
    return IndexReport(
        added=len(plan.added - lost),
        changed=len(plan.changed - lost),
        moved=len(plan.moved),
        touched=len(plan.touched),
        unchanged=plan.unchanged,
        removed=len(plan.removed) - len(plan.moved) + len(done.spoiled & plan.changed),
        encoded=done.encoded,
        skipped=tuple(sorted(skipped, key=lambda skip: skip.path or "")),
        notes=done.notes,
        passed_over=plan.passed_over,
    )


def _add_files(store: ImageStore, gains: Mapping[str, Sequence[PhotoFile]]) -> None:
    """Write the files that stored contents gain, and the new fingerprints of those that were touched."""
    known = store.photos_of(sorted(gains))
    store.update([photo.with_files([*photo.files, *gains[content]]) for content, photo in known.items()])


class RowRules(Protocol):
    """What judges stored rows: see `PhotoRules`."""

    @property
    def version(self) -> str:
        """What rows name as the rule that judged them."""
        ...

    def judge_rows(self, embeddings: Embeddings, shipped_vectors: Sequence[str]) -> Sequence[Verdict]:
        """Return a verdict for each row."""
        ...


def judge_again(store: ImageStore, rules: RowRules, policy: str, decisions: HandDecisions) -> int:
    """Judge, from what is stored of them, the photos that another rule or another policy judged; return how many.

    No photo is opened. Decisions by hand stand.
    """
    outdated = store.outdated_verdicts(rules.version, policy)
    for start in range(0, len(outdated), JUDGED_AT_ONCE):
        batch = outdated[start : start + JUDGED_AT_ONCE]
        vectors = store.embeddings([photo.content_hash for photo in batch])
        rows = np.stack([vectors[photo.content_hash] for photo in batch])
        verdicts = rules.judge_rows(rows, [photo.shipped_vector for photo in batch])
        store.update(
            [
                _with_verdict(photo, vectors[photo.content_hash], photo.judged_again(verdict), decisions)
                for photo, verdict in zip(batch, verdicts, strict=True)
            ]
        )
    return len(outdated)


def _with_verdict(photo: StoredPhoto, embedding: Embedding, verdict: Verdict, decisions: HandDecisions) -> StoredPhoto:
    return replace(photo, verdict=decisions.apply(photo.content_hash, embedding, verdict, photo.shipped_vector))


def apply_decisions(store: ImageStore, decisions: HandDecisions, contents: Iterable[str]) -> int:
    """Bring the rows of decided contents, and of photos that look equal to them, in line.

    Returns:
        How many photos of the decided contents the store holds.
    """
    wanted = sorted(set(contents))
    vectors = store.embeddings(wanted)
    nearby = {found.key for vector in vectors.values() for found in store.nearest(vector, _NEARBY)}
    rows = store.photos_of(sorted(nearby | set(vectors)))
    embeddings = store.embeddings(sorted(rows))
    decided = [_with_verdict(photo, embeddings[content], photo.verdict, decisions) for content, photo in rows.items()]
    store.update([row for row in decided if row != rows[row.content_hash]])
    return sum(len(rows[content].files) for content in wanted if content in rows)
