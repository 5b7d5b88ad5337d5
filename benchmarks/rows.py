"""A row of a benchmark, and how rows are shown."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from rich import box
from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Row:
    """A measured figure. `value` compares with `bar` and `aim`; `higher` says which way is better."""

    figure: str
    value: float
    measured: str
    baseline: str
    bar: float
    aim: float
    higher: bool

    @property
    def verdict(self) -> str:
        """Say which of the two marks the value reaches."""
        for mark, name in ((self.aim, "aim"), (self.bar, "bar")):
            if self.value >= mark if self.higher else self.value <= mark:
                return name
        return "missed"


def show(rows: Sequence[Row], report: Path | None) -> None:
    """Print the rows as a table, and write them as JSON where a file is named."""
    table = Table(box=box.SIMPLE_HEAD)
    for column in ("figure", "value", "measured", "baseline", "at least", "aim", "reached"):
        table.add_column(column, overflow="fold")
    for row in rows:
        marks = (f"{row.bar:g}", f"{row.aim:g}")
        table.add_row(row.figure, f"{row.value:.3f}", row.measured, row.baseline, *marks, row.verdict)
    Console(width=160).print(table)
    if report is not None:
        lines = [json.dumps(asdict(row) | {"reached": row.verdict}, ensure_ascii=False) for row in rows]
        report.write_text("\n".join(lines) + "\n", encoding="utf-8")


def wall_seconds(command: Sequence[str], env: dict[str, str] | None = None) -> float:
    """Return how long a command runs; one that fails ends the benchmark."""
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=env)
    return time.perf_counter() - started


def alternate(first: Callable[[], float], second: Callable[[], float], times: int) -> tuple[float, float]:
    """Measure two things in turn, so that a busy spell of the machine meets both; return their medians."""
    pairs = [(first(), second()) for _ in range(times)]
    return median(pair[0] for pair in pairs), median(pair[1] for pair in pairs)
