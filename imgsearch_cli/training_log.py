"""Show how far a long training is: a bar on a terminal, a line a minute in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import click

from imgsearch_cli.progress import progress_bar

_SECONDS = 60.0


@contextmanager
def watched(unit: str, *, lines: bool, quiet: bool = False) -> Iterator[Callable[..., None]]:
    """Yield `advance(done, total, note)`: a bar on a terminal, else lines on standard error if these are wanted."""
    if lines and not quiet and not sys.stderr.isatty():
        yield LogLines(unit)
        return
    with progress_bar("training", unit, quiet=quiet) as advance:
        yield advance


class LogLines:
    """Write a line when a minute has passed or the note changes: what is done, the pace, and the time that is left."""

    def __init__(self, unit: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._unit = unit
        self._clock = clock
        self._note, self._total = "", 0
        self._begun = self._written = clock()
        self._first = self._last = 0

    def __call__(self, done: int, total: int, note: str = "") -> None:
        """Take note of what is done."""
        now = self._clock()
        if total != self._total or done < self._last:  # another stage
            self._begun, self._first, self._total = now, done, total
        self._last = done
        if note != self._note or done == total or now - self._written >= _SECONDS:
            self._note, self._written = note, now
            click.echo(
                f"{time.strftime('%H:%M:%S')} {done:,} of {total:,}{self._pace(done, total, now)}  {note}", err=True
            )

    def _pace(self, done: int, total: int, now: float) -> str:
        if done <= self._first or now <= self._begun:
            return ""
        pace = (done - self._first) / (now - self._begun)
        left = timedelta(seconds=round((total - done) / pace))
        return f", {pace:.1f} {self._unit}/s, {left} left"
