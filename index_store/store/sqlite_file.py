"""Check the SQLite database of a store on disk without Chroma, and give unused space in it back to the disk."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager
from urllib.parse import quote

from index_store.errors import StoreError, os_reason
from index_store.user_text import open_without_waiting

DATABASE_FILE = "chroma.sqlite3"

DAMAGED_ADVICE = (
    "the database is damaged: restore chroma.sqlite3 and the folders next to it from a backup, or move the store "
    "away and run 'imgsearch index FOLDER'"
)

_TABLES = {
    *("collections", "collection_metadata", "databases", "tenants", "segments", "migrations"),
    *("embeddings", "embedding_metadata", "embeddings_queue", "max_seq_id"),
}
_NEWEST_MIGRATIONS = {"sysdb": 10, "metadb": 6, "embeddings_queue": 2}
"""What Chroma 1.5 has done to a database; a newer one does more, and an older program cannot read that."""

_JOURNAL_MAGIC = bytes.fromhex("d9d505f920a163d7")


@contextmanager
def reading(place: str) -> Iterator[sqlite3.Connection]:
    """Open a store's database for reading; sqlite3.Error where that is not possible."""
    path = os.path.join(os.path.abspath(place), DATABASE_FILE)
    if _would_delete(path):
        raise sqlite3.DatabaseError("its journal names a file to be deleted")
    with closing(sqlite3.connect(f"file:{quote(os.fsencode(path))}?mode=ro", uri=True, timeout=10)) as connection:
        yield connection


def refuse_damaged(place: str) -> None:
    """Raise StoreError where a folder's database is empty, damaged, of something else, or of a newer Chroma."""
    path = os.path.realpath(os.path.join(place, DATABASE_FILE))  # SQLite follows a link, and so do its other files
    for ending in ("-journal", "-wal", "-shm"):
        # SQLite opens these by itself, and would wait for ever for who writes into a pipe
        if os.path.lexists(path + ending) and not stat.S_ISREG(os.lstat(path + ending).st_mode):
            raise StoreError(f"{path}{ending}: is no plain file, and SQLite's must be one; remove it")
    if _would_delete(path):
        raise StoreError(
            f"{path}-journal: names a file that SQLite would delete, which no store's journal does; use another store, "
            "or remove this journal"
        )
    try:
        if os.path.getsize(path) == 0 and not os.path.exists(f"{path}-journal"):
            raise StoreError(f"{place}: its database is empty; {DAMAGED_ADVICE}")
        with reading(place) as database:
            tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if not tables:
                return  # another process is about to make it
            newest = dict(database.execute("SELECT dir, MAX(version) FROM migrations GROUP BY dir"))
    except sqlite3.DatabaseError as error:
        if _is_only_locked(error):
            return
        raise StoreError(f"{place}: {' '.join(str(error).split())}; {DAMAGED_ADVICE}") from error
    except OSError as error:
        raise StoreError(f"{place}: cannot be read: {os_reason(error)}") from error
    if newest == _NEWEST_MIGRATIONS and not tables >= _TABLES:  # with fewer, Chroma goes on where it was interrupted
        missing = ", ".join(sorted(_TABLES - tables))
        raise StoreError(f"{place}: its database lacks {missing}; {DAMAGED_ADVICE}")
    _refuse_newer(place, newest)


def _would_delete(path: str) -> bool:
    """Whether the journal of a database has a super-journal, the list of journals of one commit to several databases.

    SQLite deletes that file when it rolls back, whatever it holds: a foreign journal can name any file of the user.
    https://sqlite.org/fileformat2.html, section 3 ("The Rollback Journal"); such a journal ends with the magic number.
    """
    try:
        with open(os.path.realpath(path) + "-journal", "rb", opener=open_without_waiting) as journal:
            journal.seek(-len(_JOURNAL_MAGIC), os.SEEK_END)
            return journal.read() == _JOURNAL_MAGIC
    except OSError:  # none is there, or it is too short
        return False


def _refuse_newer(place: str, newest: dict[str, object]) -> None:
    for part, version in newest.items():
        if not isinstance(version, int) or version > _NEWEST_MIGRATIONS.get(str(part), 0):
            raise StoreError(
                f"{place}: a newer Chroma wrote this store; upgrade imgsearch, or name another store with --store"
            )


def _is_only_locked(error: sqlite3.DatabaseError) -> bool:
    # a crashed writer's journal is rolled back by the next one that may write, which Chroma is
    text = str(error)
    return isinstance(error, sqlite3.OperationalError) and ("locked" in text or "readonly" in text)


def state_of(place: str) -> tuple[object, ...] | None:
    """Return what changes whenever somebody writes rows to a store, at the cost of a millisecond; None if unknown.

    The file's time is no measure: Chroma writes to the database whenever it opens one.
    """
    try:
        with reading(place) as database:
            collections = database.execute("SELECT id FROM collections ORDER BY id").fetchall()
            written = database.execute("SELECT segment_id, seq_id FROM max_seq_id ORDER BY segment_id").fetchall()
            return *collections, *written, database.execute("SELECT MAX(seq_id) FROM embeddings_queue").fetchone()
    except sqlite3.Error:  # a writer has it just now, or it is gone: what was opened goes on
        return None


def integrity_problems(place: str) -> list[str]:
    """Return what SQLite itself finds wrong with a store's database; takes about a second for 100,000 photos."""
    try:
        with reading(place) as database:
            found = [str(row[0]) for row in database.execute("PRAGMA quick_check(10)")]
    except sqlite3.DatabaseError as error:
        return [str(error)]
    return [] if found == ["ok"] else found


def compact(place: str) -> int:
    """Give the space of deleted rows back to the disk, and return how many bytes; the caller holds the writer's lock.

    Does nothing while less than half of the file and less than 8 MiB are free in it, or while others read it.
    """
    path = os.path.join(place, DATABASE_FILE)
    before = os.path.getsize(path)
    try:
        with closing(sqlite3.connect(path, timeout=1, isolation_level=None)) as database:
            pages, free, size = (_number(database, what) for what in ("page_count", "freelist_count", "page_size"))
            if free * size < 8 * 1024 * 1024 or free * 2 < pages:
                return 0
            database.execute("VACUUM")
    except sqlite3.Error:
        return 0  # the store is as good as before, only larger
    return before - os.path.getsize(path)


def _number(database: sqlite3.Connection, pragma: str) -> int:
    return int(database.execute(f"PRAGMA {pragma}").fetchone()[0])
