"""Ids by which the page asks for photos: never a path, and none that the server has not given out."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets

from index_store.store.seals import seal

_FORM = re.compile(r"([0-9a-f]{32})-([0-9a-f]{32})")
_PURPOSE = "a photo of the web page"


class PhotoIds:
    """Content hashes with a keyed hash behind them, so that nobody can ask whether a photo that he has is in the store.

    The key lies in the user's data folder: links go on working after a new start. Who has no such folder gets one for
    this process.
    """

    def __init__(self) -> None:
        """Take the user's key."""
        self._key = b"" if seal(_PURPOSE) else secrets.token_bytes(32)

    def of(self, content: str) -> str:
        """Return the id of a content."""
        return f"{content}-{self._tag(content)}"

    def content_of(self, photo_id: str) -> str | None:
        """Return the content that an id names, None where this user's server has not made the id."""
        match = _FORM.fullmatch(photo_id)
        if match is None or not hmac.compare_digest(match[2], self._tag(match[1])):
            return None
        return match[1]

    def _tag(self, content: str) -> str:
        if not self._key:
            return seal(_PURPOSE, content)
        return hashlib.blake2b(content.encode(), key=self._key, digest_size=16).hexdigest()
