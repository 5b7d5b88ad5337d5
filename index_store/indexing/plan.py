"""Plan what an index run has to do, from what is on the disk and what is stored, before any model is loaded."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from index_store.errors import PhotoError
from index_store.photos.find import Found
from index_store.photos.hashing import hash_file
from index_store.records import EncodingJob, PassedOver, PhotoFile, Skipped, StoredPhoto


@dataclass(frozen=True, slots=True)
class IndexPlan:
    """The changes that bring the store in line with the disk; rows are named by content hash, files by path.

    `jobs` are the contents that no row has. `gains` are the files that stored contents gain, or that were touched;
    they are written first. `losses` are the paths that stored contents lose; they are written last, so that a run that
    is interrupted has lost nothing. `added`, `changed` and `moved` are the new places of contents; `touched` have equal
    content and a new fingerprint; `removed` are the paths that are gone, the old places of moved photos among them.
    """

    jobs: tuple[EncodingJob, ...] = ()
    gains: Mapping[str, tuple[PhotoFile, ...]] = field(default_factory=dict)
    losses: Mapping[str, frozenset[str]] = field(default_factory=dict)
    added: frozenset[str] = frozenset()
    changed: frozenset[str] = frozenset()
    moved: frozenset[str] = frozenset()
    touched: frozenset[str] = frozenset()
    removed: frozenset[str] = frozenset()
    unchanged: int = 0
    skipped: tuple[Skipped, ...] = ()
    passed_over: PassedOver = PassedOver()  # noqa: RUF009  (frozen)

    def first(self, most: int | None) -> tuple[IndexPlan, int]:
        """Return a plan with the first `most` jobs alone, and how many are left; what these are to change stays."""
        if most is None or len(self.jobs) <= most:
            return self, 0
        later = {file.image_id for job in self.jobs[most:] for file in job.files}
        losses = {content: paths - later for content, paths in self.losses.items()}
        plan = replace(
            self,
            jobs=self.jobs[:most],
            losses={content: paths for content, paths in losses.items() if paths},
            added=self.added - later,
            changed=self.changed - later,
        )
        return plan, len(self.jobs) - most


class _Known:
    """What the store says of each path. A path with two rows was left by a run that was interrupted."""

    def __init__(self, photos: Iterable[StoredPhoto]) -> None:
        self.paths_of: dict[str, tuple[str, ...]] = {}
        self.sizes = set[int]()
        self._claims: dict[str, list[tuple[str, PhotoFile]]] = defaultdict(list)
        self._owners: dict[int, str] = {}
        for photo in photos:
            self.paths_of[photo.content_hash] = photo.paths
            self.sizes.add(photo.files[0].size_bytes)
            for file in photo.files:
                self._claims[file.image_id].append((photo.content_hash, file))
                self._owners[file.inode] = file.image_id

    def __contains__(self, path: str) -> bool:
        return path in self._claims

    def contents(self, path: str) -> list[str]:
        """Return the contents that are said to lie at a path: at most one, but after an interrupted run."""
        return [content for content, _ in self._claims.get(path, ())]

    def settled(self, file: PhotoFile) -> str | None:
        """Return the content of a file that the fingerprint settles: size, times, and no inode of another photo.

        Some network file systems give new inodes at each mount, so another one says nothing by itself. But two photos
        of one size and time that swapped names have each other's.
        """
        for content, before in self._claims.get(file.image_id, ()):
            swapped = before.inode != file.inode and self._owners.get(file.inode, file.image_id) != file.image_id
            if not swapped and _equal_fingerprints(before, file):
                return content
        return None


def _equal_fingerprints(before: PhotoFile, now: PhotoFile) -> bool:
    equal = (before.size_bytes, before.mtime_ns) == (now.size_bytes, now.mtime_ns)
    return equal and (before.ctime_ns == now.ctime_ns or 0 in {before.ctime_ns, now.ctime_ns})


def plan_changes(
    found: Found,
    photos: Iterable[StoredPhoto],
    gone: Collection[str],
    *,
    rehash: bool = False,
    again: Collection[str] = (),
) -> IndexPlan:
    """Compare the files that were found with all that is stored, of which the paths in `gone` are no more.

    A file is read (hashed) only where its fingerprint does not settle the matter: it was touched, or its size equals
    that of a stored photo or of another new file, so that it may be a moved photo or a copy; with `rehash` always.
    The contents in `again` are encoded once more.
    """
    known = _Known(photos)
    holds: dict[str, str] = {}  # path -> content, of what is on the disk and stored
    fresh: list[PhotoFile] = []
    for file in found.files:
        content = None if rehash else known.settled(file)
        if content is None or content in again:
            fresh.append(file)
        else:
            holds[file.image_id] = content
    unchanged = len(holds)

    hashed, skipped = _hash_where_needed(fresh, known, always=rehash)
    gains: dict[str, list[PhotoFile]] = defaultdict(list)
    to_encode: list[PhotoFile] = []
    for file in hashed:
        content = file.content_hash or ""
        if content in known.paths_of:
            holds[file.image_id] = content
        if content in known.paths_of and content not in again:
            gains[content].append(file)
        else:
            to_encode.append(file)

    settled = {path for path, content in holds.items() if content in known.contents(path)}
    new = {file.image_id for file in hashed} - settled
    moved = _moved(gains, known, gone)
    return IndexPlan(
        jobs=tuple(_group_copies(to_encode)),
        gains={content: tuple(files) for content, files in gains.items()},
        losses=_losses(known, gone, holds, {file.image_id for file in to_encode}),
        added=frozenset(path for path in new if path not in known) - moved,
        changed=frozenset(path for path in new if path in known),
        moved=moved,
        touched=frozenset(file.image_id for file in hashed) & settled,
        removed=frozenset(gone),
        unchanged=unchanged,
        skipped=(*found.skipped, *skipped),
        passed_over=found.passed_over,
    )


def _losses(
    known: _Known, gone: Collection[str], holds: Mapping[str, str], pending: Collection[str]
) -> dict[str, frozenset[str]]:
    """Return what each content loses: paths that are gone, that hold another content now, or are to be encoded."""
    losses: dict[str, set[str]] = defaultdict(set)
    for path in (*gone, *holds, *pending):
        for content in known.contents(path):
            if holds.get(path) != content:
                losses[content].add(path)
    return {content: frozenset(paths) for content, paths in losses.items()}


def _moved(gains: Mapping[str, Iterable[PhotoFile]], known: _Known, gone: Collection[str]) -> frozenset[str]:
    """Return the new paths of contents that are gone from an old one: as many as went, the first ones by path."""
    moved: list[str] = []
    for content, files in gains.items():
        left = sum(path in gone for path in known.paths_of[content])
        arrived = sorted(file.image_id for file in files if file.image_id not in known)
        moved += arrived[:left]
    return frozenset(moved)


def _hash_where_needed(
    fresh: Sequence[PhotoFile], known: _Known, *, always: bool
) -> tuple[list[PhotoFile], list[Skipped]]:
    sizes = Counter(file.size_bytes for file in fresh)
    sizes.update(known.sizes)
    hashed, skipped = [], []
    for file in fresh:
        if sizes[file.size_bytes] == 1 and not always:
            hashed.append(file)
            continue
        try:
            hashed.append(replace(file, content_hash=hash_file(file.image_id)))
        except PhotoError as error:
            skipped.append(Skipped(file.image_id, str(error)))
    return hashed, skipped


def _group_copies(files: Sequence[PhotoFile]) -> list[EncodingJob]:
    groups: dict[str, list[PhotoFile]] = {}
    for file in files:
        groups.setdefault(file.content_hash or file.image_id, []).append(file)
    jobs = [EncodingJob(first, tuple(copies)) for first, *copies in groups.values()]
    # not in the order of the names: a graph of neighbours to which bursts of nearly equal photos are added one after
    # the other finds .70 of the true pool of 100, and .97 where they come mixed
    random.Random(len(jobs)).shuffle(jobs)
    return jobs
