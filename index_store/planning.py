"""Plan what an index run has to do, from what is on the disk and what is stored, before any model is loaded."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from index_store.errors import PhotoError
from index_store.finding import Found
from index_store.hashing import hash_file
from index_store.records import PassedOver, PhotoFile, Skipped, StoredPhoto


@dataclass(frozen=True, slots=True)
class EncodingJob:
    """A photo to decode and encode once; `copies` are files of the same content that share the embedding."""

    file: PhotoFile
    copies: tuple[PhotoFile, ...] = ()

    @property
    def files(self) -> tuple[PhotoFile, ...]:
        """All files that get this job's embedding."""
        return (self.file, *self.copies)


@dataclass(frozen=True, slots=True)
class Reuse:
    """A file whose content is stored already, at another path or with an older time: no second embedding."""

    file: PhotoFile
    source: StoredPhoto


@dataclass(frozen=True, slots=True)
class IndexPlan:
    """The changes that bring the store in line with the disk.

    `jobs` and `reused` cover the files in `added`, `changed` and `moved`; `touched` files have equal content and a new
    time; `removed` are the image_ids to delete, the old places of moved photos among them.
    """

    jobs: tuple[EncodingJob, ...] = ()
    reused: tuple[Reuse, ...] = ()
    touched: tuple[Reuse, ...] = ()
    added: frozenset[str] = frozenset()
    changed: frozenset[str] = frozenset()
    moved: frozenset[str] = frozenset()
    removed: frozenset[str] = frozenset()
    unchanged: int = 0
    skipped: tuple[Skipped, ...] = ()
    passed_over: PassedOver = PassedOver()  # noqa: RUF009  (frozen)

    def successors(self, image_ids: Collection[str]) -> set[str]:
        """Return the new paths of content that is stored under one of these."""
        return {reuse.file.image_id for reuse in self.reused if reuse.source.image_id in image_ids}


def plan_changes(found: Found, stored: Mapping[str, StoredPhoto], gone: Collection[str]) -> IndexPlan:
    """Compare the photos that were found with all that is stored, of which the paths in `gone` are no more.

    A file is read (hashed) only where its size and time do not settle the matter: it was touched, or its size equals
    that of a stored photo or of another new file, so that it may be a moved photo or a copy.
    """
    unchanged, fresh = _split_by_fingerprint(found.files, stored)
    hashed, skipped = _hash_where_needed(fresh, stored)

    touched: list[Reuse] = []
    reused: list[Reuse] = []
    to_encode: list[PhotoFile] = []
    sources = _by_content(stored.values(), preferred=gone)
    for file in hashed:
        before, source = stored.get(file.image_id), sources.get(file.content_hash or "")
        if before is not None and before.file.content_hash == file.content_hash:
            touched.append(Reuse(file, before))
        elif source is not None:
            reused.append(Reuse(file, source))
        else:
            to_encode.append(file)

    new = [file.image_id for file in (*to_encode, *(reuse.file for reuse in reused))]
    moved = _moved(reused, stored, gone)
    return IndexPlan(
        jobs=tuple(_group_copies(to_encode)),
        reused=tuple(reused),
        touched=tuple(touched),
        added=frozenset(image_id for image_id in new if image_id not in stored) - moved,
        changed=frozenset(image_id for image_id in new if image_id in stored),
        moved=moved,
        removed=frozenset(gone),
        unchanged=unchanged,
        skipped=(*found.skipped, *skipped),
        passed_over=found.passed_over,
    )


def lies_below(image_id: str, folder: str) -> bool:
    """Tell whether a path is `folder` itself or lies inside it; both absolute."""
    return image_id == folder or image_id.startswith(folder.rstrip(os.sep) + os.sep)


def _split_by_fingerprint(files: Iterable[PhotoFile], stored: Mapping[str, StoredPhoto]) -> tuple[int, list[PhotoFile]]:
    unchanged, fresh = 0, []
    for file in files:
        before = stored.get(file.image_id)
        if before and (before.file.size_bytes, before.file.mtime_ns) == (file.size_bytes, file.mtime_ns):
            unchanged += 1
        else:
            fresh.append(file)
    return unchanged, fresh


def _moved(reused: Iterable[Reuse], stored: Collection[str], gone: Collection[str]) -> frozenset[str]:
    """Return the new paths of photos that are gone from their old ones; of several copies the first is it."""
    new_places: dict[str, str] = {}
    for reuse in reused:
        if reuse.source.image_id in gone and reuse.file.image_id not in stored:
            new_places.setdefault(reuse.source.image_id, reuse.file.image_id)
    return frozenset(new_places.values())


def _hash_where_needed(
    fresh: Sequence[PhotoFile], stored: Mapping[str, StoredPhoto]
) -> tuple[list[PhotoFile], list[Skipped]]:
    sizes = Counter(file.size_bytes for file in fresh)
    sizes.update({photo.file.size_bytes for photo in stored.values()})
    hashed, skipped = [], []
    for file in fresh:
        if sizes[file.size_bytes] == 1:
            hashed.append(file)
            continue
        try:
            hashed.append(replace(file, content_hash=hash_file(file.image_id)))
        except PhotoError as error:
            skipped.append(Skipped(file.image_id, str(error)))
    return hashed, skipped


def _by_content(photos: Iterable[StoredPhoto], preferred: Collection[str]) -> dict[str, StoredPhoto]:
    """Return one stored photo for each content, preferably one that is gone, so that its successor counts as moved."""
    chosen: dict[str, StoredPhoto] = {}
    for photo in photos:
        content = photo.file.content_hash
        if content and (content not in chosen or photo.image_id in preferred):
            chosen[content] = photo
    return chosen


def _group_copies(files: Sequence[PhotoFile]) -> list[EncodingJob]:
    groups: dict[str, list[PhotoFile]] = {}
    for file in files:
        groups.setdefault(file.content_hash or file.image_id, []).append(file)
    return [EncodingJob(first, tuple(copies)) for first, *copies in groups.values()]
