"""Translate records to the flat rows that Chroma keeps with each vector, and back; standard library only.

A row's id is the content hash of a photo. What comes back may have been written by anybody: it is checked.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from index_store.compliance.decisions import Decision
from index_store.errors import StoreError
from index_store.records import BY_HAND, FindOptions, IndexedRoot, PhotoFile, StoredPhoto, Verdict
from index_store.store.groups import DAY, GROUP, day_number, group_of
from index_store.store.naming import NAMED, Naming, kept, plain

Row = dict[str, str | int | float | bool]

WITHHELD_UP_TO, JUDGED_BY, COPIES = "withheld_up_to", "judged_by", "copies"
"""The keys of a photo's row that queries filter by; `copies` is there only where more than one file has the content."""

_PHOTO = "photo"
_CONTENT_HASH = re.compile(r"[0-9a-f]{8,64}")


class DamagedRowError(StoreError):
    """A row of the store does not hold what this program writes."""


def photo_row(photo: StoredPhoto, naming: Naming) -> Row:
    """Return the row of a photo.

    A row costs Chroma by its keys, to write and to read: what no query asks for shares one, in JSON.
    """
    verdict = photo.verdict
    facts = {
        "files": [_file_entry(file, naming) for file in photo.files],
        "width": photo.width,
        "height": photo.height,
        "taken": photo.taken,
        "camera": photo.camera,
        "pictures": photo.pictures,
        "withheld": verdict.withheld,
        "probability": verdict.probability,
        "reason": verdict.reason,
        "rule": verdict.rule,
        "policy": verdict.policy,
        "near": verdict.near,
    }
    if photo.shipped_vector:
        facts["shipped_vector"] = photo.shipped_vector
    row: Row = {
        _PHOTO: json.dumps(facts, separators=(",", ":")),
        WITHHELD_UP_TO: verdict.withheld_up_to,
        JUDGED_BY: judged_by(verdict.rule, verdict.policy),
        DAY: day_number(photo.day),
        GROUP: group_of(photo, naming).number,
    }
    return row | {COPIES: len(photo.files)} if len(photo.files) > 1 else row


def _file_entry(file: PhotoFile, naming: Naming) -> list[str | int]:
    """Return a file as a list, since the names of its five facts would be a third of a row."""
    name = naming.row_id(file.image_id)
    if name.startswith(NAMED):
        # machines that share a root agree on size and time, and not on what their own file systems add
        return [name, file.size_bytes, file.mtime_ns, 0, 0]
    return [name, file.size_bytes, file.mtime_ns, file.inode, file.ctime_ns]


def judged_by(rule: str, policy: str) -> str:
    """Return the value of a row that names who judged its photo: rule and policy in one text, or a person."""
    return BY_HAND if rule == BY_HAND else f"{rule} {policy}"


def stored_photo(content_hash: str, row: Mapping[str, Any], naming: Naming) -> StoredPhoto:
    """Undo `photo_row`.

    Raises:
        DamagedRowError: the row is not one that this program writes.
    """
    try:
        facts = json.loads(row[_PHOTO])
        files = tuple(_file(entry, content_hash, naming) for entry in facts["files"])
        verdict = Verdict(
            withheld=facts["withheld"] is not False,
            probability=_probability(facts["probability"]),
            reason=_text(facts["reason"]),
            rule=_text(facts["rule"]),
            policy=_text(facts["policy"]),
            near=_text(facts["near"]),
        )
        photo = StoredPhoto(
            content_hash,
            files,
            _count(facts["width"]),
            _count(facts["height"]),
            verdict,
            _text(facts["taken"]),
            _text(facts["camera"]),
            _count(facts["pictures"]),
            _text(facts.get("shipped_vector", "")),
        )
        if not files or not _CONTENT_HASH.fullmatch(content_hash):
            raise ValueError("a row without files, or with an id that is no hash")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DamagedRowError(f"row {content_hash[:64]!r} is damaged; 'imgsearch check --repair' drops it") from error
    return photo if len(files) == 1 else photo.with_files(files)


def _file(entry: Any, content_hash: str, naming: Naming) -> PhotoFile:
    name, size, mtime, inode, ctime = entry
    path = naming.image_id(_text(name))
    return PhotoFile(path, _count(size), _number(mtime), content_hash, _count(inode), _number(ctime))


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _number(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError
    return value


def _count(value: object) -> int:
    number = _number(value)
    if number < 0:
        raise ValueError
    return number


def _probability(value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        raise TypeError
    return min(max(float(value), 0.0), 1.0)


def root_row(root: IndexedRoot, host: str, seal: str) -> Row:
    """Return the row of a root; one that has a name belongs to the machine `host`."""
    return {
        "path": kept(root.path),
        "name": root.name,
        "host": host if root.name else "",
        "indexed_at": root.indexed_at,
        "photos": root.photos,
        "find": find_text(root.find),
        "seal": seal,
    }


def find_text(find: FindOptions) -> str:
    """Return the options of a search for photos as one text."""
    return json.dumps(asdict(find))


def indexed_root(row: Mapping[str, Any], *, trusted: bool) -> IndexedRoot | None:
    """Undo `root_row`; None for a row that this program does not write."""
    try:
        find = json.loads(row["find"])
        known = {name: find[name] for name in FindOptions.__dataclass_fields__ if name in find}
        if not all(isinstance(pattern, str) for pattern in known.get("exclude", ())):
            return None
        options = FindOptions(**known | {"exclude": tuple(known.get("exclude", ()))})
        path, name = plain(_text(row["path"])), _text(row["name"])
        return IndexedRoot(path, _text(row["indexed_at"]), _count(row["photos"]), options, name, trusted)
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def decision_row(decision: Decision) -> Row:
    """Return the row of a decision by hand."""
    return asdict(decision) | {"path": kept(decision.path), "embeddings": json.dumps(dict(decision.embeddings))}


def stored_decision(row: Mapping[str, Any]) -> Decision | None:
    """Undo `decision_row`; None for a row that this program does not write."""
    try:
        embeddings = json.loads(row.get("embeddings", "{}"))
        texts = {name: _text(row[name]) for name in ("content_hash", "reason", "path", "time", "user")}
        return Decision(
            **texts | {"path": plain(texts["path"])},
            withheld=row["withheld"] is not False,
            embeddings={str(name): _text(value) for name, value in embeddings.items()},
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
