"""Remember the embeddings of texts, so that a repeated query needs no text encoder.

A small SQLite file in the user's cache folder, never in a store, which may be somebody else's. Queries are private,
and an embedding reveals nearly as much as its text: each is stored under a key that is derived from the text, and
masked with another one. Whoever has the file, and not the text, can only guess texts, at about a hundred a second.
"""

from __future__ import annotations

import errno
import hashlib
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

MAX_TEXTS = 10_000
"""The most texts that are remembered for all encoders together: 10,000 of 384 numbers are 15 MB."""

CACHE_FILE = "query-embeddings.sqlite3"

_KEY_BYTES, _SALT_BYTES = 16, 16
_TABLES = (
    # with row ids, so that counting reads the index of the keys and not every embedding
    "CREATE TABLE IF NOT EXISTS texts (key BLOB PRIMARY KEY, embedding BLOB NOT NULL)",
    "CREATE TABLE IF NOT EXISTS salts (salt BLOB NOT NULL)",
)


class TextCache:
    """The embeddings of texts, by encoder and text.

    A cache that cannot be read or written is an empty one: it only ever saves time.
    """

    def __init__(self, folder: Path, max_texts: int = MAX_TEXTS) -> None:
        self._path = folder / CACHE_FILE
        self._max_texts = max_texts

    def get(self, encoder: str, text: str, dimension: int) -> NDArray[np.float32] | None:
        """Return the embedding of shape (dimension,), or None where it is not known."""
        if self._path.is_symlink() or not self._path.exists():
            return None
        with suppress(sqlite3.Error), self._opened() as connection:
            key, masking = _derive(encoder, text, _salt(connection))
            row = connection.execute("SELECT embedding FROM texts WHERE key = ?", (key,)).fetchone()
            if row is not None and len(row[0]) == 4 * dimension:
                return np.frombuffer(_masked(row[0], masking), dtype="<f4").astype(np.float32)
        return None

    def put(self, encoder: str, text: str, embedding: NDArray[np.float32]) -> None:
        """Remember an embedding; when the cache is full, a tenth of it is deleted first."""
        with suppress(sqlite3.Error, OSError):
            self._make()
            with self._opened() as connection, connection:
                connection.execute("PRAGMA synchronous = OFF")  # what a crash of the machine loses is only time
                for table in _TABLES:
                    connection.execute(table)
                count = connection.execute("SELECT COUNT(*) FROM texts").fetchone()[0]
                if count >= self._max_texts:
                    # keys are hashes, so the first tenth by key is a random one
                    surplus = max(1, self._max_texts // 10)
                    connection.execute("DELETE FROM texts WHERE key IN (SELECT key FROM texts LIMIT ?)", (surplus,))
                key, masking = _derive(encoder, text, _salt(connection, make=True))
                stored = _masked(embedding.astype("<f4").tobytes(), masking)
                connection.execute("INSERT OR REPLACE INTO texts VALUES (?, ?)", (key, stored))

    def _make(self) -> None:
        """Make the file, for its owner alone; one that is there stays, and a link is followed nowhere."""
        if self._path.is_symlink():
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with suppress(FileExistsError):
            os.close(os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self._path, timeout=0.1)) as connection:
            yield connection


def _salt(connection: sqlite3.Connection, *, make: bool = False) -> bytes:
    """Return what makes this file's keys its own: no list of keys can be made before the file is seen."""
    row = connection.execute("SELECT salt FROM salts").fetchone()
    if row is None and make:
        row = (os.urandom(_SALT_BYTES),)
        connection.execute("INSERT INTO salts VALUES (?)", row)
    if row is None or not isinstance(row[0], bytes):
        raise sqlite3.DatabaseError("the cache has no salt")
    return row[0]


@lru_cache(maxsize=1)  # a text is looked up and then stored
def _derive(encoder: str, text: str, salt: bytes) -> tuple[bytes, bytes]:
    """Return the key that an embedding is stored under and the one that masks it; takes 10 ms, so that guesses do."""
    password = f"{encoder}\0{text}".encode("utf-8", "surrogatepass")
    derived = hashlib.scrypt(password, salt=salt, n=2**12, r=8, p=1, dklen=_KEY_BYTES + 32)
    return derived[:_KEY_BYTES], derived[_KEY_BYTES:]


def _masked(content: bytes, masking: bytes) -> bytes:
    """Mask or unmask bytes; each text has a masking key of its own, so that no two share a mask."""
    mask = hashlib.shake_256(masking).digest(len(content))
    return (np.frombuffer(content, np.uint8) ^ np.frombuffer(mask, np.uint8)).tobytes()
