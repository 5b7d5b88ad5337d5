"""Decide which folders a run looks through, what it may forget there, and which roots are remembered.

Nothing here knows rows or vectors: stored photos are absolute paths.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from index_store.errors import UsageError
from index_store.photos.find import Found
from index_store.photos.guard import Guard, SortedPaths, guard
from index_store.photos.nesting import KnownPlaces, Paths, Standing
from index_store.photos.targets import Look
from index_store.records import FindOptions, IndexedRoot, PhotoFile, Skipped

_FORMATS = "(jpg, png, webp, heic, avif, tiff, raw and more)"


@dataclass(frozen=True, slots=True)
class Place:
    """A folder or file to index, as an absolute path, and how photos are looked for in it.

    `name` is the name by which other machines know the folder, if it has one; `known` marks a root that is refreshed,
    and was not named now.
    """

    path: str
    find: FindOptions = FindOptions()  # noqa: RUF009  (frozen)
    name: str = ""
    known: bool = False


@dataclass(frozen=True, slots=True)
class Survey:
    """What a run sees on the disk before it compares anything with the stored photos' content.

    `gone` are the paths of stored photos that are no more where the run looked; those out of reach are not among them.
    `to_set` and `to_drop` are the changes to the remembered roots, to be made when the photos are written.
    """

    found: Found
    gone: frozenset[str] = frozenset()
    to_set: tuple[IndexedRoot, ...] = ()
    to_drop: tuple[IndexedRoot, ...] = ()


def chosen_places(places: Sequence[Place], known: Sequence[IndexedRoot], store: str) -> list[Place]:
    """Return the named places, or all known roots, as absolute paths; a place that is known keeps the path it had.

    Raises:
        UsageError: no place is named and no root is known, or one gets a second name; `store` is for the message.
    """
    if not places:
        if not known:
            raise UsageError(f"{store}: no folder was indexed yet; name one: imgsearch index FOLDER")
        return [Place(root.path, root.find, root.name, known=True) for root in known]
    recognised = KnownPlaces(root.path for root in known)
    names = {root.path: root.name for root in known if root.name}
    chosen: dict[str, Place] = {}
    for place in places:
        path = os.path.abspath(place.path)
        if os.path.lexists(path):
            path = recognised.known_path(path)
            recognised.add(path)
        name = place.name or names.get(path, "")
        if name != names.get(path, name):
            raise UsageError(f"{path}: has the name {names[path]} already; to give it another, forget it first")
        chosen.setdefault(path, replace(place, path=path, name=name))
    return list(chosen.values())


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
    missing = [place.path for place in places if not place.known and not os.path.lexists(place.path)]
    if missing:
        raise UsageError(f"{', '.join(missing)}: no such file or folder; nothing was indexed")
    look = Look(places, known, stored)
    look.choose()
    look.walk()
    return _Outcome(look).survey(prune_empty=prune_empty, file_of=file_of)


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What follows for photos and roots from a look at the disk."""

    look: Look

    def survey(self, *, prune_empty: bool, file_of: Callable[[str], PhotoFile] | None) -> Survey:
        """Compare what was found with what is stored."""
        found, present = self.look.found, SortedPaths(file.image_id for file in self.look.found.files)
        paths = set(present.paths)
        to_drop = self._swallowed(paths)
        self._keep_what_was_not_reached(to_drop)
        gone = self._gone(paths)
        guarded = self._guard(gone, prune_empty=prune_empty, file_of=file_of)
        self._report(present, gone, guarded)
        gone_now = frozenset(gone) - guarded.kept
        to_drop |= {path for path in self.look.gone_roots if path not in guarded.kept}
        finds = [target.place.find for target in self.look.targets if not target.place.known]
        patterns = dict.fromkeys(pattern for find in finds for pattern in find.exclude)
        found.unused = tuple(pattern for pattern in patterns if pattern not in self.look.used)
        return Survey(
            found,
            gone_now,
            self._roots_to_set(present, guarded),
            tuple(root for root in self.look.known if root.path in to_drop),
        )

    def _swallowed(self, present: Collection[str]) -> set[str]:
        """Return the known roots that need not be remembered any more, since a root that was named now holds them."""
        swallowed = set(self.look.dropped)
        named = [target.place for target in self.look.targets if target.own and not target.place.known]
        folders = Paths(place.path for place in named if os.path.isdir(place.path))
        own = {place.path: place for place in named}
        for root in self.look.known:
            above = folders.nearest(os.path.dirname(root.path))
            if root.path in own or above is None:
                continue
            outer = own.get(above) or own[above or os.sep]
            if self.look.nesting.entry(root.path).standing is Standing.EXCLUDED:
                swallowed.add(root.path)
            elif root.name:
                continue
            elif root.path in present:
                swallowed.add(root.path)
            elif root.path in self.look.found.reached:
                same = root.find == outer.find and not root.find.exclude
                if root.find == FindOptions() or same:
                    swallowed.add(root.path)
        return swallowed

    def _keep_what_was_not_reached(self, dropped: Collection[str]) -> None:
        """Keep the photos of roots inside the places that were not looked through."""
        looked = (
            {target.place.path for target in self.look.targets}
            | self.look.found.reached
            | set(dropped)
            | self.look.gone_roots
        )
        self.look.kept.update(root.path for root in self.look.known if root.path not in looked)

    def _gone(self, present: Collection[str]) -> list[str]:
        searched = {path.rstrip(os.sep) for path in (*(t.place.path for t in self.look.targets), *self.look.gone_roots)}
        places, unreadable = Paths([*searched, *self.look.kept]), Paths(self.look.found.unreadable)
        return [
            path
            for path in self.look.stored
            if path not in present and places.nearest(path) in searched and not unreadable.hold(path)
        ]

    def _guard(self, gone: Sequence[str], *, prune_empty: bool, file_of: Callable[[str], PhotoFile] | None) -> Guard:
        if prune_empty or not gone:
            return Guard()
        folders = {target.place.path for target in self.look.targets if target.place.path not in self.look.stored}
        roots = sorted(folders | self.look.found.reached)
        return guard(roots, self.look.found.files, gone, self.look.stored.__contains__, file_of)

    def _report(self, present: SortedPaths, gone: Sequence[str], guarded: Guard) -> None:
        """Add the lines about places; raise where nothing at all can be done of what was named."""
        found, problems = self.look.found, {**self.look.problems, **guarded.roots}
        explained = SortedPaths([*(skip.path or "" for skip in found.skipped), *found.unreadable])
        lost = SortedPaths(gone)
        for target in self.look.targets:
            place = target.place
            silent = not (present.count(place.path) or lost.count(place.path) or explained.count(place.path))
            if silent and not place.known and place.path not in problems and os.path.isdir(place.path):
                problems[place.path] = f"no photos found {_FORMATS}"
        self.look.problems = problems
        named = [place.path for place in self.look.places if not place.known]
        if named and not (present.paths or found.skipped or found.unreadable or set(gone) - guarded.kept):
            raise UsageError(_nothing(named, problems, changed=bool(guarded.roots)))
        found.skipped += [Skipped(path, reason) for path, reason in problems.items()]
        found.skipped += [*guarded.lines, *self._missing_lines()]
        found.sort()

    def _missing_lines(self) -> Iterable[Skipped]:
        """Tell of roots that are not there; files that were named one by one are told by their folder."""
        missing = [place.path for place in self.look.places if place.known and not os.path.exists(place.path)]
        missing = [path for path in missing if path in self.look.kept]
        if not missing:
            return []
        roots = Paths(missing)
        photos = Counter(root for path in self.look.stored if (root := roots.nearest(path)) is not None)
        told: Counter[str] = Counter()
        for path in missing:
            told[os.path.dirname(path) if path in self.look.stored else path] += photos[path.rstrip(os.sep)]
        return [
            Skipped(path, f"is not there, its {n} photos are kept; mount it, or drop it with 'imgsearch forget'")
            for path, n in told.items()
        ]

    def _roots_to_set(self, present: SortedPaths, guarded: Guard) -> tuple[IndexedRoot, ...]:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        return tuple(
            IndexedRoot(place.path, now, present.count(place.path), place.find, place.name)
            for place in (target.place for target in self.look.targets if target.own)
            if place.path not in self.look.problems and place.path not in guarded.roots
        )


def _nothing(named: Sequence[str], problems: dict[str, str], *, changed: bool) -> str:
    """Return the message for a run of which nothing came."""
    path = next((path for path in named if path in problems), named[0])
    reason = problems.get(path, f"is not a photo in a format that is read {_FORMATS}")
    others = f" (and {len(named) - 1} more)" if len(named) > 1 else ""
    return f"{path}{others}: {reason}; nothing was {'changed' if changed else 'indexed'}"
