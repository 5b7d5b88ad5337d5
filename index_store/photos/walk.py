"""Walk through the places of a run, each as a root of its own or as a part of one, with the options that hold there."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from index_store.errors import UsageError, os_reason
from index_store.paths import is_address
from index_store.photos import file_system
from index_store.photos.find import Found, Identity, InnerRoot, find_named, find_photos, identity
from index_store.photos.ignore import is_rubbish
from index_store.photos.nested_roots import Entry, NestedRoots, Standing
from index_store.records import FindOptions, IndexedRoot

if TYPE_CHECKING:
    from index_store.photos.places import Place


@dataclass(slots=True)
class Target:
    """A place to walk through: a root of its own, or a part of one, where the options of that root hold."""

    place: Place
    entry: Entry
    own: bool


@dataclass(slots=True)
class Walk:
    """What is decided and found on a walk through places.

    `targets` are walked through. Photos below `kept` stay, whatever is found. `missing` are known roots that are not
    there, `gone_roots` those of them that were deleted. `dropped` are roots that need not be remembered, `problems` the
    reports about places, `used` the patterns that matched.
    """

    places: Sequence[Place]
    known: Sequence[IndexedRoot]
    stored: Collection[str]
    found: Found = field(default_factory=Found)
    targets: list[Target] = field(default_factory=list)
    dropped: set[str] = field(default_factory=set)
    kept: set[str] = field(default_factory=set)
    missing: list[str] = field(default_factory=list)
    gone_roots: set[str] = field(default_factory=set)
    problems: dict[str, str] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)
    nesting: NestedRoots = field(default_factory=lambda: NestedRoots({}))

    def choose(self) -> None:
        """Decide for each place whether it is a root of its own, a part of one, or passed over."""
        self.nesting = NestedRoots({root.path: _own_options(root.find, root.name) for root in self.known})
        folders = [os.path.dirname(place.path) for place in self.places if not is_address(place.path)]
        shared = os.path.commonpath(folders) if folders else ""
        for place in sorted(self.places, key=lambda place: len(place.path)):
            try:
                if not file_system.is_there(place.path):
                    self._miss(place)
                    continue
                entry = self.nesting.entry(place.path)
            except UsageError as error:
                self._pass_over(place, str(error))
                continue
            except OSError as error:
                self._pass_over(place, f"cannot be read, what is stored of it stays: {os_reason(error)}")
                continue
            above = self.nesting.above(place.path)
            if entry.standing is Standing.EXCLUDED:
                self._excluded(place, str(above))
            elif entry.standing is Standing.UNREADABLE:
                self._pass_over(place, "lies below an ignore file that cannot be read, what is stored of it stays")
            elif len(self.places) > 1 and not place.known and (rubbish := self._rubbish(place.path, shared)):
                self.found.rubbish.update([rubbish])
            else:
                self.targets.append(Target(place, entry, self._is_own(place, entry, above)))

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
        below = path if file_system.is_folder(path) else os.path.dirname(path)
        names = below[0 if is_address(path) else len(shared) :].split(os.sep)
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
        if not place.known:  # a broken link
            self.problems[place.path] = "is a link to nothing"
        elif place.path in self.stored and file_system.is_folder(folder):
            self.gone_roots.add(place.path)
        else:
            self.kept.add(place.path)
            self.missing.append(place.path)

    def run(self) -> None:
        """Walk through the targets, each folder once."""
        inner = self._inner_roots()
        files: dict[tuple[str, FindOptions], list[str]] = {}
        for target in self.targets:
            path = target.place.path
            if path in self.found.reached:
                continue
            options = self.nesting.finds.get(path) or (target.place.find if target.own else target.entry.options)
            if not file_system.is_folder(path):
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
            if file_system.is_folder(path) and (here := identity(path)) is not None:
                inner.setdefault(here, InnerRoot(path, find))
        return inner

    def _add(self, found: Found, target: Target) -> None:
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


def _own_options(find: FindOptions, name: str) -> FindOptions | None:
    """Return what holds below a root whatever holds above it; None where the root was named without options."""
    return find if name or find != FindOptions() else None
