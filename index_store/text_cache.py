"""Remember the embeddings of texts, so that a repeated query needs no text encoder.

A small SQLite file beside the index. Texts are kept as hashes only, since what people look for is nobody's business.
"""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

MAX_TEXTS = 10_000
"""The most texts that are remembered for all encoders together: 10,000 of 384 numbers are 15 MB."""

CACHE_FILE = "texts.sqlite3"

_TABLE = "CREATE TABLE IF NOT EXISTS texts (key BLOB PRIMARY KEY, embedding BLOB NOT NULL)"
"""With row ids, so that counting reads the index of the keys and not every embedding."""


class TextCache:
    """The embeddings of texts, by encoder and text.

    A cache that cannot be read or written is an empty one: it only ever saves time.
    """

    def __init__(self, folder: Path, max_texts: int = MAX_TEXTS) -> None:
        self._path = folder / CACHE_FILE
        self._max_texts = max_texts

    def get(self, encoder: str, text: str, dimension: int) -> NDArray[np.float32] | None:
        """Return the embedding of shape (dimension,), or None where it is not known."""
        if not self._path.exists():
            return None
        with suppress(sqlite3.Error), closing(sqlite3.connect(self._path, timeout=0.1)) as connection:
            row = connection.execute("SELECT embedding FROM texts WHERE key = ?", (_key(encoder, text),)).fetchone()
            if row is not None and len(row[0]) == 4 * dimension:
                return np.frombuffer(row[0], dtype="<f4").astype(np.float32)
        return None

    def put(self, encoder: str, text: str, embedding: NDArray[np.float32]) -> None:
        """Remember an embedding; when the cache is full a tenth of it makes room."""
        with suppress(sqlite3.Error), closing(sqlite3.connect(self._path, timeout=0.1)) as connection, connection:
            connection.execute("PRAGMA synchronous = OFF")  # what a crash of the machine loses is only time
            connection.execute(_TABLE)
            count = connection.execute("SELECT COUNT(*) FROM texts").fetchone()[0]
            if count >= self._max_texts:
                # keys are hashes, so the first tenth by key is a random one
                doomed = max(1, self._max_texts // 10)
                connection.execute("DELETE FROM texts WHERE key IN (SELECT key FROM texts LIMIT ?)", (doomed,))
            stored = embedding.astype("<f4").tobytes()
            connection.execute("INSERT OR REPLACE INTO texts VALUES (?, ?)", (_key(encoder, text), stored))


def _key(encoder: str, text: str) -> bytes:
    return hashlib.blake2b(f"{encoder}\0{text}".encode("utf-8", "surrogatepass"), digest_size=16).digest()
