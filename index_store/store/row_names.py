"""The ids of the rows in Chroma's files of vectors, in the files' order; noted in the user's cache for large stores.

Chroma keeps them in a pickle by id, which takes longer to read than all vectors. What is noted belongs to files of one
size, time and inode; lost or not writable, it is read from the pickle again.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from index_store.paths import cache_folder
from index_store.store.vector_files import ROWS_FILE, row_kind

Names = NDArray[np.bytes_]
"""Ids in UTF-8, shape (rows,); empty for deleted rows."""

Marks = Sequence[Sequence[int] | None]

WORTH_NOTING = 2_000
"""The names of fewer rows are read from the pickle in a few milliseconds."""

_LONGEST = 64


def known_names(folder: str, marks: Marks) -> Names | None:
    """Return the names that were noted for a folder with these marks; None where there are none."""
    try:
        names = np.load(_file(folder, marks), allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return names if isinstance(names, np.ndarray) and names.ndim == 1 and names.dtype.kind == "S" else None


def note_names(folder: str, marks: Marks, labels: Mapping[str, int], dimension: int) -> Names:
    """Return the names of a folder's rows by their labels, and note them; those of earlier files are forgotten.

    Raises:
        OSError, ValueError: the files cannot be read.
    """
    kind, count = row_kind(folder, dimension)
    if any(len(name) > _LONGEST for name in labels):
        raise ValueError("ids that are longer than those of photos")
    rows = np.memmap(os.path.join(folder, ROWS_FILE), kind, "r", shape=(count,)) if count else np.zeros(0, kind)
    names = _in_order(rows["label"], labels)
    if len(names) >= WORTH_NOTING:
        file = _file(folder, marks)
        with suppress(OSError):
            file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            draft = file.with_name(f"{file.name}.{os.getpid()}")
            with draft.open("wb") as opened:
                np.save(opened, names)
            draft.replace(file)
            for other in file.parent.glob(f"{_prefix(folder)}-*.npy"):
                if other != file:
                    other.unlink(missing_ok=True)
    return names


def _in_order(row_labels: NDArray[Any], labels: Mapping[str, int]) -> Names:
    named = np.array([name.encode() for name in labels], dtype=np.bytes_)
    numbers = np.fromiter(labels.values(), dtype=np.uint64, count=len(labels))
    names = np.zeros(len(row_labels), dtype=named.dtype if len(named) else "S1")
    order = np.argsort(numbers)
    places = np.minimum(np.searchsorted(numbers, row_labels, sorter=order), max(len(numbers) - 1, 0))
    if len(numbers):
        known = numbers[order[places]] == row_labels
        names[known] = named[order[places[known]]]
    return names


def _file(folder: str, marks: Marks) -> Path:
    return cache_folder() / "sound" / f"{_prefix(folder)}-{_short(repr(marks).encode())}.npy"


def _prefix(folder: str) -> str:
    return _short(os.fsencode(os.path.realpath(folder)))


def _short(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=8).hexdigest()
