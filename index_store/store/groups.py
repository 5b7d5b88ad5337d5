"""Groups: the photos of the same folders, camera and shape share a number, which filters ask for.

A path or a camera in a key of each row would make every row larger, and Chroma finds no part of a text among keys. So
the groups themselves are kept once, in a small collection, and a row has the number of its group.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, NamedTuple

from index_store.paths import lies_below
from index_store.store.naming import Naming

if TYPE_CHECKING:
    from datetime import date

    from index_store.question import Filters
    from index_store.records import StoredPhoto

DAY, GROUP = "day", "group"
"""The keys of a row that filters ask for: the day as a number, 20210614, and the number of the group."""

_GROUP = "group"
_NUMBER_BYTES = 6
"""Of two million groups two share a number by chance in one of a hundred libraries."""

Condition = dict[str, Any]


class Group(NamedTuple):
    """What a filter asks of a photo besides its day: `folders` are those of its files, as the store keeps names."""

    folders: tuple[str, ...]
    camera: str
    shape: str

    @property
    def number(self) -> int:
        """The number that rows of the group have; it follows from the group alone, whoever writes."""
        return int.from_bytes(blake2b(self.text.encode(), digest_size=_NUMBER_BYTES).digest())

    @property
    def text(self) -> str:
        """The group as it is kept."""
        return json.dumps([list(self.folders), self.camera, self.shape], separators=(",", ":"))


def group_of(photo: StoredPhoto, naming: Naming) -> Group:
    """Return the group of a photo."""
    folders = {naming.row_id(os.path.dirname(path)) for path in photo.paths}
    return Group(tuple(sorted(folders)), photo.camera, photo.shape)


def stored_group(row: Mapping[str, Any]) -> Group | None:
    """Return the group that a row of the small collection holds; None for a row that this program does not write."""
    try:
        folders, camera, shape = json.loads(row[_GROUP])
        texts = [*folders, camera, shape]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return Group(tuple(folders), camera, shape) if all(isinstance(text, str) for text in texts) else None


def group_row(group: Group) -> dict[str, str]:
    """Undo `stored_group`."""
    return {_GROUP: group.text}


def day_number(day: date) -> int:
    """Return a day as a number that grows with it: 20210614."""
    return 10_000 * day.year + 100 * day.month + day.day


@dataclass(frozen=True, slots=True)
class Passing:
    """Which rows pass: `first` and `last` are days as numbers; `groups`, None for all, are those that pass.

    `others` are the groups that do not.
    """

    first: int | None = None
    last: int | None = None
    groups: frozenset[int] | None = None
    others: frozenset[int] = frozenset()

    @property
    def nothing(self) -> bool:
        """Whether no row can pass."""
        return self.groups is not None and not self.groups

    def condition(self) -> Condition | None:
        """Return the filter as Chroma takes it, None where all rows pass."""
        parts: list[Condition] = []
        if self.first is not None:
            parts.append({DAY: {"$gte": self.first}})
        if self.last is not None:
            parts.append({DAY: {"$lte": self.last}})
        if self.groups is not None and self.others:
            # the shorter list of the two: each number is a parameter of the query
            few = len(self.groups) <= len(self.others)
            parts.append({GROUP: {"$in": sorted(self.groups)} if few else {"$nin": sorted(self.others)}})
        return {"$and": parts} if len(parts) > 1 else parts[0] if parts else None

    def admits(self, row: Mapping[str, Any]) -> bool:
        """Return whether a row passes."""
        day, group = row.get(DAY), row.get(GROUP)
        if not isinstance(day, int) or not isinstance(group, int):
            return False
        if (self.first is not None and day < self.first) or (self.last is not None and day > self.last):
            return False
        return self.groups is None or group in self.groups


def passing(filters: Filters, groups: Collection[Group], naming: Naming) -> Passing:
    """Return which rows pass the filters, of a store with these groups."""
    first = None if filters.after is None else day_number(filters.after)
    last = None if filters.before is None else day_number(filters.before) - 1  # of no day, or of the day before
    if not (filters.folders or filters.camera or filters.shape):
        return Passing(first, last)
    chosen = frozenset(group.number for group in _passing(filters, groups, naming))
    return Passing(first, last, chosen, frozenset(group.number for group in groups) - chosen)


def _passing(filters: Filters, groups: Iterable[Group], naming: Naming) -> Iterator[Group]:
    camera = filters.camera.casefold()
    for group in groups:
        if filters.shape and group.shape != filters.shape:
            continue
        if camera and camera not in group.camera.casefold():
            continue
        if filters.folders and not _lies_in(map(naming.image_id, group.folders), filters.folders):
            continue
        yield group


def _lies_in(inside: Iterable[str], folders: Iterable[str]) -> bool:
    return any(lies_below(path, folder) for path in inside for folder in folders)
