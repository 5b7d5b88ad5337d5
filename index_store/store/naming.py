"""Translate between photos' absolute paths on this machine and the ids under which a store keeps them.

A row's id is the photo's path as it is, with two exceptions. Below a root that was given a name it is
`root:NAME/relative/path`, so that machines which reach the same photos by different paths mean the same files. And a
path with bytes that are no UTF-8, which Chroma cannot keep, is written with %XX behind the prefix `bytes:`. An absolute
path begins with neither prefix.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from urllib.parse import quote, unquote_to_bytes

NAMED = "root:"
"""What the name of a file below a named root begins with; an absolute path does not."""
_UNDECODABLE = "bytes:"


class Naming:
    """The names of roots on this machine: name -> absolute path."""

    def __init__(self, roots: Mapping[str, str] | None = None) -> None:
        self._roots = dict(roots or {})

    def row_id(self, image_id: str) -> str:
        """Return the id under which the store keeps a photo."""
        for name, path in self._roots.items():
            if image_id == path:
                return kept(f"{NAMED}{name}")
            if image_id.startswith(path.rstrip(os.sep) + os.sep):
                inside = os.path.relpath(image_id, path).replace(os.sep, "/")
                return kept(f"{NAMED}{name}/{inside}")
        return kept(image_id)

    def image_id(self, row_id: str) -> str:
        """Return the photo's path on this machine; where its root has none here, the row's id as it is."""
        text = plain(row_id)
        if not text.startswith(NAMED):
            return text
        name, _, inside = text[len(NAMED) :].partition("/")
        path = self._roots.get(name)
        if path is None:
            return text
        return os.path.join(path, *inside.split("/")) if inside else path


def kept(text: str) -> str:
    """Return a path in the form in which Chroma can keep it."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return _UNDECODABLE + quote(os.fsencode(text))
    return text


def plain(row_id: str) -> str:
    """Undo `kept`."""
    if row_id.startswith(_UNDECODABLE):
        return os.fsdecode(unquote_to_bytes(row_id[len(_UNDECODABLE) :]))
    return row_id
