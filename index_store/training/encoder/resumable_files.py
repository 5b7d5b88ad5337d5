"""Files of a training that may be killed at any moment: whole ones, and large arrays that are written part by part."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
KEPT_EVERY = 1024
"""Rows after which what is done is written down: a killed run loses less than so many."""


def write_atomically(file: Path, content: bytes | Callable[[Any], None]) -> None:
    """Write a file whole or not at all; `content` may be a function that writes into an open file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=file.parent, prefix=f".{file.name}.", delete=False) as part:
        try:
            if callable(content):
                content(part)
            else:
                part.write(content)
            part.flush()
            os.fsync(part.fileno())
        except BaseException:
            Path(part.name).unlink(missing_ok=True)
            raise
    Path(part.name).replace(file)


def in_parts(file: Path | None, rows: int, make: Callable[[int], Iterator[Array]]) -> Array:
    """Return an array of `rows` rows that `make(start)` yields in batches from row `start` on.

    With `file`, an .npy, the batches are kept there: a run that was killed goes on behind the last one that was
    written down, and the whole file is read by later runs, which map it rather than load it.
    """
    if file is None:
        return np.concatenate(list(make(0)))
    if file.exists():
        return np.load(file, mmap_mode="r")  # type: ignore[no-any-return]
    file.parent.mkdir(parents=True, exist_ok=True)
    part, count = file.with_suffix(".part"), file.with_suffix(".count")
    done = _written_down(part, count, rows)
    array: Any = np.load(part, mmap_mode="r+") if done else None
    kept = done
    for batch in make(done):
        if array is None:
            array = np.lib.format.open_memmap(part, mode="w+", dtype=batch.dtype, shape=(rows, *batch.shape[1:]))
        array[done : done + len(batch)] = batch
        done += len(batch)
        if done - kept >= KEPT_EVERY:
            array.flush()
            write_atomically(count, json.dumps(done).encode())
            kept = done
    array.flush()
    part.replace(file)
    count.unlink(missing_ok=True)
    return np.load(file, mmap_mode="r")  # type: ignore[no-any-return]


def _written_down(part: Path, count: Path, rows: int) -> int:
    try:
        done = int(json.loads(count.read_text(encoding="utf-8")))
        fits = np.load(part, mmap_mode="r").shape[0] == rows
    except (OSError, ValueError, TypeError):
        return 0
    return done if fits and 0 < done <= rows else 0
