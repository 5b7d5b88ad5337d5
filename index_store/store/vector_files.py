"""Chroma's files of vectors (hnswlib's format): whether they fit each other, and what can be read out of broken ones.

Chroma trusts these files: a header that was cut or a link to a row that is not there ends the process, and
vectors that are lost are passed over in silence. One folder holds one collection:

- `header.bin`: sizes and counts, 100 bytes.
- `data_level0.bin`: for each row its links in the lowest level, its vector and its label.
- `link_lists.bin`: for each row its links in the upper levels, which one row in `max_neighbors` has.
- `length.bin`: for each row the length that its vector had.
- `index_metadata.pickle`: the labels by id.
"""

from __future__ import annotations

import io
import os
import pickle
import pickletools
import re
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROWS_FILE, LABELS_FILE = "data_level0.bin", "index_metadata.pickle"
FILES = ("header.bin", ROWS_FILE, "link_lists.bin", "length.bin", LABELS_FILE)

UNIT_TOLERANCE = 1e-3
"""How far a vector's length may be from 1 and still be taken for one that this program wrote."""

_HEADER = struct.Struct("<iQQQQQQiIQQQdQ")
_VERSION = 1
_DELETED = 1
_MOST_LEVELS = 64
_LARGEST_NAMES = 2_000_000_000


@dataclass(frozen=True, slots=True)
class VectorFolder:
    """What one folder holds: labels by id, without those of deleted rows; `problem` where the files do not fit.

    `rows` counts the deleted ones too, whose space Chroma keeps.
    """

    labels: dict[str, int]
    problem: str | None = None
    rows: int = 0


@dataclass(frozen=True, slots=True)
class _Header:
    version: int
    first_offset: int
    capacity: int
    rows: int
    row_size: int
    label_offset: int
    vector_offset: int
    top_level: int
    entry: int
    upper_links: int
    lower_links: int
    links: int
    level_factor: float
    ef_construction: int


class _BrokenError(Exception):
    """The files cannot be used; the message says which and why."""


def check_folder(folder: str, dimension: int) -> VectorFolder:
    """Read a folder's files, whose vectors have `dimension` numbers, and check that they fit each other.

    Reads all links, but of the vectors only a few: 100,000 rows take about 0.05 s.
    """
    try:
        _refuse_pipes(folder)
        header = _read_header(os.path.join(folder, "header.bin"), dimension)
        _expect_size(folder, "data_level0.bin", header, header.row_size)
        _expect_size(folder, "length.bin", header, 4)
        labels = _read_labels(os.path.join(folder, LABELS_FILE))
        levels = _check_upper_links(os.path.join(folder, "link_lists.bin"), header)
        _check_rows(os.path.join(folder, "data_level0.bin"), header, labels)
        _check_lengths(os.path.join(folder, "length.bin"), header)
        if header.rows and levels[header.entry] != header.top_level:
            raise _BrokenError("header.bin names a wrong entry row")
    except FileNotFoundError as error:
        return VectorFolder({}, f"{os.path.basename(str(error.filename))} is missing")
    except (_BrokenError, OSError, ValueError) as error:
        return VectorFolder({}, str(error))
    return VectorFolder(labels, rows=header.rows)


