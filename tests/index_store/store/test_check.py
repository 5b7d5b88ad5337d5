from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from index_store.indexing.run import index_photos
from index_store.indexing.write import IndexModels
from index_store.photos.places import Place
from index_store.store.check import check_files, check_store, repair_files, repair_store
from index_store.store.image_store import ImageStore
from tests.index_store.store.damages import DAMAGES
from tests.index_store.store.vector_store import vector_folder


@pytest.fixture
def filled(store, encoder, judge, paint, tmp_path):
    for i, colour in enumerate(("red", "lime", "blue", "white")):
        paint(f"photos/{colour}.png", colour, size=(8 + i, 8))
    models = IndexModels(encoder.photo_input, lambda: encoder, lambda: judge)
    return lambda: index_photos([Place(str(tmp_path / "photos"))], store, models)


def problems(store):
    return [(f.path and Path(f.path).name, f.problem, f.mendable) for f in check_store(store, 0.5)]


def test_a_sound_store_has_no_findings(store, filled):
    filled()
    assert check_store(store, 0.5) == []


def test_files_that_are_gone_are_found_and_dropped(store, filled, tmp_path):
    filled()
    (tmp_path / "photos" / "red.png").unlink()
    (tmp_path / "photos" / "white.png").unlink()
    assert problems(store) == [
        (None, "the file is gone", True),  # the white one, which is withheld
        ("red.png", "the file is gone", True),
    ]
    assert repair_store(store, check_store(store, 0.5)) == 2
    assert (store.count(), check_store(store, 0.5)) == (2, [])


def test_a_root_that_is_not_mounted_is_no_reason_to_drop_rows(store, filled, tmp_path):
    filled()
    (tmp_path / "photos").rename(tmp_path / "away")
    findings = check_store(store, 0.5)
    assert [(finding.path, finding.problem) for finding in findings] == [
        (
            str(tmp_path / "photos"),
            "is not there, with 4 files: is its disk mounted? was it moved ('imgsearch move')?",
        )
    ]
    assert repair_store(store, findings) == 0
    assert store.count() == 4


def test_a_vector_of_the_wrong_length_is_mended_by_the_next_run(store, filled, tmp_path):
    filled()
    red = next(photo for photo in store.photos() if photo.image_id.endswith("red.png"))
    store.upsert([red], np.asarray([[2, 0, 0, 0]], dtype=np.float32))
    assert problems(store) == [("red.png", "has an embedding of length 2.000, not 1", True)]
    repair_store(store, check_store(store, 0.5))
    assert filled().added == 1
    assert check_store(store, 0.5) == []


def test_a_search_that_finds_too_little_is_told(store, filled, monkeypatch):
    filled()
    by_graph = ImageStore.nearest_by_graph
    monkeypatch.setattr(store, "nearest_by_graph", lambda query, pool: by_graph(store, query, 2 if pool > 1 else 1))
    [finding] = check_store(store, 0.5)
    assert (finding.path, finding.mendable) == (store.place, False)
    assert finding.problem.startswith("the search finds 50 of 100 of the photos that are nearest, by a sample of 50;")


def test_lost_vectors_are_told_and_mended_without_opening_the_store(vectored):
    folder = vector_folder(vectored)
    DAMAGES["header.bin is cut"](folder)
    DAMAGES["data_level0.bin is cut"](folder)
    [finding] = check_files(str(vectored))
    problem = "the vectors of 200 of 250 rows are lost or damaged (header.bin has 50 bytes, not 100)"
    assert (finding.path, finding.problem, finding.mendable) == (str(vectored), problem, True)
    assert repair_files(str(vectored)) == 100
    assert check_files(str(vectored)) == []


def test_a_damaged_database_is_told(vectored):
    with (vectored / "chroma.sqlite3").open("r+b") as file:
        file.seek(40_960)
        file.write(bytes(40_960))
    [finding] = check_files(str(vectored))
    assert finding.problem.endswith("or move the store away and run 'imgsearch index FOLDER'")
    assert not finding.mendable
