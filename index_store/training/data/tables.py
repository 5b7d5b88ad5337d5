"""Read one delimited table and remember every irregularity with its file and line.

Byte order marks, Windows line ends and an unexpected separator are read through and noted. A table that is missing, is
empty, lacks a column or is not UTF-8 is noted and gives no rows: whether one can do without it is the caller's to say.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

SEPARATORS = (",", "\t", "|", ";")
_LINES_NAMED = 5


@dataclass(frozen=True, slots=True)
class Problem:
    """One kind of irregularity in one file: `lines` count from 1 and are empty where the whole file is meant."""

    kind: str
    file: str
    lines: tuple[int, ...]
    message: str

    def __str__(self) -> str:
        if not self.lines:
            return f"{self.file}: {self.message}"
        more = self.lines[1:_LINES_NAMED]
        tail = f" (also line{'s' if len(more) > 1 else ''} {', '.join(map(str, more))}" if more else ""
        unnamed = len(self.lines) - 1 - len(more)
        tail += f" and {unnamed:,} more" if unnamed else ""
        return f"{self.file}:{self.lines[0]}: {self.message}{tail}{')' if more else ''}"


class _UnusableTableError(Exception):
    """A table of which no row can be used, and the line that shows it."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line


class ProblemLog:
    """Gathers irregularities one by one and gives them back with all of a kind together."""

    def __init__(self) -> None:
        self._lines: dict[tuple[str, str], list[int]] = defaultdict(list)
        self._messages: dict[tuple[str, str], str] = {}

    def note(self, kind: str, file: str, message: str, line: int | None = None) -> None:
        """Note one irregularity; of a kind in a file, the first message is the one that is shown."""
        key = (kind, file)
        self._messages.setdefault(key, message)
        if line is not None:
            self._lines[key].append(line)

    def problems(self) -> list[Problem]:
        """Return one `Problem` for each kind and file, in the order in which they were first met."""
        return [
            Problem(kind, file, tuple(self._lines[kind, file]), message)
            for (kind, file), message in self._messages.items()
        ]


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a table: its line in the file, counted from 1, and its fields by column."""

    line: int
    fields: Mapping[str, str]

    def __getitem__(self, column: str) -> str:
        return self.fields[column]


def read_table(path: Path, columns: Sequence[str], separator: str, header: bool, log: ProblemLog) -> list[Row]:
    """Return the rows of the table at `path`, each with the fields `columns`; none where the table is unusable.

    With `header`, columns are found by name and others are passed over; without, the table must have exactly these
    columns in this order.
    """
    try:
        lines = _lines_of(path, log)
        separator = _separator_of(lines[0], columns, header, separator, path.name, log)
        rows = list(_rows(lines, columns, separator, header, path.name, log))
        if not rows:
            raise _UnusableTableError("the table has no usable row", len(lines))
    except _UnusableTableError as error:
        log.note("no table", path.name, f"{error}; what needs this table is left out", error.line)
        return []
    return rows


def _lines_of(path: Path, log: ProblemLog) -> list[str]:
    """Return the lines of a UTF-8 file without their ends, noting a byte order mark and Windows line ends."""
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise _UnusableTableError(f"there is no such table in {path.parent}") from error
    except OSError as error:
        raise _UnusableTableError(f"cannot be read: {error.strerror}") from error
    if data.startswith(b"\xef\xbb\xbf"):
        log.note("bom", path.name, "starts with a byte order mark, which is passed over", 1)
        data = data[3:]
    if b"\r\n" in data:
        log.note("line ends", path.name, "has Windows line ends, which are read as plain ones", 1)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _UnusableTableError("the text is not UTF-8; save the table as UTF-8", line) from error
    if not text.strip():
        raise _UnusableTableError("the table is empty", 1)
    return [line.removesuffix("\r") for line in text.split("\n")]


def _separator_of(first: str, columns: Sequence[str], header: bool, expected: str, file: str, log: ProblemLog) -> str:
    """Return the separator that splits the first line into the right columns: the expected one where it does."""
    for separator in (expected, *SEPARATORS):
        found = _split(first, separator)
        if set(columns) <= set(found) if header else len(found) == len(columns):
            if separator != expected:
                log.note("separator", file, f"is separated by {separator!r}, not by {expected!r}; read so", 1)
            return separator
    if not header:
        raise _UnusableTableError(f"expected {len(columns)} columns separated by {expected!r}, found {first[:80]!r}", 1)
    found = max((_split(first, separator) for separator in SEPARATORS), key=len)
    missing = [column for column in columns if column not in found]
    raise _UnusableTableError(f"the column {', '.join(missing)} is missing; the first line reads {first[:80]!r}", 1)


def _split(line: str, separator: str) -> list[str]:
    return [name.strip() for name in next(csv.reader([line], delimiter=separator))]


def _rows(
    lines: Sequence[str], columns: Sequence[str], separator: str, header: bool, file: str, log: ProblemLog
) -> Iterator[Row]:
    """Yield the rows that have enough fields; shorter ones are noted, blank lines passed over."""
    terminated = (line + "\n" for line in lines)
    if header:
        reader = csv.reader(terminated, delimiter=separator)
    else:
        reader = csv.reader(terminated, delimiter=separator, quoting=csv.QUOTE_NONE)
    names = _split(lines[0], separator) if header else list(columns)
    places = [names.index(column) for column in columns]
    end = 0
    try:
        for fields in reader:
            start, end = end + 1, reader.line_num  # a quoted field may span lines: the row is named by its first
            if (header and start == 1) or not any(field.strip() for field in fields):
                continue
            if len(fields) != len(names):
                log.note("fields", file, f"has {len(fields)} fields, not {len(names)}; the row is left out", start)
            else:
                values = (fields[place].strip() for place in places)
                yield Row(start, dict(zip(columns, values, strict=True)))
    except csv.Error as error:
        raise _UnusableTableError(f"is not a table: {error}", reader.line_num) from error
