"""Decide which folders a run looks through, what it may forget there, and which roots are remembered.

Nothing here knows rows or vectors: stored photos are absolute paths.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from index_store.errors import UsageError
from index_store.finding import Found, Identity, InnerRoot, find_named, find_photos, identity
from index_store.guarding import Guard, SortedPaths, guard
from index_store.ignoring import is_rubbish
from index_store.nesting import Entry, KnownPlaces, Nesting, Paths, Standing
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
        UsageError: no place is named and no root is known; `store` names the store in the message.
    """
    if not places:
        if not known:
            raise UsageError(f"{store}: no folder was indexed yet; name one: imgsearch index FOLDER")
        return [Place(root.path, root.find, root.name, known=True) for root in known]
    recognised = KnownPlaces(root.path for root in known)
    chosen: dict[str, Place] = {}
    for place in places:
        path = os.path.abspath(place.path)
        if os.path.lexists(path):
            path = recognised.known_path(path)
            recognised.add(path)
        chosen.setdefault(path, replace(place, path=path))
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
    run = _Run(places, known, stored)
    run.choose()
    run.walk()
    return run.result(prune_empty=prune_empty, file_of=file_of)


@dataclass(slots=True)
class _Target:
    """A place to look through: a root of its own, or a part of one, where the options of that root hold."""

    place: Place
    entry: Entry
    own: bool


