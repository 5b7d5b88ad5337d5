"""Decode, encode, judge and write the photos of some jobs on this machine; the same for a whole run and for a block."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass

from index_store.errors import PhotoUnreadableError
from index_store.indexing.write import CHANGED_MEANWHILE, Decoded, IndexModels, RowWriter
from index_store.photos.decoder_workers import Decoders
from index_store.records import EncodingJob, OpenedPhoto, Skipped
from index_store.store.image_store import ImageStore

Progress = Callable[..., None]
"""Called with the number of photos done and the number in all; on Ray also with a `note`."""


@dataclass(frozen=True, slots=True)
class Embedded:
    """What became of some jobs.

    `encoded` counts contents. `kept` are the paths of files that could not be read just now, or that changed meanwhile:
    what is stored of them stays. `spoiled` are the paths of files that hold no photo any more.
    """

    encoded: int = 0
    skipped: tuple[Skipped, ...] = ()
    notes: tuple[Skipped, ...] = ()
    kept: frozenset[str] = frozenset()
    spoiled: frozenset[str] = frozenset()


def all_of(parts: Iterable[Embedded]) -> Embedded:
    """Return what became of the jobs of all parts."""
    parts = list(parts)
    return Embedded(
        encoded=sum(part.encoded for part in parts),
        skipped=tuple(skip for part in parts for skip in part.skipped),
        notes=tuple(note for part in parts for note in part.notes),
        kept=frozenset[str]().union(*(part.kept for part in parts)),
        spoiled=frozenset[str]().union(*(part.spoiled for part in parts)),
    )


def embed_photos(
    jobs: Sequence[EncodingJob], store: ImageStore, models: IndexModels, decoders: Decoders, progress: Progress
) -> Embedded:
    """Write a row for each job whose photo can be decoded; the rest is reported.

    Raises:
        EncoderError, WeightsError: the models cannot be loaded.
        StoreError: the store cannot be written.
    """
    writer = RowWriter(store, models)
    skipped, notes, spoiled, kept = list[Skipped](), list[Skipped](), set[str](), set[str]()
    with closing(decoders.ahead(jobs, models.wanted)) as outcomes, writer:
        for done, (job, outcome) in enumerate(outcomes, start=1):
            if isinstance(outcome, OpenedPhoto):
                decoded = Decoded.of(job, outcome)
                writer.add(decoded)
                late = {file.image_id for file in job.files} - {file.image_id for file in decoded.files}
                skipped += [Skipped(path, CHANGED_MEANWHILE) for path in sorted(late)]
                kept |= late
                notes += [Skipped(job.file.image_id, outcome.note)] if outcome.note else []
            else:
                paths = [file.image_id for file in job.files]
                skipped += [Skipped(path, str(outcome)) for path in paths]
                # where a file cannot be read just now, what is stored stays; else it shows another picture than this
                (kept if isinstance(outcome, PhotoUnreadableError) else spoiled).update(paths)
            progress(done, len(jobs))
        writer.finish()
    return Embedded(writer.encoded, tuple(skipped), tuple(notes), frozenset(kept), frozenset(spoiled))