def read_vectors(folder: str, dimension: int, max_neighbors: int) -> dict[str, NDArray[np.float32]]:
    """Return the vectors that can still be read from a folder, sound or broken, by id: those of length 1.

    `max_neighbors` is what the collection was made with; a broken header is not needed.
    """
    row_size = 4 + 8 * max_neighbors + 4 * dimension + 8
    try:
        labels = _read_labels(os.path.join(folder, LABELS_FILE))
        path = os.path.join(folder, "data_level0.bin")
        rows = _row_array(path, os.path.getsize(path) // row_size, 2 * max_neighbors, dimension)
    except (_BrokenError, OSError, ValueError):
        return {}
    places = {int(label): place for place, label in enumerate(rows["label"])}
    found: dict[str, NDArray[np.float32]] = {}
    for name, label in labels.items():
        vector = rows["vector"][places[label]] if label in places else None
        if vector is not None and is_unit(vector):
            found[name] = np.array(vector)
    return found


def row_kind(folder: str, dimension: int) -> tuple[np.dtype[Any], int]:
    """Return how a row lies in the file of rows, and how many there are, with deleted ones.

    Raises:
        OSError, ValueError: the header cannot be read, or holds numbers that do not fit each other.
    """
    try:
        header = _read_header(os.path.join(folder, "header.bin"), dimension)
    except _BrokenError as error:
        raise ValueError(str(error)) from error
    return _row_kind(header.lower_links, dimension), header.rows


def is_unit(vector: NDArray[np.float32]) -> bool:
    """Return whether a vector is finite and of length 1, within what float32 and the encoders leave."""
    with np.errstate(all="ignore"):
        return bool(abs(float(np.linalg.norm(vector)) - 1.0) <= UNIT_TOLERANCE)


def _refuse_pipes(folder: str) -> None:
    for name in FILES:
        path = os.path.join(folder, name)
        if os.path.exists(path) and not os.path.isfile(path):  # to open a pipe would wait for its writer
            raise _BrokenError(f"{name} is no plain file")


def _read_header(path: str, dimension: int) -> _Header:
    with open(path, "rb") as file:
        content = file.read(_HEADER.size + 1)
    if len(content) != _HEADER.size:
        raise _BrokenError(f"header.bin has {len(content)} bytes, not {_HEADER.size}")
    header = _Header(*_HEADER.unpack(content))
    vector_offset = 4 * header.lower_links + 4
    label_offset = vector_offset + 4 * dimension
    sizes = (header.vector_offset, header.label_offset, header.row_size)
    if (
        header.version != _VERSION
        or header.first_offset != 0
        or sizes != (vector_offset, label_offset, label_offset + 8)
        or not header.rows <= header.capacity <= 16 * header.rows + 1_000_000
        or not 1 <= header.upper_links <= header.lower_links <= 10_000
        or (header.rows and not (0 <= header.top_level < _MOST_LEVELS and header.entry < header.rows))
    ):
        raise _BrokenError("header.bin holds numbers that do not fit each other")
    return header


def _expect_size(folder: str, name: str, header: _Header, row_size: int) -> None:
    # a new file is as large as the capacity in memory, one that has grown ends with the last row
    found = os.path.getsize(os.path.join(folder, name))
    if not header.rows * row_size <= found <= header.capacity * row_size:
        raise _BrokenError(f"{name} has {found} bytes, not {header.rows * row_size}")


def _check_lengths(path: str, header: _Header) -> None:
    lengths = np.fromfile(path, "<f4", header.rows)
    with np.errstate(all="ignore"):
        if not (np.abs(lengths - 1.0) <= UNIT_TOLERANCE).all():  # Chroma multiplies what it gives back by them
            raise _BrokenError("length.bin holds other lengths than 1")


_MEMO = re.compile(rb"r(?=....)|p(?=[0-9]{6})", re.DOTALL)
"""What begins like an instruction to number an object: LONG_BINPUT, or PUT with a number of six digits or more."""


class _LabelReader(pickle.Unpickler):
    """Reads a pickle of plain numbers and texts; one that names code to run is refused."""

    def find_class(self, module: str, name: str) -> Any:
        raise _BrokenError(f"index_metadata.pickle names {module}.{name}, which does not belong there")


def _refuse_large_memo(content: bytes) -> None:
    """Raise for a pickle that numbers an object higher than it has bytes: the reader would allocate that much memory.

    Chroma writes no such numbers. The exact look at each instruction is slow, so it is taken where one may be there.
    """
    places = (match.start() for match in _MEMO.finditer(content))
    if any(
        content[at : at + 1] == b"p" or int.from_bytes(content[at + 1 : at + 5], "little") > len(content)
        for at in places
    ):
        for operation, argument, _ in pickletools.genops(content):
            if operation.name in {"PUT", "LONG_BINPUT"} and int(argument or 0) > len(content):
                raise _BrokenError("index_metadata.pickle asks for more memory than it can need")


def _read_labels(path: str) -> dict[str, int]:
    if os.path.getsize(path) > _LARGEST_NAMES:
        raise _BrokenError("index_metadata.pickle is too large")
    with open(path, "rb") as file:
        content = file.read()
    try:
        _refuse_large_memo(content)
        found = _LabelReader(io.BytesIO(content)).load()
    except _BrokenError:
        raise
    except Exception as error:  # a broken pickle may raise nearly anything
        raise _BrokenError("index_metadata.pickle cannot be read") from error
    labels = found.get("id_to_label") if isinstance(found, dict) else None
    if not isinstance(labels, dict) or not all(
        type(name) is str and type(label) is int and 0 <= label < 2**63 for name, label in labels.items()
    ):
        raise _BrokenError("index_metadata.pickle holds no labels")
    return labels


def _row_kind(lower_links: int, dimension: int) -> np.dtype[Any]:
    return np.dtype(
        [
            ("count", "<u2"),
            ("flags", "u1"),
            ("unused", "u1"),
            ("links", "<u4", (lower_links,)),
            ("vector", "<f4", (dimension,)),
            ("label", "<u8"),
        ]
    )


def _row_array(path: str, rows: int, lower_links: int, dimension: int) -> NDArray[Any]:
    kind = _row_kind(lower_links, dimension)
    if not rows:
        return np.empty(0, dtype=kind)
    return np.memmap(path, dtype=kind, mode="r", shape=(rows,))


def _check_rows(path: str, header: _Header, labels: dict[str, int]) -> None:
    """Check the links of the lowest level, the labels, and that no part of the file was lost to zeros."""
    rows = _row_array(path, header.rows, header.lower_links, (header.label_offset - header.vector_offset) // 4)
    counts = rows["count"]
    if np.any(counts > header.lower_links):
        raise _BrokenError("data_level0.bin has rows with too many links")
    links = rows["links"]
    if len(links) and int(np.where(np.arange(links.shape[1]) < counts[:, np.newaxis], links, 0).max()) >= header.rows:
        raise _BrokenError("data_level0.bin has links to rows that are not there")
    if np.count_nonzero(counts == 0) > 1 + header.rows // 1000:
        raise _BrokenError("data_level0.bin has rows without links")
    live = rows["label"][(rows["flags"] & _DELETED) == 0]
    known = np.fromiter(labels.values(), dtype=np.uint64, count=len(labels))
    if len(live) != len(known) or not np.array_equal(np.sort(live), np.sort(known)):
        raise _BrokenError("data_level0.bin and index_metadata.pickle name other rows")


def _check_upper_links(path: str, header: _Header) -> NDArray[np.int64]:
    """Check the links of the upper levels, and return the level of each row, shape (rows,)."""
    words = np.fromfile(path, dtype="<u4")
    if os.path.getsize(path) != 4 * len(words):
        raise _BrokenError("link_lists.bin has a size that does not fit")
    levels = np.zeros(header.rows, dtype=np.int64)
    per_level = header.upper_links + 1
    starts: list[tuple[int, int]] = []  # (row, first word of its links)
    used = np.flatnonzero(words)
    row = word = 0
    while row < header.rows:
        # rows without upper links are single zeros: go on at the next word that is none
        at = int(np.searchsorted(used, word))
        following = int(used[at]) if at < len(used) else len(words)
        row, word = row + following - word, following
        if row >= header.rows or word >= len(words):
            break
        level, rest = divmod(int(words[word]), 4 * per_level)
        if rest or level > header.top_level:
            raise _BrokenError("link_lists.bin has entries of a wrong size")
        levels[row] = level
        starts.append((row, word + 1))
        row, word = row + 1, word + 1 + level * per_level
    if row != header.rows or word != len(words):
        raise _BrokenError("link_lists.bin has too few or too many entries")
    _check_linked_levels(words, starts, levels, header)
    return levels


def _check_linked_levels(
    words: NDArray[Any], starts: list[tuple[int, int]], levels: NDArray[np.int64], header: _Header
) -> None:
    per_level = header.upper_links + 1
    for row, start in starts:
        for level in range(1, int(levels[row]) + 1):
            first = start + (level - 1) * per_level
            count = int(words[first]) & 0xFFFF
            links = words[first + 1 : first + 1 + count]
            if count > header.upper_links or len(links) < count:
                raise _BrokenError("link_lists.bin has rows with too many links")
            if count and (int(links.max()) >= header.rows or int(levels[links].min()) < level):
                raise _BrokenError("link_lists.bin has links to rows that are not there")
