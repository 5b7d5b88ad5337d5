"""Find out what the roots above a path say about it: whether they take it in, and with which rules and options."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum, auto

from index_store.errors import DataError
from index_store.photos import file_system
from index_store.photos.ignore import IGNORE_FILE, Rules, is_rubbish
from index_store.records import FindOptions


class Standing(Enum):
    """Whether the roots above a path take it in. `UNREACHED`: hidden ones, rubbish, and links that are not followed."""

    TAKEN = auto()
    EXCLUDED = auto()
    UNREACHED = auto()
    UNREADABLE = auto()


@dataclass(frozen=True, slots=True)
class Entry:
    """What the roots above a path say about it: its standing, and the rules and options that hold there."""

    standing: Standing
    rules: Rules
    options: FindOptions


_OUTSIDE = Entry(Standing.TAKEN, Rules(), FindOptions())


class NestedRoots:
    """Roots inside roots: the options of the innermost hold, and the ignore files of all folders above it."""

    def __init__(self, finds: Mapping[str, FindOptions | None]) -> None:
        """Take the options of roots by path; None for one that has none of its own."""
        self.finds = dict(finds)
        self._inside: dict[str, Entry] = {}

    def above(self, path: str) -> str | None:
        """Return the innermost root that holds a path and is another."""
        return next((folder for folder in _ancestors(path) if folder in self.finds), None)

    def entry(self, path: str) -> Entry:
        """Return what the roots above a path say about it; where there is none it is taken, without rules.

        Raises:
            UsageError: a stored pattern of one of them cannot be understood.
        """
        roots = [folder for folder in _ancestors(path) if folder in self.finds]
        if not roots:
            return _OUTSIDE
        folder, entry = roots[-1], _OUTSIDE
        below = path[len(folder.rstrip(os.sep)) + 1 :].split(os.sep)
        for name in below:
            entry = self._entered(folder, entry)
            folder = os.path.join(folder, name)
            entry = _judged(folder, entry)
        return entry

    def _entered(self, folder: str, entry: Entry) -> Entry:
        """Return what holds inside a folder that has this entry."""
        if folder not in self._inside:
            standing, rules, options = entry.standing, entry.rules, entry.options
            if (find := self.finds.get(folder)) is not None:
                standing, rules, options = Standing.TAKEN, rules.for_root(folder, find.exclude), find
            elif folder in self.finds and standing is Standing.UNREACHED:
                standing = Standing.TAKEN
            if file_system.exists(os.path.join(folder, IGNORE_FILE), follow_links=False):
                try:
                    rules = rules.inside(folder, [])
                except DataError:
                    standing = Standing.UNREADABLE
            self._inside[folder] = Entry(standing, rules, options)
        return self._inside[folder]


def _judged(path: str, entry: Entry) -> Entry:
    if entry.standing is not Standing.TAKEN:
        return entry
    name, is_folder = os.path.basename(path), file_system.is_folder(path)
    excluded = entry.rules.decide(path, is_folder=is_folder)
    not_followed = is_folder and not entry.options.follow_symlinks and os.path.islink(path)
    if excluded:
        standing = Standing.EXCLUDED
    elif (name.startswith(".") and not entry.options.hidden) or not_followed or (excluded is None and is_rubbish(name)):
        standing = Standing.UNREACHED
    else:
        standing = Standing.TAKEN
    return Entry(standing, entry.rules, entry.options)


def _ancestors(path: str) -> Iterable[str]:
    while path != (parent := os.path.dirname(path)):
        yield parent
        path = parent
