"""Survey the disk for a run: which photos are there, which are gone, and which roots are remembered.

Nothing here knows rows or vectors: stored photos are absolute paths.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from index_store.errors import UsageError, os_reason
from index_store.photos import file_system
from index_store.photos.find import Found
from index_store.photos.nested_roots import Standing
from index_store.photos.path_sets import Paths, SortedPaths
from index_store.photos.places import Place
from index_store.photos.unmounted import KeptPhotos, keep_unreachable
from index_store.photos.walk import Walk
from index_store.records import FindOptions, IndexedRoot, PhotoFile, Skipped

_FORMATS = "(jpg, png, webp, heic, avif, tiff, raw and more)"


@dataclass(frozen=True, slots=True)
class Survey:
    """What a run sees on the disk before it compares anything with the stored photos' content.

    `gone` are the paths of stored photos that are no longer there; those out of reach are not among them. `to_set` and
    `to_drop` are the changes to the remembered roots, to be made when the photos are written.
    """

    found: Found
    gone: frozenset[str] = frozenset()
    to_set: tuple[IndexedRoot, ...] = ()
    to_drop: tuple[IndexedRoot, ...] = ()


def survey(
    places: Sequence[Place],
    known: Sequence[IndexedRoot],
    stored: Collection[str],
    *,
    prune_empty: bool = False,
    file_of: Callable[[str], PhotoFile] | None = None,
) -> Survey:
    """Find the photos below absolute `places`.

    `stored` are the paths of all photos in the store, and `file_of` returns what was stored of one: with it a folder
    whose photos have moved elsewhere is not taken for one that is not mounted. What is wrong with one place is
    reported, and the others go on.

    Raises:
        UsageError: a named place does not exist, or nothing can be indexed of any of those that are named.
    """
    _refuse_missing([place.path for place in places if not place.known])
    walk = Walk(places, known, stored)
    walk.choose()
    walk.run()
    return _Outcome(walk).survey(prune_empty=prune_empty, file_of=file_of)


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What follows for photos and roots from a walk."""

    walk: Walk

    def survey(self, *, prune_empty: bool, file_of: Callable[[str], PhotoFile] | None) -> Survey:
        """Compare what was found with what is stored."""
        found, present = self.walk.found, SortedPaths(file.image_id for file in self.walk.found.files)
        paths = set(present.paths)
        to_drop = self._swallowed(paths)
        self._keep_what_was_not_reached(to_drop)
        gone = self._gone(paths)
        spared = self._keep_unreachable(gone, prune_empty=prune_empty, file_of=file_of)
        self._report(present, gone, spared)
        gone_now = frozenset(gone) - spared.kept
        to_drop |= {path for path in self.walk.gone_roots if path not in spared.kept}
        finds = [target.place.find for target in self.walk.targets if not target.place.known]
        patterns = dict.fromkeys(pattern for find in finds for pattern in find.exclude)
        found.unused = tuple(pattern for pattern in patterns if pattern not in self.walk.used)
        return Survey(
            found,
            gone_now,
            self._roots_to_set(present, spared),
            tuple(root for root in self.walk.known if root.path in to_drop),
        )

    def _swallowed(self, present: Collection[str]) -> set[str]:
        """Return the known roots that need not be remembered any more, since a root that was named now holds them."""
        swallowed = set(self.walk.dropped)
        named = [target.place for target in self.walk.targets if target.own and not target.place.known]
        folders = Paths(place.path for place in named if file_system.is_folder(place.path))
        own = {place.path: place for place in named}
        for root in self.walk.known:
            above = folders.nearest(os.path.dirname(root.path))
            if root.path in own or above is None:
                continue
            outer = own.get(above) or own[above or os.sep]
            if self.walk.nesting.entry(root.path).standing is Standing.EXCLUDED:
                swallowed.add(root.path)
            elif root.name:
                continue
            elif root.path in present:
                swallowed.add(root.path)
            elif root.path in self.walk.found.reached:
                same = root.find == outer.find and not root.find.exclude
                if root.find == FindOptions() or same:
                    swallowed.add(root.path)
        return swallowed

    def _keep_what_was_not_reached(self, dropped: Collection[str]) -> None:
        """Keep the photos of roots inside the places that were not looked through."""
        looked = (
            {target.place.path for target in self.walk.targets}
            | self.walk.found.reached
            | set(dropped)
            | self.walk.gone_roots
        )
        self.walk.kept.update(root.path for root in self.walk.known if root.path not in looked)

    def _gone(self, present: Collection[str]) -> list[str]:
        searched = {path.rstrip(os.sep) for path in (*(t.place.path for t in self.walk.targets), *self.walk.gone_roots)}
        places, unreadable = Paths([*searched, *self.walk.kept]), Paths(self.walk.found.unreadable)
        return [
            path
            for path in self.walk.stored
            if path not in present and places.nearest(path) in searched and not unreadable.hold(path)
        ]

    def _keep_unreachable(
        self, gone: Sequence[str], *, prune_empty: bool, file_of: Callable[[str], PhotoFile] | None
    ) -> KeptPhotos:
        if prune_empty or not gone:
            return KeptPhotos()
        folders = {target.place.path for target in self.walk.targets if target.place.path not in self.walk.stored}
        roots = sorted(folders | self.walk.found.reached)
        return keep_unreachable(roots, self.walk.found.files, gone, self.walk.stored.__contains__, file_of)

    def _report(self, present: SortedPaths, gone: Sequence[str], spared: KeptPhotos) -> None:
        """Add the lines about places; raise where nothing at all can be done of what was named."""
        found, problems = self.walk.found, {**self.walk.problems, **spared.roots}
        explained = SortedPaths([*(skip.path or "" for skip in found.skipped), *found.unreadable])
        lost = SortedPaths(gone)
        for target in self.walk.targets:
            place = target.place
            silent = not (present.count(place.path) or lost.count(place.path) or explained.count(place.path))
            if silent and not place.known and place.path not in problems and file_system.is_folder(place.path):
                problems[place.path] = f"no photos found {_FORMATS}"
        self.walk.problems = problems
        named = [place.path for place in self.walk.places if not place.known]
        if named and not (present.paths or found.skipped or found.unreadable or set(gone) - spared.kept):
            raise UsageError(_nothing(named, problems, changed=bool(spared.roots)))
        found.skipped += [Skipped(path, reason) for path, reason in problems.items()]
        found.skipped += [*spared.lines, *self._missing_lines()]
        found.sort()

    def _missing_lines(self) -> Iterable[Skipped]:
        """Report roots that are not there; files that were indexed one by one are reported by their folder."""
        missing = self.walk.missing
        roots = Paths(missing)
        photos = Counter(root for path in self.walk.stored if (root := roots.nearest(path)) is not None)
        reported: Counter[str] = Counter()
        for path in missing:
            reported[os.path.dirname(path) if path in self.walk.stored else path] += photos[path.rstrip(os.sep)]
        return [
            Skipped(path, f"is not there, {kept} kept; mount it, or drop it with 'imgsearch forget'")
            for path, n in reported.items()
            for kept in ["its photo is" if n == 1 else f"its {n} photos are"]
        ]

    def _roots_to_set(self, present: SortedPaths, spared: KeptPhotos) -> tuple[IndexedRoot, ...]:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        return tuple(
            IndexedRoot(place.path, now, present.count(place.path), place.find, place.name)
            for place in (target.place for target in self.walk.targets if target.own)
            if place.path not in self.walk.problems and place.path not in spared.roots
        )


def _refuse_missing(paths: Sequence[str]) -> None:
    missing = []
    for path in paths:
        try:
            if not file_system.is_there(path, follow_links=False):
                missing.append(path)
        except OSError as error:
            raise UsageError(f"{path}: {os_reason(error)}; nothing was indexed") from error
    if missing:
        raise UsageError(f"{', '.join(missing)}: no such file or folder; nothing was indexed")


def _nothing(named: Sequence[str], problems: dict[str, str], *, changed: bool) -> str:
    """Return the message for a run of which nothing came."""
    path = next((path for path in named if path in problems), named[0])
    reason = problems.get(path, f"is not a photo in a format that is read {_FORMATS}")
    others = f" (and {len(named) - 1} more)" if len(named) > 1 else ""
    return f"{path}{others}: {reason}; nothing was {'changed' if changed else 'indexed'}"
