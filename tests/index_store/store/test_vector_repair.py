from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from index_store.store import vector_loss
from index_store.store.client import connect
from index_store.store.vector_loss import lost_vectors
from index_store.store.vector_repair import repair_vectors, shrink_vectors
from tests.index_store.store import vector_store
from tests.index_store.store.damages import DAMAGES
from tests.index_store.store.vector_store import IN_FILES, ROWS, vector_folder

KEPT = {
    **{
        f"{name} is {how}": IN_FILES
        for name in ("header.bin", "length.bin", "link_lists.bin")
        for how in ("cut", "gone")
    },
    "data_level0.bin is cut": IN_FILES // 2,
    "data_level0.bin is full of ones": 0,
    "index_metadata.pickle is gone": 0,
    "a pickle that runs a program": 0,
    "the folder is gone": 0,
}
"""How many of the vectors in damaged files can still be read: all that are there, while it is known whose they are."""


@pytest.fixture(autouse=True)
def at_once(monkeypatch, tmp_path):
    monkeypatch.setattr(vector_loss, "_PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(vector_loss, "cache_folder", lambda: tmp_path / "cache")


@pytest.mark.parametrize("damage", KEPT)
def test_what_can_be_read_is_kept_and_only_what_is_lost_is_dropped(vectored, damage):
    DAMAGES[damage](vector_folder(vectored))
    [done] = repair_vectors(str(vectored), 32)
    assert (done.collection, done.rebuilt, len(done.dropped)) == ("photos", KEPT[damage], IN_FILES - KEPT[damage])
    assert lost_vectors(str(vectored)) == []
    collection = connect(str(vectored)).get_collection("photos", embedding_function=None)
    rows = collection.get(include=["embeddings", "metadatas"])
    assert set(rows["ids"]) == {f"row {i}" for i in range(ROWS)} - set(done.dropped)
    numbers = [row["number"] for row in rows["metadatas"]]
    assert [f"row {number}" for number in numbers] == rows["ids"]
    assert np.allclose(rows["embeddings"], vector_store.vectors()[numbers], atol=1e-6)
    nearest = collection.query(query_embeddings=rows["embeddings"], n_results=1)["ids"]
    assert [ids[0] for ids in nearest] == rows["ids"]
    assert not [path.name for path in vectored.iterdir() if path.name.endswith(".broken")]


def test_a_sound_store_stays_as_it_is(vectored):
    before = sorted((path.name, path.stat().st_mtime_ns) for path in vectored.rglob("*"))
    assert repair_vectors(str(vectored), 32) == []
    assert sorted((path.name, path.stat().st_mtime_ns) for path in vectored.rglob("*")) == before


def test_rows_whose_vectors_stand_for_nothing_are_never_dropped(vectored):
    DAMAGES["the folder is gone"](vector_folder(vectored, 1))
    [done] = repair_vectors(str(vectored), 32)
    assert (done.collection, done.rebuilt, done.dropped) == ("notes", IN_FILES, ())
    rows = connect(str(vectored)).get_collection("notes", embedding_function=None).get(include=["metadatas"])
    assert sorted(row["number"] for row in rows["metadatas"]) == list(range(ROWS))


def test_an_interrupted_repair_is_done_again_with_the_same_result(vectored, monkeypatch):
    DAMAGES["header.bin is cut"](vector_folder(vectored))

    def fail(client, plan):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("index_store.store.vector_repair._repair", fail)
        with pytest.raises(KeyboardInterrupt):
            repair_vectors(str(vectored), 32)
    [done] = repair_vectors(str(vectored), 32)
    assert (done.rebuilt, done.dropped) == (IN_FILES, ())


DELETE = """
import sys
from index_store.store.chroma_import import chromadb, own_settings
client = chromadb.PersistentClient(sys.argv[1], settings=own_settings())
collection = client.get_collection("photos", embedding_function=None)
collection.delete(ids=[f"row {i}" for i in range(180)])
collection.upsert(ids=["row 249"] * 1, embeddings=[[1.0] + [0.0] * 15], metadatas=[{"number": 249}])
"""


def test_the_space_of_deleted_vectors_comes_back(vectored, monkeypatch):
    monkeypatch.setattr("index_store.store.vector_repair._MOST_WASTE", 50)
    assert shrink_vectors(str(vectored), 32) == []
    subprocess.run([sys.executable, "-c", DELETE, str(vectored)], check=True)
    before = (vector_folder(vectored) / "data_level0.bin").stat().st_size
    [done] = shrink_vectors(str(vectored), 32)
    assert (done.collection, done.dropped) == ("photos", ())
    rows = connect(str(vectored)).get_collection("photos", embedding_function=None).get(include=["embeddings"])
    assert sorted(rows["ids"]) == sorted(f"row {i}" for i in range(180, 250))
    found = dict(zip(rows["ids"], rows["embeddings"], strict=True))
    expected = vector_store.vectors()
    assert np.allclose(found.pop("row 249"), [1] + [0] * 15)
    assert all(np.allclose(vector, expected[int(row_id[4:])], atol=1e-6) for row_id, vector in found.items())
    assert (vector_folder(vectored) / "data_level0.bin").stat().st_size < before / 1.5
    assert lost_vectors(str(vectored)) == []
    assert shrink_vectors(str(vectored), 32) == []