@dataclass(slots=True)
class _Run:
    """What is decided and found while places are looked through."""

    places: Sequence[Place]
    known: Sequence[IndexedRoot]
    stored: Collection[str]
    found: Found = field(default_factory=Found)
    targets: list[_Target] = field(default_factory=list)
    dropped: set[str] = field(default_factory=set)
    kept: set[str] = field(default_factory=set)
    gone_roots: set[str] = field(default_factory=set)
    problems: dict[str, str] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)
    nesting: Nesting = field(default_factory=lambda: Nesting({}))

    def choose(self) -> None:
        """Decide for each place whether it is a root of its own, a part of one, or passed over."""
        self.nesting = Nesting({root.path: _own_options(root.find, root.name) for root in self.known})
        shared = os.path.commonpath([os.path.dirname(place.path) for place in self.places]) if self.places else ""
        for place in sorted(self.places, key=lambda place: len(place.path)):
            if not os.path.exists(place.path):
                self._miss(place)
                continue
            try:
                entry = self.nesting.entry(place.path)
            except UsageError as error:
                self._pass_over(place, str(error))
                continue
            above = self.nesting.above(place.path)
            if entry.standing is Standing.EXCLUDED:
                self._excluded(place, str(above))
            elif entry.standing is Standing.UNREADABLE:
                self._pass_over(place, "lies below an ignore file that cannot be read, what is stored of it stays")
            elif len(self.places) > 1 and not place.known and (rubbish := self._rubbish(place.path, shared)):
                self.found.rubbish.update([rubbish])
            else:
                self.targets.append(_Target(place, entry, self._is_own(place, entry, above)))

    def _is_own(self, place: Place, entry: Entry, above: str | None) -> bool:
        if place.known:
            return True
        own = (
            above is None
            or bool(place.name)
            or entry.standing is Standing.UNREACHED
            or place.find not in (FindOptions(), entry.options)
        )
        if own:
            self.nesting.finds[place.path] = _own_options(place.find, place.name)
        elif place.path in self.nesting.finds and not self._name(place.path):
            del self.nesting.finds[place.path]
            self.dropped.add(place.path)
        return own

    def _name(self, path: str) -> str:
        return next((root.name for root in self.known if root.path == path), "")

    def _rubbish(self, path: str, shared: str) -> str | None:
        """Return the folder of trash or thumbnails that a shell or `find` has named along with the rest."""
        below = path if os.path.isdir(path) else os.path.dirname(path)
        names = below[len(shared) :].split(os.sep)
        return next((name for name in names if is_rubbish(name)), None) if path not in self.nesting.finds else None

    def _excluded(self, place: Place, above: str) -> None:
        if place.known:  # by an ignore file, or by a pattern, that came later
            self.dropped.add(place.path)
            self.gone_roots.add(place.path)
            return
        self.problems[place.path] = (
            f"is excluded by a pattern of its root {above} or by an ignore file there; to take it in, index {above} "
            "without that pattern"
        )

    def _pass_over(self, place: Place, reason: str) -> None:
        self.kept.add(place.path)
        self.problems[place.path] = reason

    def _miss(self, place: Place) -> None:
        """Note a place that is not there; a file that is gone from its folder was deleted."""
        folder = os.path.dirname(place.path)
        if not place.known:  # a link that leads nowhere
            self.problems[place.path] = "is a link to nothing"
        elif place.path in self.stored and os.path.isdir(folder):
            self.gone_roots.add(place.path)
        else:
            self.kept.add(place.path)

    def walk(self) -> None:
        """Look through the targets, each folder once."""
        inner = self._inner_roots()
        files: dict[tuple[str, FindOptions], list[str]] = {}
        for target in self.targets:
            path = target.place.path
            if path in self.found.reached:
                continue
            options = self.nesting.finds.get(path) or (target.place.find if target.own else target.entry.options)
            if not os.path.isdir(path):
                files.setdefault((os.path.dirname(path), options), []).append(path)
                continue
            try:
                rules = target.entry.rules
                rules = rules.for_root(path, options.exclude) if target.own else rules
                self._add(find_photos(path, options, rules=rules, inner=inner, known=self.stored), target)
            except UsageError as error:
                if not target.place.known:
                    raise
                self._pass_over(target.place, f"is passed over, what is stored of it stays: {error}")
        self.targets = [target for target in self.targets if target.place.path not in self.kept]
        for (_, options), paths in files.items():
            find_named(paths, options, self.found, self.stored)
        self.found.sort()

    def _inner_roots(self) -> dict[Identity, InnerRoot]:
        inner: dict[Identity, InnerRoot] = {}
        for path, find in self.nesting.finds.items():
            if os.path.isdir(path) and (here := identity(path)) is not None:
                inner.setdefault(here, InnerRoot(path, find))
        return inner

    def _add(self, found: Found, target: _Target) -> None:
        together = self.found
        together.files += found.files
        together.skipped += found.skipped
        together.unreadable += found.unreadable
        together.reached |= found.reached
        together.formats += found.formats
        together.rubbish += found.rubbish
        together.paired += found.paired
        together.raw += found.raw
        self.used.update(set(target.place.find.exclude) - set(found.unused))

    def result(self, *, prune_empty: bool, file_of: Callable[[str], PhotoFile] | None) -> Survey:
        """Compare what was found with what is stored."""
        found, present = self.found, SortedPaths(file.image_id for file in self.found.files)
        paths = set(present.paths)
        to_drop = self._swallowed(paths)
        self._keep_what_was_not_reached(to_drop)
        gone = self._gone(paths)
        guarded = self._guard(gone, prune_empty=prune_empty, file_of=file_of)
        self._report(present, gone, guarded)
        gone_now = frozenset(gone) - guarded.kept
        to_drop |= {path for path in self.gone_roots if path not in guarded.kept}
        finds = [target.place.find for target in self.targets if not target.place.known]
        patterns = dict.fromkeys(pattern for find in finds for pattern in find.exclude)
        found.unused = tuple(pattern for pattern in patterns if pattern not in self.used)
        return Survey(
            found,
            gone_now,
            self._roots_to_set(present, guarded),
            tuple(root for root in self.known if root.path in to_drop),
        )

    def _swallowed(self, present: Collection[str]) -> set[str]:
        """Return the known roots that need not be remembered any more, since a root that was named now holds them."""
        swallowed = set(self.dropped)
        named = [target.place for target in self.targets if target.own and not target.place.known]
        folders = Paths(place.path for place in named if os.path.isdir(place.path))
        own = {place.path: place for place in named}
        for root in self.known:
            above = folders.nearest(os.path.dirname(root.path))
            if root.path in own or above is None:
                continue
            outer = own.get(above) or own[above or os.sep]
            if self.nesting.entry(root.path).standing is Standing.EXCLUDED:
                swallowed.add(root.path)
            elif root.name:
                continue
            elif root.path in present:
                swallowed.add(root.path)
            elif root.path in self.found.reached:
                same = root.find == outer.find and not root.find.exclude
                if root.find == FindOptions() or same:
                    swallowed.add(root.path)
        return swallowed

    def _keep_what_was_not_reached(self, dropped: Collection[str]) -> None:
        """Keep the photos of roots inside the places that were not looked through."""
        looked = {target.place.path for target in self.targets} | self.found.reached | set(dropped) | self.gone_roots
        self.kept.update(root.path for root in self.known if root.path not in looked)

    def _gone(self, present: Collection[str]) -> list[str]:
        searched = {path.rstrip(os.sep) for path in (*(t.place.path for t in self.targets), *self.gone_roots)}
        places, unreadable = Paths([*searched, *self.kept]), Paths(self.found.unreadable)
        return [
            path
            for path in self.stored
            if path not in present and places.nearest(path) in searched and not unreadable.hold(path)
        ]

    def _guard(self, gone: Sequence[str], *, prune_empty: bool, file_of: Callable[[str], PhotoFile] | None) -> Guard:
        if prune_empty or not gone:
            return Guard()
        folders = {target.place.path for target in self.targets if target.place.path not in self.stored}
        roots = sorted(folders | self.found.reached)
        return guard(roots, self.found.files, gone, self.stored.__contains__, file_of)

    def _report(self, present: SortedPaths, gone: Sequence[str], guarded: Guard) -> None:
        """Add the lines about places; raise where nothing at all can be done of what was named."""
        found, problems = self.found, {**self.problems, **guarded.roots}
        explained = SortedPaths([*(skip.path or "" for skip in found.skipped), *found.unreadable])
        lost = SortedPaths(gone)
        for target in self.targets:
            place = target.place
            silent = not (present.count(place.path) or lost.count(place.path) or explained.count(place.path))
            if silent and not place.known and place.path not in problems and os.path.isdir(place.path):
                problems[place.path] = f"no photos found {_FORMATS}"
        self.problems = problems
        named = [place.path for place in self.places if not place.known]
        if named and not (present.paths or found.skipped or found.unreadable or set(gone) - guarded.kept):
            raise UsageError(_nothing(named, problems, changed=bool(guarded.roots)))
        found.skipped += [Skipped(path, reason) for path, reason in problems.items()]
        found.skipped += [*guarded.lines, *self._missing_lines()]
        found.sort()

    def _missing_lines(self) -> Iterable[Skipped]:
        """Tell of roots that are not there; files that were named one by one are told by their folder."""
        missing = [place.path for place in self.places if place.known and not os.path.exists(place.path)]
        missing = [path for path in missing if path in self.kept]
        if not missing:
            return []
        roots = Paths(missing)
        photos = Counter(root for path in self.stored if (root := roots.nearest(path)) is not None)
        told: Counter[str] = Counter()
        for path in missing:
            told[os.path.dirname(path) if path in self.stored else path] += photos[path.rstrip(os.sep)]
        return [
            Skipped(path, f"is not there, its {n} photos are kept; mount it, or drop it with 'imgsearch forget'")
            for path, n in told.items()
        ]

    def _roots_to_set(self, present: SortedPaths, guarded: Guard) -> tuple[IndexedRoot, ...]:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        return tuple(
            IndexedRoot(place.path, now, present.count(place.path), place.find, place.name)
            for place in (target.place for target in self.targets if target.own)
            if place.path not in self.problems and place.path not in guarded.roots
        )


def _own_options(find: FindOptions, name: str) -> FindOptions | None:
    """Return what holds below a root whatever holds above it; None where the root was named without options."""
    return find if name or find != FindOptions() else None


def _nothing(named: Sequence[str], problems: dict[str, str], *, changed: bool) -> str:
    """Return the message for a run of which nothing came."""
    path = next((path for path in named if path in problems), named[0])
    reason = problems.get(path, f"is not a photo in a format that is read {_FORMATS}")
    others = f" (and {len(named) - 1} more)" if len(named) > 1 else ""
    return f"{path}{others}: {reason}; nothing was {'changed' if changed else 'indexed'}"
