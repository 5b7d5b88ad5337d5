"""The rows of the study: what was measured, or why it was not, and a file that keeps them as they come."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from index_store.errors import UsageError

METRICS = ("RMSE", "constant", "ratio", "tau_c_expert", "ECE", "pairs")
COLUMNS = ("RMSE", "constant", "ratio", "tau-c", "ECE", "pairs")
_SHOWN_NAMES = 2
CLAIMED = "claimed"
"""A further column of blocks in which others state a figure."""


@dataclass(frozen=True, slots=True)
class StudyRow:
    """One variant: mean and spread of each metric over the seeds, or the reason why it was not run.

    `claimed` is what others state for it.
    """

    block: str
    name: str
    mean: Mapping[str, float] = field(default_factory=dict)
    spread: Mapping[str, float] = field(default_factory=dict)
    reason: str = ""
    claimed: str = ""

    def cells(self) -> list[str]:
        """Return what tables show: RMSE, the constant's, their ratio, tau-c, ECE, pairs held out; of no run nothing."""
        if self.reason:
            return [""] * len(COLUMNS)
        shown = [self._shown(metric) for metric in METRICS[:-1]]
        return [*shown, f"{self.mean['pairs']:,.0f}"]

    def _shown(self, metric: str) -> str:
        if metric not in self.mean:
            return "–"
        digits = 4 if metric == "ECE" else 3
        return f"{self.mean[metric]:.{digits}f} ± {self.spread[metric]:.{digits}f}"


@dataclass(frozen=True, slots=True)
class Block:
    """The rows below a heading."""

    title: str
    rows: Sequence[StudyRow]

    @property
    def columns(self) -> tuple[str, ...]:
        """The headings of its table, behind the rows' names."""
        return (*COLUMNS, CLAIMED) if self._claims else COLUMNS

    @property
    def _claims(self) -> bool:
        return any(row.claimed for row in self.rows)

    def measured(self) -> list[tuple[str, list[str]]]:
        """Return name and cells of each row that was run."""
        return [
            (row.name, [*row.cells(), row.claimed] if self._claims else row.cells())
            for row in self.rows
            if not row.reason
        ]

    def not_run(self) -> list[str]:
        """Return a line for each reason for which rows were not run; rows of one reason share a line."""
        reasons: dict[str, list[str]] = {}
        for row in self.rows:
            if row.reason:
                reasons.setdefault(row.reason, []).append(row.name)
        return [f"not run: {_some(names)}: {reason}" for reason, names in reasons.items()]


def _some(names: Sequence[str]) -> str:
    more = f"; and {len(names) - _SHOWN_NAMES} more" if len(names) > _SHOWN_NAMES else ""
    return "; ".join(names[:_SHOWN_NAMES]) + more


@dataclass(frozen=True, slots=True)
class Study:
    """All rows in the order of the study, and what should be known about them."""

    encoder: str
    seeds: Sequence[int]
    rows: list[StudyRow] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def blocks(self) -> list[Block]:
        """Return the rows by their headings, in order."""
        titles = dict.fromkeys(row.block for row in self.rows)
        return [Block(title, [row for row in self.rows if row.block == title]) for title in titles]


class KeptRows:
    """A file with a line for each row that was measured; a study that is begun again measures only the others.

    A line counts for the same question only: its `key` names data, vectors, model, splits and program.
    """

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._rows: dict[str, StudyRow] = {}
        if file is None:
            return
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            lines = file.read_bytes().splitlines() if file.exists() else []
            with file.open("ab"):  # to find out before hours of work whether it can be written
                pass
        except OSError as error:
            raise UsageError(f"{file}: the rows of the study cannot be kept there: {error.strerror}") from error
        for line in lines:
            self._read(line)

    def find(self, key: str) -> StudyRow | None:
        """Return the row that was measured for this question."""
        return self._rows.get(key)

    def keep(self, key: str, row: StudyRow) -> None:
        """Write a row down at once."""
        self._rows[key] = row
        if self._file is None:
            return
        with self._file.open("ab") as file:
            # a run that was killed while it wrote leaves half a line
            file.write(b"\n" + json.dumps({"key": key, "row": asdict(row)}, ensure_ascii=False).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def _read(self, line: bytes) -> None:
        try:
            content = json.loads(line)
            row = StudyRow(**content["row"])
            row.cells()
            self._rows[str(content["key"])] = row
        except (ValueError, KeyError, TypeError, RecursionError):
            return  # half a line, an empty one, or one of another version: measured again
