from __future__ import annotations

import os
import re
import sqlite3
from contextlib import suppress

import pytest

from index_store.errors import StoreError
from index_store.store.client import connect
from index_store.store.sqlite_file import compact, integrity_problems, reading, refuse_damaged, state_of
from index_store.store.vector_loss import lost_vectors
from tests.index_store.store.damages import journal_that_deletes


def execute(store, *statements: str) -> None:
    with sqlite3.connect(store / "chroma.sqlite3") as database:
        for statement in statements:
            database.execute(statement)
    database.close()


def cut(store) -> None:
    os.truncate(store / "chroma.sqlite3", 10_000)


DAMAGES = {
    "empty": (lambda store: os.truncate(store / "chroma.sqlite3", 0), "its database is empty; the database is damaged"),
    "text": (lambda store: (store / "chroma.sqlite3").write_text("no database" * 1000), "file is not a database"),
    "cut": (cut, "database disk image is malformed"),
    "other tables": (
        lambda store: ((store / "chroma.sqlite3").unlink(), execute(store, "CREATE TABLE songs (title TEXT)")),
        "no such table: migrations",
    ),
    "no rows": (lambda store: execute(store, "DROP TABLE embeddings"), "its database lacks embeddings"),
    "no log": (lambda store: execute(store, "DROP TABLE embeddings_queue"), "its database lacks embeddings_queue"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_database_that_is_none_names_the_way_out(vectored, damage):
    act, problem = DAMAGES[damage]
    act(vectored)
    with pytest.raises(StoreError) as caught:
        connect(str(vectored))
    message = str(caught.value)
    if damage in {"text", "cut"}:  # the others are found by what opens a store, which is no business of this check
        with pytest.raises(StoreError, match=re.escape(message)):
            lost_vectors(str(vectored))
    assert message.startswith(f"{vectored}: ")
    assert problem in message
    assert message.endswith("from a backup, or move the store away and run 'imgsearch index FOLDER'")


def test_a_database_of_a_newer_chroma_is_left_alone(vectored):
    execute(vectored, "INSERT INTO migrations SELECT dir, 99, '00099-new.sql', sql, hash FROM migrations LIMIT 1")
    before = (vectored / "chroma.sqlite3").read_bytes()
    with pytest.raises(StoreError, match="a newer Chroma wrote this store; upgrade imgsearch, or name another"):
        connect(str(vectored))
    assert (vectored / "chroma.sqlite3").read_bytes() == before


def test_a_database_that_was_never_finished_is_gone_on_with(tmp_path):
    store = tmp_path / "store"
    store.mkdir()
    execute(store, "CREATE TABLE migrations (dir TEXT, version INTEGER, filename TEXT, sql TEXT, hash TEXT)")
    refuse_damaged(str(store))


def test_a_sound_database_has_no_problems_and_a_damaged_one_is_told(vectored):
    assert integrity_problems(str(vectored)) == []
    path = vectored / "chroma.sqlite3"
    content = bytearray(path.read_bytes())
    content[40_960:81_920] = bytes(40_960)
    path.write_bytes(content)
    assert integrity_problems(str(vectored))


def test_the_space_of_deleted_rows_comes_back(vectored):
    assert compact(str(vectored)) == 0
    execute(
        vectored,
        "CREATE TABLE ballast (content BLOB)",
        "INSERT INTO ballast SELECT zeroblob(20000000)",
        "DELETE FROM ballast",
    )
    large = (vectored / "chroma.sqlite3").stat().st_size
    assert compact(str(vectored)) > 15_000_000
    assert (vectored / "chroma.sqlite3").stat().st_size < large - 15_000_000
    assert integrity_problems(str(vectored)) == []
    collection = connect(str(vectored)).get_collection("photos", embedding_function=None)
    assert collection.count() == len(collection.get(include=["embeddings"])["embeddings"]) == 250


def test_a_store_that_is_being_read_is_not_compacted(vectored):
    execute(
        vectored,
        "CREATE TABLE ballast (content BLOB)",
        "INSERT INTO ballast SELECT zeroblob(20000000)",
        "DELETE FROM ballast",
    )
    reader = sqlite3.connect(vectored / "chroma.sqlite3")
    reader.execute("BEGIN")
    reader.execute("SELECT COUNT(*) FROM embeddings").fetchone()
    assert compact(str(vectored)) == 0
    reader.close()
    assert compact(str(vectored)) > 0


@pytest.mark.parametrize("ending", ["-journal", "-wal", "-shm"])
def test_a_pipe_in_place_of_what_sqlite_opens_is_refused_and_not_waited_for(tmp_path, ending):
    os.mkfifo(tmp_path / f"chroma.sqlite3{ending}")
    with pytest.raises(StoreError, match=f"chroma.sqlite3{ending}: is no plain file"):
        refuse_damaged(str(tmp_path))


OPENERS = {
    "to write": connect,
    "to read": lambda place: connect(place, read_only=True),
    "to look at": state_of,
    "to check": integrity_problems,
}


@pytest.mark.parametrize("linked", [False, True], ids=["", "linked"])
@pytest.mark.parametrize("opened", OPENERS)
def test_a_journal_that_names_a_file_to_be_deleted_is_never_rolled_back(vectored, tmp_path, opened, linked):
    victim = tmp_path / "holidays.txt"
    victim.write_text("what nobody may delete")
    database = vectored / "chroma.sqlite3"
    if linked:
        database.rename(vectored / "real")
        database.symlink_to("real")
    journal_that_deletes(database.resolve(), victim)
    with suppress(StoreError):
        OPENERS[opened](str(vectored))
    assert victim.exists()
    with pytest.raises(StoreError, match="-journal: names a file that SQLite would delete, which no store's journal"):
        refuse_damaged(str(vectored))


def test_the_journal_of_that_test_would_delete_it(vectored, tmp_path):
    victim = tmp_path / "holidays.txt"
    victim.write_text("what nobody may delete")
    journal_that_deletes(vectored / "chroma.sqlite3", victim)
    execute(vectored, "SELECT COUNT(*) FROM migrations")
    assert not victim.exists()


def test_the_journal_of_a_crashed_writer_is_still_rolled_back(vectored):
    database = vectored / "chroma.sqlite3"
    journal_that_deletes(database, database)
    journal = database.with_name("chroma.sqlite3-journal")
    size = int.from_bytes(database.read_bytes()[16:18], "big")
    os.truncate(journal, 512 + 4 + size + 4)
    with reading(str(vectored)) as opened, suppress(sqlite3.OperationalError):
        opened.execute("SELECT COUNT(*) FROM migrations")
    connect(str(vectored))
    assert not journal.exists()
