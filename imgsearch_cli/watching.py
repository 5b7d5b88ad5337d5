"""`imgsearch index --watch`: index again when something changes in the folders."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from types import FrameType

from watchfiles import Change, watch

from imgsearch_cli.progress import progress_bar
from imgsearch_cli.render_store import render_index_report, render_notes, render_skipped
from imgsearch_cli.streams import say
from index_store.errors import ImgsearchError, UsageError
from index_store.indexing.run import IndexOptions
from index_store.library import Library
from index_store.paths import lies_below
from index_store.photos.ignore import IGNORE_FILE
from index_store.photos.places import Place
from index_store.records import IndexReport, Skipped

QUIET_MS = 1_000
"""A run begins once nothing has changed for so long: a card of a camera is copied for minutes."""

LONGEST_MS = 60_000
"""... and after so long anyway."""

AT_ONCE = 100
"""Photos that the first run embeds: the store's lock is free between two runs, for decisions by hand above all."""

LOCKED_SECONDS = 10.0
"""How long each further run may hold the lock: as many photos as the one before it embedded in that time."""

_FEWEST, _MOST = 8, 1000

BETWEEN_SECONDS = 1.0
LOOKED_AGAIN_SECONDS = 3600.0
"""All folders are looked at so often: drives in the network do not tell of what others change on them."""


Run = Callable[[int | None], IndexReport]
"""An index run that embeds at most so many photos."""


def keep_watching(folders: Sequence[str], store: str, run: Run, *, hidden: bool) -> None:
    """Run when something changes in the folders, and once at the beginning; ends by Ctrl-C or SIGTERM alone.

    Raises:
        UsageError: the folders cannot be watched.
        ImgsearchError: the first run failed; the failures of later ones are said, and the next change is waited for.
    """
    due, ran = True, 0.0
    for changes in _changes(folders, lambda path: _counts(path, folders, store, hidden=hidden)):
        due = due or bool(changes) or time.monotonic() > ran + LOOKED_AGAIN_SECONDS
        if not due:
            continue
        try:
            _run_until_done(run)
        except ImgsearchError as error:
            if ran == 0.0:
                raise
            say(f"imgsearch: {error}")
        if ran == 0.0:
            say(f"watching {len(folders)} {'place' if len(folders) == 1 else 'places'}; Ctrl-C ends it")
        due, ran = False, time.monotonic()


def watch_places(library: Library, places: Sequence[Place], options: IndexOptions, *, quiet: bool) -> None:
    """Keep a library in line with `places`, or with all that was indexed before, as `imgsearch index --watch` does.

    Raises:
        UsageError, ImgsearchError: see `keep_watching`.
    """
    folders = [os.path.abspath(place.path) for place in places] or [
        root.path for root in library.roots() if root.trusted
    ]
    there = [folder for folder in folders if os.path.exists(folder)]
    for folder in sorted(set(folders) - set(there)):
        say(f"imgsearch: {folder}: is not there, and so not watched")
    if not there:
        raise UsageError("there is no folder to watch; name one: imgsearch index --watch FOLDER")
    said = set[Skipped]()

    def run(most: int | None) -> IndexReport:
        with progress_bar("indexing", "photos", quiet=quiet) as advance:
            report = library.index(places, replace(options, most=most), advance)
        library.close()  # others write to the store meanwhile, and the models need memory
        news = [skip for skip in report.skipped if skip not in said]
        said.update(news)
        render_skipped(news)
        render_notes(report.notes)
        if not quiet and (report.encoded or report.removed or report.moved or report.changed or report.added):
            render_index_report(report)
        return report

    keep_watching(there, library.place, run, hidden=any(place.find.hidden for place in places))


def _run_until_done(run: Run) -> None:
    most = AT_ONCE
    while (report := run(most)).left:
        if not report.encoded:  # those that come first cannot be read
            run(None)
            return
        most = min(max(round(LOCKED_SECONDS * report.encoded / max(report.seconds, 0.001)), _FEWEST), _MOST)
        time.sleep(BETWEEN_SECONDS)  # others wait for the lock by asking now and then


def _changes(folders: Sequence[str], counts: Callable[[str], bool]) -> Iterator[set[tuple[Change, str]]]:
    """Yield what has changed, or nothing now and then; all that changes meanwhile is in the next one."""
    with _terminated_as_ever() as leave:
        try:
            yield from watch(
                *folders,
                watch_filter=lambda _, path: counts(path),
                debounce=LONGEST_MS,
                step=QUIET_MS,
                rust_timeout=QUIET_MS,
                yield_on_timeout=True,
            )
        except KeyboardInterrupt:
            leave()
            raise
        except (OSError, RuntimeError) as error:
            reason = str(error) or type(error).__name__
            advice = "; raise fs.inotify.max_user_watches" if "limit" in reason or "space" in reason else ""
            raise UsageError(f"the folders cannot be watched: {reason}{advice}") from error


@contextmanager
def _terminated_as_ever() -> Iterator[Callable[[], None]]:
    """Yield what ends the program as SIGTERM does where it came: watchfiles makes a KeyboardInterrupt of any signal."""
    ended = signal.getsignal(signal.SIGTERM)
    came: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        came.append(number)
        if callable(ended):
            ended(number, frame)

    def leave() -> None:
        if came and callable(ended):
            ended(came[0], None)

    signal.signal(signal.SIGTERM, note)
    try:
        yield leave
    finally:
        signal.signal(signal.SIGTERM, ended)


def _counts(path: str, folders: Sequence[str], store: str, *, hidden: bool) -> bool:
    """Whether a change may concern a photo: not those of the store itself, which may lie among the photos."""
    if lies_below(path, store):
        return False
    inside = next((path[len(folder) :] for folder in folders if lies_below(path, folder)), path)
    parts = inside.split(os.sep)
    return hidden or parts[-1] == IGNORE_FILE or not any(part.startswith(".") for part in parts)
