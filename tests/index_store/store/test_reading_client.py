"""Chroma's compiled core answers as its public client does, and gives way where it is not known."""

from __future__ import annotations

import importlib.metadata
import logging
import shutil
import signal
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path
from random import Random

import chromadb
import numpy as np
import pytest

from index_store.errors import StoreError
from index_store.store import reading_client
from index_store.store.client import connect, find_collection, open_folder
from index_store.store.image_store import create_store, open_store
from index_store.store.manifest import Manifest
from index_store.store.reading_client import KNOWN_VERSIONS, ReadingClient

DIMENSION = 8

known_core = pytest.mark.skipif(
    importlib.metadata.version("chromadb") not in KNOWN_VERSIONS, reason="this chromadb is read by its public client"
)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A store, in a process that looks as if it had not imported chromadb."""
    make_store(tmp_path / "store")
    monkeypatch.delitem(sys.modules, "chromadb")
    return str(tmp_path / "store")


def vectors(random: Random, count: int) -> np.ndarray:
    drawn = np.random.default_rng(random.randrange(1 << 32)).normal(size=(count, DIMENSION)).astype(np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def row(random: Random) -> dict[str, object]:
    whole = {"day": random.randrange(20), "camera": random.choice("abc"), "share": random.random(), "raw": True}
    return {key: whole[key] for key in random.sample(sorted(whole), random.randint(1, 4))}


def condition(random: Random) -> object:
    simple = [
        {"day": {"$gte": random.randrange(20)}},
        {"camera": {"$in": random.sample("abcd", 2)}},
        {"share": {"$lt": random.random()}},
        {"raw": {"$ne": True}},
    ]
    two = random.sample(simple, 2)
    return random.choice([None, *simple, {"$and": two}, {"$or": two}])


def fill(client, name: str, random: Random):
    """Make a collection with a history: writes, rows in place of others, changed and deleted rows, synced or not."""
    settings = {"space": "cosine", "sync_threshold": random.choice([3, 10, 1000]), "batch_size": 2}
    collection = client.create_collection(name, configuration={"hnsw": settings}, embedding_function=None)
    names = [f"row-{number}" for number in range(random.randint(1, 40))]
    for _ in range(random.randint(0, 4)):
        some = random.sample(names, random.randint(1, len(names)))
        collection.upsert(some, vectors(random, len(some)), [row(random) for _ in some])
        collection.update(some[:3], metadatas=[row(random) for _ in some[:3]])
        if random.random() < 0.6:
            collection.delete(random.sample(names, random.randint(1, len(names))))
    return names


def said(collection, names: list[str], seed: int) -> list[object]:
    """Return all that a reader can ask of a collection."""
    random = Random(seed)
    answers: list[object] = [collection.count()]
    for _ in range(3):
        where, ids = condition(random), random.sample(names, random.randint(1, len(names)))
        limit, offset = random.choice([None, 1, 5]), random.choice([None, 0, 2])
        for include in (["metadatas"], ["embeddings"]):
            got = collection.get(where=where, limit=limit, offset=offset, include=include)
            named = collection.get(ids=ids, include=include)
            answers += [plain(got, include[0]), plain(named, include[0])]
        found = collection.query(
            query_embeddings=vectors(random, random.choice([1, 3])),
            n_results=random.randint(1, 50),
            where=where,
            include=["distances", "embeddings"],
        )
        answers.append([plain(found, "distances"), plain(found, "embeddings")])
    return answers


def plain(answer, field: str) -> list[object]:
    values = answer[field]
    return [
        answer["ids"],
        values.tolist() if isinstance(values, np.ndarray) else [np.asarray(v).tolist() for v in values],
    ]


@known_core
@pytest.mark.parametrize(
    "store", [pytest.param(number, marks=[pytest.mark.slow] if number > 0 else []) for number in range(10)]
)
def test_both_ways_answer_alike_for_random_collections(store, tmp_path, monkeypatch):
    random = Random(store)
    client = open_folder(str(tmp_path))
    names = {f"photos-{number}": fill(client, f"photos-{number}", random) for number in range(25)}
    client.close()
    shutil.copytree(tmp_path, tmp_path / "copy")  # a reader writes too: it moves rows out of the log
    public = open_folder(str(tmp_path / "copy"))
    wanted = [said(public.get_collection(name, embedding_function=None), names[name], store) for name in names]
    with monkeypatch.context() as patch:
        patch.delitem(sys.modules, "chromadb")
        reader = ReadingClient(str(tmp_path))
        found = [said(find_collection(reader, name), names[name], store) for name in names]
    assert found == wanted
    assert sum(answers[0] for answers in found) > 100


WRITER = """
import sys
import numpy as np
from index_store.store.client import open_folder
client = open_folder(sys.argv[1])
settings = {"space": "cosine", "sync_threshold": 20, "batch_size": 5}
collection = client.create_collection("photos-x", configuration={"hnsw": settings}, embedding_function=None)
random = np.random.default_rng(0)
for number in range(100_000):
    rows = random.normal(size=(7, 8)).astype(np.float32)
    collection.upsert([f"row-{number % 30}-{n}" for n in range(7)], rows, [{"day": n} for n in range(7)])
    print(number, flush=True)
