"""Recognise places by what the disk says they are, and tell how the roots above a path meet it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum, auto

from index_store.errors import DataError
from index_store.photos.find import Identity, identity
from index_store.photos.ignore import IGNORE_FILE, Rules, is_rubbish
from index_store.records import FindOptions


class Paths:
    """A set of paths that holds all that lies below them, too."""

    def __init__(self, paths: Iterable[str]) -> None:
        """Take absolute paths."""
        self._paths = {path.rstrip(os.sep) for path in paths}

    def hold(self, path: str) -> bool:
        """Tell whether an absolute path is one of these or lies below one."""
        return self.nearest(path) is not None

    def nearest(self, path: str) -> str | None:
        """Return the innermost of these, without a slash at its end, that is a path or lies above it."""
        if not self._paths:
            return None
        path = path.rstrip(os.sep)
        while path not in self._paths:
            if not path:
                return None
            path = path[: path.rindex(os.sep)] if os.sep in path else ""
        return path


class KnownPlaces:
    """The paths by which places are known; links, mounts and other spellings that lead there get the same path."""

    def __init__(self, paths: Iterable[str]) -> None:
        """Take the absolute paths of files and folders; those that are not there are never recognised."""
        self._folders: dict[Identity, str] = {}
        self._files: dict[tuple[Identity, str], str] = {}
        self._identities: dict[str, Identity | None] = {}
        self._real: dict[str, str] = {}
        for path in paths:
            self.add(path)

    def add(self, path: str) -> None:
        """Know a place by this path, unless it is known by another."""
        if os.path.isdir(path):
            here = self._identity(path)
            if here is not None:
                self._folders.setdefault(here, path)
        elif (parent := self._identity(os.path.dirname(path))) is not None:
            # hard links share an inode, and are two photos: a file is known by its folder and its name
            self._files.setdefault((parent, os.path.basename(path)), path)

    def known_path(self, path: str) -> str:
        """Return the path of a place as it follows from the known one that it is or lies in, else `path` itself."""
        folder, name = (path, "") if os.path.isdir(path) else os.path.split(path)
        parent = self._identity(folder)
        if name and parent is not None and (parent, name) in self._files:
            return self._files[parent, name]
        if folder not in self._real:
            self._real[folder] = os.path.realpath(folder)
        real = above = self._real[folder]
        while True:
            here = self._identity(above)
            if here is not None and here in self._folders:
                parts = (real[len(above) :].strip(os.sep), name)
                return os.path.join(self._folders[here], *filter(None, parts))
            if above == os.path.dirname(above):
                return path
            above = os.path.dirname(above)

    def _identity(self, folder: str) -> Identity | None:
        if folder not in self._identities:
            self._identities[folder] = identity(folder)
        return self._identities[folder]


class Standing(Enum):
    """How a root above a path meets it: `UNREACHED` are hidden files, rubbish, and links that are not followed."""

    TAKEN = auto()
    EXCLUDED = auto()
    UNREACHED = auto()
    UNREADABLE = auto()


@dataclass(frozen=True, slots=True)
class Entry:
    """A path as the roots above it meet it, with the rules and the options that hold there."""

    standing: Standing
    rules: Rules
    options: FindOptions


_OUTSIDE = Entry(Standing.TAKEN, Rules(), FindOptions())


class Nesting:
    """Roots inside roots: the options of the innermost hold, and the ignore files of all folders above it."""

    def __init__(self, finds: Mapping[str, FindOptions | None]) -> None:
        """Take the options of roots by path; None for one that has none of its own."""
        self.finds = dict(finds)
        self._inside: dict[str, Entry] = {}

    def above(self, path: str) -> str | None:
        """Return the innermost root that holds a path and is another."""
        return next((folder for folder in _ancestors(path) if folder in self.finds), None)

    def entry(self, path: str) -> Entry:
        """Return how the roots above a path meet it; where there is none it is taken, without rules.

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
            entry = _met(folder, entry)
        return entry

    def _entered(self, folder: str, entry: Entry) -> Entry:
        """Return what holds inside a folder that is met in this way."""
        if folder not in self._inside:
            standing, rules, options = entry.standing, entry.rules, entry.options
            if (find := self.finds.get(folder)) is not None:
                standing, rules, options = Standing.TAKEN, rules.for_root(folder, find.exclude), find
            elif folder in self.finds and standing is Standing.UNREACHED:
                standing = Standing.TAKEN
            if os.path.lexists(os.path.join(folder, IGNORE_FILE)):
                try:
                    rules = rules.inside(folder, [])
                except DataError:
                    standing = Standing.UNREADABLE
            self._inside[folder] = Entry(standing, rules, options)
        return self._inside[folder]


def _met(path: str, entry: Entry) -> Entry:
    if entry.standing is not Standing.TAKEN:
        return entry
    name, is_folder = os.path.basename(path), os.path.isdir(path)
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
