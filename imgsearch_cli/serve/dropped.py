"""Photos that were dropped on the page: kept in memory for the searches that follow, a few, never on the disk."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from threading import Lock

MOST_BYTES = 64 << 20
"""The largest photo that is taken, and with `_MOST_KEPT` times it the most memory that all of them get."""

_MOST_KEPT = 4
_PREFIX = "dropped-"


class DroppedPhotos:
    """The contents of the last photos that were dropped, by ids that nobody can guess."""

    def __init__(self) -> None:
        """Begin with none."""
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._lock = Lock()

    def keep(self, content: bytes) -> str:
        """Keep a photo in place of the oldest ones and return its id."""
        photo_id = _PREFIX + secrets.token_hex(16)
        with self._lock:
            self._kept[photo_id] = content
            while sum(map(len, self._kept.values())) > _MOST_KEPT * MOST_BYTES:
                self._kept.popitem(last=False)
        return photo_id

    def get(self, photo_id: str) -> bytes | None:
        """Return a kept photo; None where it is no longer kept."""
        with self._lock:
            if photo_id in self._kept:
                self._kept.move_to_end(photo_id)
            return self._kept.get(photo_id)

    def drop(self, photo_id: str) -> None:
        """Forget a photo."""
        with self._lock:
            self._kept.pop(photo_id, None)

    @staticmethod
    def names(photo_id: str) -> bool:
        """Return whether an id is one of a dropped photo."""
        return photo_id.startswith(_PREFIX)
