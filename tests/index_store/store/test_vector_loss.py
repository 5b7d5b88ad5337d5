from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys

import pytest

from index_store.errors import StoreError
from index_store.store import vector_loss
from index_store.store.client import connect
from index_store.store.vector_files import check_folder
from index_store.store.vector_loss import lost_vectors, refuse_lost_vectors
from tests.index_store.store.damages import DAMAGES
from tests.index_store.store.vector_store import DIMENSION, IN_FILES, ROWS, vector_folder


@pytest.fixture(autouse=True)
def at_once(monkeypatch, tmp_path):
    monkeypatch.setattr(vector_loss, "_PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(vector_loss, "cache_folder", lambda: tmp_path / "cache")


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_store_that_lost_vectors_is_refused_in_one_line(vectored, damage):
    DAMAGES[damage](vector_folder(vectored))
    with pytest.raises(StoreError, match="lost or damaged") as caught:
        connect(str(vectored))
    message = str(caught.value)
    assert message.startswith(f"{vectored}: the vectors of {IN_FILES} of {ROWS} rows are lost or damaged (")
    assert message.endswith("run 'imgsearch check --repair', then 'imgsearch index'")
    assert message.isprintable()


def test_what_is_in_the_log_alone_is_not_lost(vectored):
    assert lost_vectors(str(vectored)) == []
    with sqlite3.connect(vectored / "chroma.sqlite3") as database:
        database.execute(
            "DELETE FROM embeddings_queue WHERE id = 'row 249' AND topic LIKE '%' || (SELECT id FROM "
            "collections WHERE name = 'photos')"
        )
    [loss] = lost_vectors(str(vectored))
    assert (loss.segment.name, loss.rows, loss.problem) == ("photos", 1, "there are fewer vectors than rows")


_CHANGES = """
import random, sys
import numpy as np
from index_store.store.chroma_import import chromadb, own_settings
from index_store.store.vector_loss import lost_vectors
place, seed = sys.argv[1], int(sys.argv[2])
chance, numbers = random.Random(seed), np.random.default_rng(seed)
collection = chromadb.PersistentClient(place, settings=own_settings()).get_collection("photos", embedding_function=None)
there = {f"row {i}" for i in range(250)}
for _ in range(40):
    if chance.random() < 0.6 or len(there) < 10:
        ids = sorted({f"row {chance.randrange(600)}" for _ in range(chance.randrange(1, 120))})
        rows = numbers.normal(size=(len(ids), 16)).astype(np.float32)
        rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        collection.upsert(ids=ids, embeddings=rows, metadatas=[{"number": 1}] * len(ids))
        there |= set(ids)
    elif chance.random() < 0.5:
        ids = chance.sample(sorted(there), min(len(there), chance.randrange(1, 400)))
        collection.delete(ids=ids)
        there -= set(ids)
    else:
        ids = chance.sample(sorted(there), 10)
        collection.update(ids=ids, metadatas=[{"number": 2}] * 10)
    assert lost_vectors(place) == []
"""


@pytest.mark.parametrize("seed", range(3))
def test_no_sound_store_is_suspected_whatever_was_written_and_deleted(vectored, seed):
    subprocess.run([sys.executable, "-c", _CHANGES, str(vectored), str(seed)], check=True)


def test_a_large_sound_folder_is_not_looked_at_again_until_it_changes(vectored, monkeypatch):
    monkeypatch.setattr(vector_loss, "WORTH_NOTING", 1)
    looks = []
    monkeypatch.setattr(vector_loss, "check_folder", lambda *of: (looks.append(of), check_folder(*of))[1])
    refuse_lost_vectors(str(vectored))
    refuse_lost_vectors(str(vectored))
    assert len(looks) == 2  # two collections, once each
    data = vector_folder(vectored) / "data_level0.bin"
    times = (data.stat().st_atime_ns, data.stat().st_mtime_ns)
    data.write_bytes(b"\xff" * data.stat().st_size)
    os.utime(data, ns=times)  # the time of the last change can be set, that of the inode cannot
    with pytest.raises(StoreError, match="lost or damaged"):
        refuse_lost_vectors(str(vectored))


def test_a_copy_of_a_sound_store_is_looked_at_itself(vectored, tmp_path, monkeypatch):
    monkeypatch.setattr(vector_loss, "WORTH_NOTING", 1)
    refuse_lost_vectors(str(vectored))
    copy = shutil.copytree(vectored, tmp_path / "copy")
    DAMAGES["data_level0.bin is cut"](vector_folder(vectored))
    refuse_lost_vectors(str(copy))
    with pytest.raises(StoreError, match="lost or damaged"):
        refuse_lost_vectors(str(vectored))


def test_a_collection_that_names_a_folder_outside_is_refused(vectored):
    with sqlite3.connect(vectored / "chroma.sqlite3") as database:
        database.execute("UPDATE segments SET id = '../elsewhere' WHERE rowid = 1")
    with pytest.raises(StoreError, match="a collection names a folder outside the store"):
        refuse_lost_vectors(str(vectored))


def test_vectors_of_a_folder_behind_a_link_are_still_checked(vectored, tmp_path):
    folder = vector_folder(vectored)
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    assert check_folder(str(folder), DIMENSION).problem is None
    DAMAGES["header.bin is cut"](tmp_path / "elsewhere")
    assert [loss.segment.name for loss in lost_vectors(str(vectored))] == ["photos"]


def test_a_writer_between_two_files_is_waited_for(vectored, monkeypatch):
    real = vector_loss._check
    seen = []

    def look(place):
        seen.append(place)
        losses, state = real(place)
        return (["half written"], [len(seen)]) if len(seen) < 5 else (losses, state)

    monkeypatch.setattr(vector_loss, "_check", look)
    assert lost_vectors(str(vectored)) == []
    assert len(seen) == 5