"""


@known_core
@pytest.mark.parametrize("written", [1, 8, 23])
def test_both_ways_answer_alike_after_a_writer_was_killed(written, tmp_path, monkeypatch):
    place = tmp_path / "store"
    command = [sys.executable, "-c", WRITER, str(place)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        for line in writer.stdout:
            if int(line) == written:
                writer.send_signal(signal.SIGKILL)
                break
    shutil.copytree(place, tmp_path / "copy")
    names = [f"row-{number}-{n}" for number in range(30) for n in range(7)]
    wanted = said(open_folder(str(tmp_path / "copy")).get_collection("photos-x", embedding_function=None), names, 1)
    with monkeypatch.context() as patch:
        patch.delitem(sys.modules, "chromadb")
        found = said(find_collection(ReadingClient(str(place)), "photos-x"), names, 1)
    assert found == wanted
    assert found[0] >= 7 * written


def make_store(place: Path) -> None:
    store = create_store(str(place), Manifest("tests", 4))
    store.close()


@known_core
def test_a_store_is_read_without_importing_chromadb(tmp_path):
    make_store(tmp_path / "store")
    code = f"""
        import sys
        from index_store.store.image_store import open_store
        store = open_store({str(tmp_path / "store")!r}, read_only=True)
        assert (store.count(), store.roots(), store.decisions(), store.folders()) == (0, [], [], set())
        assert "chromadb" not in sys.modules and "pydantic" not in sys.modules
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True)


@known_core
def test_a_reader_cannot_write(place):
    client = connect(place, read_only=True)
    assert isinstance(client, ReadingClient)
    collection = client.list_collections()[0]
    for name in ("add", "upsert", "update", "delete", "modify"):
        assert not hasattr(collection, name)
    for name in ("create_collection", "get_or_create_collection", "delete_collection", "reset"):
        assert not hasattr(client, name)


def other_version(monkeypatch):
    monkeypatch.setattr(reading_client, "KNOWN_VERSIONS", ("0.0.1",))


def without_an_attribute(monkeypatch):
    import chromadb_rust_bindings

    monkeypatch.delattr(chromadb_rust_bindings, "SqliteDBConfig")


def with_another_signature(monkeypatch):
    import chromadb_rust_bindings

    monkeypatch.setattr(chromadb_rust_bindings, "Bindings", lambda path: path)


def without_the_core(monkeypatch):
    monkeypatch.setattr(reading_client, "find_spec", lambda name: None)


@pytest.mark.parametrize(
    "surprise",
    [other_version, without_an_attribute, with_another_signature, without_the_core],
    ids=lambda f: f.__name__,
)
def test_a_surprise_leaves_the_store_to_the_public_client(surprise, place, monkeypatch, caplog):
    with monkeypatch.context() as patch, caplog.at_level(logging.INFO, "index_store"):
        surprise(patch)
        assert reading_client.open_for_reading(place) is None
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith("the store is read through chromadb's own client: ")


@known_core
def test_a_store_that_an_earlier_chroma_left_is_not_migrated_by_a_reader(tmp_path, monkeypatch):
    make_store(tmp_path / "store")
    path = tmp_path / "store" / "chroma.sqlite3"
    with sqlite3.connect(path) as database:
        database.execute("DELETE FROM migrations WHERE dir = 'metadb' AND version = 6")
    with monkeypatch.context() as patch:
        patch.delitem(sys.modules, "chromadb")
        assert reading_client.open_for_reading(str(tmp_path / "store")) is None
    with sqlite3.connect(path) as database:
        assert database.execute("SELECT MAX(version) FROM migrations WHERE dir = 'metadb'").fetchone() == (5,)


@known_core
def test_a_reader_sees_what_this_process_writes_after_it_was_opened(tmp_path, monkeypatch):
    place = str(tmp_path / "store")
    make_store(tmp_path / "store")
    with monkeypatch.context() as patch:
        patch.delitem(sys.modules, "chromadb")
        reader = open_store(place, read_only=True)
        assert isinstance(reader._client, ReadingClient)
        assert reader.nearest(np.asarray([1, 0, 0, 0], dtype=np.float32), 5) == []
    from tests.index_store.store.test_image_store import photo, unit

    create_store(place, Manifest("tests", 4)).upsert([photo("/a/1.jpg")], unit([1, 0, 0, 0]))
    assert [candidate.key for candidate in reader.nearest(unit([1, 0, 0, 0])[0], 5)] == [photo("/a/1.jpg").content_hash]
    assert reader.count() == 1


HOSTILE = """
import os, sys
os.chdir(sys.argv[2])
from index_store.errors import StoreError
from index_store.store.image_store import open_store
from index_store.store.client import translated
store = open_store(sys.argv[1], read_only=True)
bindings = store._client.bindings
with translated("here"):
    try:
        bindings.get_collection("photos-none", "default_tenant", "default_database")
    except BaseException as error:
        print(type(error).__module__, type(error).__name__)
        from index_store.store.chroma_import import NotFoundError, chromadb
        print(isinstance(error, NotFoundError), chromadb.errors.NotFoundError is NotFoundError)
        raise
"""


@known_core
def test_an_error_of_the_core_imports_no_settings_and_is_one_of_the_public_clients(tmp_path):
    make_store(tmp_path / "store")
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / ".env").write_bytes(b"\xff\xfe broken")
    command = [sys.executable, "-c", HOSTILE, str(tmp_path / "store"), str(tmp_path / "work")]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.stdout.splitlines() == ["chromadb.errors NotFoundError", "True True"]
    assert "StoreError: here: the store failed" in done.stderr


def test_the_versions_that_are_read_are_those_that_the_tests_run_with():
    lock = (Path(__file__).parents[3] / "requirements" / "lock.txt").read_text(encoding="utf-8")
    assert any(f"\nchromadb=={known} " in lock for known in KNOWN_VERSIONS)
    assert chromadb.__version__ in KNOWN_VERSIONS


@known_core
def test_a_damaged_store_is_refused_as_by_the_public_client(place):
    Path(place, "chroma.sqlite3").write_bytes(b"no database" * 1000)
    with pytest.raises(StoreError, match="the database is damaged"):
        open_store(place, read_only=True)
