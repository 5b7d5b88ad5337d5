"""Check that a store on disk has the vectors of all its rows, before Chroma answers from what is left of them.

Chroma keeps the newest rows in a log inside its database and writes vectors to files every `sync_threshold` rows. Files
that do not fit each other can end the process, and lost ones are passed over in silence: both are found here, from the
files and the database alone. What was found sound is noted in the user's cache by size, time and inode, so that an
unchanged store is not checked again.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from index_store.errors import StoreError
from index_store.paths import cache_folder
from index_store.store.row_names import WORTH_NOTING, note_names
from index_store.store.sqlite_file import DAMAGED_ADVICE, reading
from index_store.store.vector_files import FILES, LABELS_FILE, check_folder

_TRIES = 20
_PAUSE_SECONDS = 0.1

_SEGMENTS = """
SELECT c.id, c.name, COALESCE(c.dimension, 0), v.id, m.id, COALESCE(s.seq_id, 0),
       (SELECT COUNT(*) FROM embeddings e WHERE e.segment_id = m.id)
FROM collections c
JOIN segments v ON v.collection = c.id AND v.scope = 'VECTOR'
JOIN segments m ON m.collection = c.id AND m.scope = 'METADATA'
LEFT JOIN max_seq_id s ON s.segment_id = v.id
"""

_LOGGED = """
SELECT {what} FROM embeddings_queue
WHERE seq_id > ? AND vector IS NOT NULL AND substr(topic, -36) = ?
"""


@dataclass(frozen=True, slots=True)
class Segment:
    """The vectors of one collection: its folder in the store, and how many rows the database holds of it."""

    collection: str
    name: str
    dimension: int
    folder: str
    metadata_segment: str
    written_to: int
    rows: int


@dataclass(frozen=True, slots=True)
class Loss:
    """A collection that lost vectors: of how many rows at least, and why."""

    segment: Segment
    rows: int
    problem: str


def refuse_lost_vectors(place: str) -> None:
    """Raise StoreError where a store on disk has lost vectors; its message says how to repair it."""
    losses = lost_vectors(place)
    if losses:
        lost, rows = sum(loss.rows for loss in losses), sum(loss.segment.rows for loss in losses)
        problems = "; ".join(dict.fromkeys(loss.problem for loss in losses))
        raise StoreError(
            f"{place}: the vectors of {lost} of {rows} rows are lost or damaged ({problems}); "
            "run 'imgsearch check --repair', then 'imgsearch index'"
        )


def lost_vectors(place: str) -> list[Loss]:
    """Return the collections of a store that lost vectors.

    A writer may be between two files: what seems wrong counts only when the files are the same the second time.
    """
    before = None
    for _ in range(_TRIES):
        losses, now = _check(place)
        if not losses or now == before:
            return losses
        before = now
        time.sleep(_PAUSE_SECONDS)
    return losses


def _check(place: str) -> tuple[list[Loss], list[object]]:
    try:
        with reading(place) as database:
            segments = segments_of(database, place)
            logged = [_logged_rows(database, segment) for segment in segments]
    except sqlite3.OperationalError:
        return [], []  # a database that is being made, or one that only Chroma can bring up to date
    except (sqlite3.DatabaseError, TypeError, ValueError) as error:
        raise StoreError(f"{place}: {' '.join(str(error).split())}; {DAMAGED_ADVICE}") from error
    seals = _Seals(place)
    found = [_loss(segment, count, seals) for segment, count in zip(segments, logged, strict=True)]
    return [loss for loss in found if loss], [segments, [marks_of(segment.folder) for segment in segments]]


def segments_of(database: sqlite3.Connection, place: str) -> list[Segment]:
    """Return the vectors of all collections of a store."""
    return [
        Segment(
            str(collection),
            str(name),
            int(dimension),
            folder_of(place, str(vectors)),
            str(rows_of),
            int(seq),
            int(rows),
        )
        for collection, name, dimension, vectors, rows_of, seq, rows in database.execute(_SEGMENTS)
    ]


def folder_of(place: str, segment: str) -> str:
    """Return the folder of a segment; ValueError where its name leads out of the store."""
    if not segment.replace("-", "").isalnum():
        raise ValueError("a collection names a folder outside the store")
    return os.path.join(place, segment)


def _logged_rows(database: sqlite3.Connection, segment: Segment) -> int:
    # before the first files are written, the log has everything
    return len(logged_ids(database, segment)) if segment.written_to else segment.rows


def logged_ids(database: sqlite3.Connection, segment: Segment) -> set[str]:
    """Return the ids of the rows whose vectors are in the log, and not yet, or not only, in the files."""
    query = _LOGGED.format(what="id")
    return {str(row[0]) for row in database.execute(query, (segment.written_to, segment.collection))}


def _loss(segment: Segment, logged: int, seals: _Seals) -> Loss | None:
    """Return what a collection lost: files that do not fit, or fewer vectors than the database has rows."""
    marks = marks_of(segment.folder)
    if marks[FILES.index(LABELS_FILE)] is None:
        # Chroma does not read files without labels: they are new, and all that there is is in the log
        lost = segment.rows - logged
        return Loss(segment, lost, f"{LABELS_FILE} is missing") if lost > 0 else None
    held = seals.rows(segment, marks)
    if held is None:
        found = check_folder(segment.folder, segment.dimension)
        if found.problem is not None:
            return Loss(segment, max(segment.rows - logged, 1), found.problem)
        held = len(found.labels)
        if held >= WORTH_NOTING:
            with suppress(OSError, ValueError):  # of ids that are none of photos
                note_names(segment.folder, marks, found.labels, segment.dimension)
            seals.add(segment, marks, held)
    lost = segment.rows - held - logged
    return Loss(segment, lost, "there are fewer vectors than rows") if lost > 0 else None


def marks_of(folder: str) -> list[list[int] | None]:
    """Return what changes with the files of a folder; the time of the inode's change cannot be set by a user."""
    return [_mark(os.path.join(folder, name)) for name in FILES]


def _mark(path: str) -> list[int] | None:
    try:
        stat = os.stat(path)
    except OSError:
        return None
    return [stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]


class _Seals:
    """The folders of a store that were found sound, noted in the user's cache: a store may be somebody else's."""

    def __init__(self, place: str) -> None:
        name = hashlib.blake2b(os.fsencode(os.path.realpath(place)), digest_size=16).hexdigest()
        self._file = cache_folder() / "sound" / f"{name}.json"
        self._known = _read_json(self._file)

    def rows(self, segment: Segment, marks: Sequence[list[int] | None]) -> int | None:
        """Return how many rows a folder holds that is known to be sound."""
        known = self._known.get(os.path.basename(segment.folder))
        if isinstance(known, dict) and known.get("marks") == marks and known.get("dimension") == segment.dimension:
            return int(known["rows"])
        return None

    def add(self, segment: Segment, marks: Sequence[list[int] | None], rows: int) -> None:
        """Note that a folder is sound; where nothing can be noted it is checked again the next time."""
        self._known[os.path.basename(segment.folder)] = {
            "marks": marks,
            "dimension": segment.dimension,
            "rows": rows,
        }
        with suppress(OSError):
            self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            draft = self._file.with_name(f"{self._file.name}.{os.getpid()}")
            draft.write_text(json.dumps(self._known), encoding="utf-8")
            draft.replace(self._file)


def _read_json(file: Path) -> dict[str, object]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
