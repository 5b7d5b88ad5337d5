"""The folders and files that a run indexes, each under the one path by which the store knows it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from index_store.errors import UsageError
from index_store.photos import file_system
from index_store.photos.find import Identity, identity
from index_store.records import FindOptions, IndexedRoot


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
        path = file_system.absolute(place.path)
        if file_system.exists(path, follow_links=False):
            path = recognised.known_path(path)
            recognised.add(path)
        name = place.name or names.get(path, "")
        if name != names.get(path, name):
            raise UsageError(f"{path}: has the name {names[path]} already; to give it another, forget it first")
        chosen.setdefault(path, replace(place, path=path, name=name))
    return list(chosen.values())


class KnownPlaces:
    """The paths by which places are known; links, mounts and other spellings of a place get the same path."""

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
        if file_system.is_folder(path):
            here = self._identity(path)
            if here is not None:
                self._folders.setdefault(here, path)
        elif (parent := self._identity(os.path.dirname(path))) is not None:
            # hard links share an inode, and are two photos: a file is known by its folder and its name
            self._files.setdefault((parent, os.path.basename(path)), path)

    def known_path(self, path: str) -> str:
        """Return the path of a place as it follows from the known one that it is or lies in, else `path` itself."""
        folder, name = (path, "") if file_system.is_folder(path) else os.path.split(path)
        parent = self._identity(folder)
        if name and parent is not None and (parent, name) in self._files:
            return self._files[parent, name]
        if folder not in self._real:
            self._real[folder] = file_system.real(folder)
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
