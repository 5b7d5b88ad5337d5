"""Translate records to the flat rows that Chroma keeps beside each vector, and back; standard library only."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from index_store.compliance.decisions import Decision
from index_store.naming import kept, plain
from index_store.records import BY_HAND, FindOptions, IndexedRoot, PhotoFile, StoredPhoto, Verdict

Row = dict[str, str | int | float | bool]


WITHHELD_UP_TO, JUDGED_BY = "withheld_up_to", "judged_by"
"""The two keys of a photo's row that can be asked for; the facts they come from stand in the third."""

_PHOTO = "photo"


def photo_row(photo: StoredPhoto) -> Row:
    """Return the row of a photo; its path is the row's id.

    A row costs Chroma by its keys, to write and to read: what no query asks for shares one, in JSON.
    """
    facts = {
        "size_bytes": photo.file.size_bytes,
        "mtime_ns": photo.file.mtime_ns,
        "content_hash": photo.file.content_hash,
        "width": photo.width,
        "height": photo.height,
        "withheld": photo.verdict.withheld,
        "probability": photo.verdict.probability,
        "reason": photo.verdict.reason,
        "rule": photo.verdict.rule,
        "policy": photo.verdict.policy,
    }
    return {
        _PHOTO: json.dumps(facts, separators=(",", ":")),
        WITHHELD_UP_TO: photo.verdict.withheld_up_to,
        JUDGED_BY: judged_by(photo.verdict.rule, photo.verdict.policy),
    }


def judged_by(rule: str, policy: str) -> str:
    """Return what a row says about who judged its photo: a rule and a policy in one, or a person."""
    return BY_HAND if rule == BY_HAND else f"{rule} {policy}"


def stored_photo(image_id: str, row: Mapping[str, Any]) -> StoredPhoto:
    """Undo `photo_row`; the rows of schema 1 have the facts themselves for keys."""
    facts = json.loads(row[_PHOTO]) if _PHOTO in row else row
    return StoredPhoto(
        PhotoFile(image_id, facts["size_bytes"], facts["mtime_ns"], facts["content_hash"] or None),
        facts["width"],
        facts["height"],
        Verdict(facts["withheld"], facts["probability"], facts["reason"], facts["rule"], facts["policy"]),
    )


def root_row(root: IndexedRoot, encoder: str, host: str) -> Row:
    """Return the row of a root; one that has a name belongs to the machine `host`."""
    return {
        "encoder": encoder,
        "path": kept(root.path),
        "name": root.name,
        "host": host if root.name else "",
        "indexed_at": root.indexed_at,
        "photos": root.photos,
        "find": json.dumps(asdict(root.find)),
    }


def indexed_root(row: Mapping[str, Any]) -> IndexedRoot:
    """Undo `root_row`."""
    find = json.loads(row["find"])
    options = FindOptions(tuple(find["exclude"]), find["hidden"], find["follow_symlinks"], find.get("keep_raw", False))
    return IndexedRoot(plain(row["path"]), row["indexed_at"], row["photos"], options, row["name"])


def decision_row(decision: Decision) -> Row:
    """Return the row of a decision by hand."""
    return asdict(decision) | {"path": kept(decision.path)}


def stored_decision(row: Mapping[str, Any]) -> Decision:
    """Undo `decision_row`."""
    return Decision(**{**row, "path": plain(row["path"])})
