from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from index_store.errors import StoreError, UsageError, WeightsError
from index_store.indexing.run import IndexOptions, index_photos
from index_store.indexing.write import WRITE_SIZE, IndexModels, batch_size
from index_store.photos.places import Place, chosen_places
from index_store.records import IndexReport, PassedOver
from index_store.store.image_store import create_store


@pytest.fixture
def index(store, encoder, judge, tmp_path):
    """Return a function that indexes folders below tmp_path/photos with the colour encoder."""

    def index(*paths: Path, **options: object) -> IndexReport:
        chosen = [Place(str(path)) for path in paths or [tmp_path / "photos"]]
        return index_photos(
            chosen, store, IndexModels(encoder.photo_input, lambda: encoder, lambda: judge), IndexOptions(**options)
        )

    return index


def rows(store) -> dict[str, tuple[int, int]]:
    return {Path(path).name: (row.width, row.height) for row in store.photos() for path in row.paths}


def embedding_at(store, path: Path | str) -> np.ndarray:
    [content] = [row.content_hash for row in store.photos() if str(path) in row.paths]
    return store.embeddings([content])[content]


def test_photos_are_embedded_and_found_again(index, store, encoder, paint):
    paint("photos/red.png", "red")
    paint("photos/blue.png", "blue", size=(10, 20))
    report = index()
    assert (report.added, report.encoded, report.skipped) == (2, 2, ())
    assert rows(store) == {"red.png": (32, 24), "blue.png": (10, 20)}
    [nearest] = store.nearest(encoder.encode_texts(["blue"])[0], 1)
    assert Path(store.photos_of([nearest.key])[nearest.key].image_id).name == "blue.png"


def test_an_unchanged_folder_loads_no_model(store, encoder, judge, paint, index, tmp_path):
    paint("photos/red.png")
    index()

    def never() -> None:
        raise AssertionError("a model was loaded")

    report = index_photos([Place(str(tmp_path / "photos"))], store, IndexModels(encoder.photo_input, never, never))
    assert (report.unchanged, report.encoded) == (1, 0)


def test_rows_stay_aligned_when_one_photo_is_unreadable(index, store, encoder, paint, tmp_path):
    for i in range(40):
        paint(f"photos/{i:02}.png", ["red", "lime", "blue"][i % 3], size=(8 + i, 8))
    (tmp_path / "photos" / "07.png").write_bytes(b"no photo")
    report = index()
    assert [(Path(skip.path).name, skip.reason) for skip in report.skipped] == [
        ("07.png", "is not a photo in a format that can be read")
    ]
    assert (report.added, store.count()) == (39, 39)
    expected = encoder.encode_texts(["red", "lime", "blue"])
    for row in store.photos():
        number = int(Path(row.image_id).stem)
        assert row.width == 8 + number
        assert np.allclose(embedding_at(store, row.image_id), expected[number % 3], atol=1e-3)


def test_changed_moved_copied_and_removed_photos_are_told_apart(index, store, encoder, paint, tmp_path):
    paint("photos/changes.png", "red")
    moving = paint("photos/moves.png", "blue", size=(9, 9))
    paint("photos/goes.png", "white", size=(11, 11))
    index()
    before = encoder.photos_encoded
    paint("photos/changes.png", "lime", size=(50, 50))
    moving.rename(tmp_path / "photos" / "moved.png")
    (tmp_path / "photos" / "goes.png").unlink()
    (tmp_path / "photos" / "copy.png").write_bytes((tmp_path / "photos" / "moved.png").read_bytes())
    report = index()
    assert (report.added, report.moved, report.changed, report.removed) == (1, 1, 1, 1)
    assert encoder.photos_encoded - before == 1
    assert rows(store) == {"changes.png": (50, 50), "moved.png": (9, 9), "copy.png": (9, 9)}


def test_photos_that_swap_names_keep_their_own_embeddings(index, store, encoder, paint, tmp_path):
    one, two = paint("photos/1.bmp", "red"), paint("photos/2.bmp", "blue")
    os.utime(one, ns=(1, 1)), os.utime(two, ns=(2, 2))
    index()
    one.rename(tmp_path / "t"), two.rename(one), (tmp_path / "t").rename(two)
    report = index()
    assert (report.changed, report.encoded) == (2, 0)
    for path, colour in ((one, "blue"), (two, "red")):
        assert np.allclose(embedding_at(store, path), encoder.encode_texts([colour])[0], atol=1e-3)


def test_a_photo_that_was_spoiled_is_forgotten_since_its_row_shows_another_picture(index, store, paint):
    path = paint("photos/a.png")
    paint("photos/b.png", "blue")
    index()
    path.write_bytes(b"spoiled")
    report = index()
    assert (report.removed, report.changed, len(report.skipped)) == (1, 0, 1)
    assert list(rows(store)) == ["b.png"]


def test_other_roots_are_left_alone(index, store, paint, tmp_path):
    paint("photos/a.png")
    paint("more/b.png", "blue")
    index(tmp_path / "photos", tmp_path / "more")
    (tmp_path / "photos" / "a.png").unlink()
    paint("photos/c.png", "lime")
    report = index(tmp_path / "photos")
    assert report.removed == 1 and set(rows(store)) == {"b.png", "c.png"}


def test_a_single_file_can_be_indexed(index, store, paint, tmp_path):
    paint("photos/a.png")
    paint("photos/b.png", "blue")
    index(tmp_path / "photos" / "a.png")
    assert list(rows(store)) == ["a.png"]


def test_a_folder_that_lost_all_its_photos_is_not_pruned_unless_told(index, store, paint):
    path = paint("photos/a.png")
    index()
    path.unlink()
    with pytest.raises(UsageError, match="holds no photo, and 1 from there are indexed; if it is not mounted"):
        index()
    assert store.count() == 1
    assert index(prune_empty=True).removed == 1
    assert store.count() == 0


def test_a_missing_folder_stops_before_anything_is_done(index, store, paint, tmp_path):
    paint("photos/a.png")
    with pytest.raises(UsageError, match=r"nowhere: no such file or folder; nothing was indexed"):
        index(tmp_path / "photos", tmp_path / "nowhere")
    assert store.count() == 0


def test_an_empty_folder_is_an_error(index, tmp_path):
    (tmp_path / "photos").mkdir()
    with pytest.raises(UsageError, match="no photos found"):
        index()


def test_withheld_photos_are_stored_with_their_verdict(index, store, paint):
    paint("photos/white.png", "white")
    paint("photos/red.png", "red")
    index()
    assert len(store.withheld(0.5)) == 1
    assert {Path(row.image_id).name: row.verdict.withheld for row in store.photos()} == {
        "white.png": True,
        "red.png": False,
    }


def test_an_interrupted_run_keeps_what_was_encoded_and_the_next_completes_it(index, store, encoder, paint, monkeypatch):
    batch = batch_size()
    whole = -(-WRITE_SIZE // batch) * batch + batch  # a write, and one more batch that waits for its write
    for i in range(whole + batch):
        paint(f"photos/{i:04}.png", size=(8 + i, 8))
    real, calls = encoder.encode_photos, []

    def interrupted(photos):
        if sum(calls) == whole:
            raise KeyboardInterrupt
        calls.append(len(photos))
        return real(photos)

    monkeypatch.setattr(encoder, "encode_photos", interrupted)
    with pytest.raises(KeyboardInterrupt):
        index()
    assert store.count() == whole
    monkeypatch.setattr(encoder, "encode_photos", real)
    report = index()
    assert (report.added, report.unchanged, store.count()) == (batch, whole, whole + batch)


def test_an_error_of_the_encoder_ends_the_run_and_keeps_what_was_written(index, store, encoder, paint, monkeypatch):
    for i in range(3):
        paint(f"photos/{i}.png", size=(8 + i, 8))
    monkeypatch.setattr(encoder, "encode_photos", lambda photos: (_ for _ in ()).throw(WeightsError("is damaged")))
    with pytest.raises(WeightsError, match="is damaged"):
        index()
    assert store.count() == 0


def test_a_store_that_cannot_be_written_is_one_clear_error(index, store, paint, monkeypatch):
    paint("photos/a.png")
    monkeypatch.setattr(store._collection, "upsert", lambda **_: (_ for _ in ()).throw(OSError(28, "No space left")))
    with pytest.raises(StoreError, match="the store failed: .*No space left"):
        index()


def test_roots_are_remembered_and_swallow_their_parts(index, store, paint, tmp_path):
    paint("photos/in/a.png")
    index(tmp_path / "photos" / "in")
    index(tmp_path / "photos")
    index(tmp_path / "photos" / "in")
    assert [(root.path, root.photos) for root in store.roots()] == [(str(tmp_path / "photos"), 1)]


def test_a_root_with_a_name_that_its_parent_swallows_leaves_no_orphan_rows(store, encoder, judge, paint, tmp_path):
    """Its rows are named by it; a store that is opened later knows them by the same root."""
    models = IndexModels(encoder.photo_input, lambda: encoder, lambda: judge)
    paint("photos/in/a.png"), paint("photos/b.png", "blue")
    named = Place(str(tmp_path / "photos/in"), name="archive")
    store.name_roots({"archive": named.path})
    index_photos([named], store, models)
    index_photos([Place(str(tmp_path / "photos"))], store, models)
    for _ in range(2):
        store = create_store(store.place, store.manifest)
        assert sorted(row.image_id for row in store.photos()) == [
            str(tmp_path / "photos/b.png"),
            str(tmp_path / "photos/in/a.png"),
        ]
        index_photos(chosen_places((), store.roots(), ""), store, models)
    (tmp_path / "photos/.imgsearchignore").write_text("in/")
    index_photos(chosen_places((), store.roots(), ""), store, models)
    assert list(rows(create_store(store.place, store.manifest))) == ["b.png"]


def test_what_was_passed_over_is_in_the_report(index, paint, tmp_path):
    paint("photos/a.png"), paint("photos/@eaDir/b.png")
    (tmp_path / "photos/c.psd").write_bytes(b"8BPS")
    assert index().passed_over == PassedOver({".psd": 1}, {"@eaDir": 1})


def test_progress_reaches_the_number_of_encoded_photos(store, encoder, judge, paint, tmp_path):
    paint("photos/a.png"), paint("photos/b.png", "blue")
    seen: list[tuple[int, int]] = []
    index_photos(
        [Place(str(tmp_path / "photos"))],
        store,
        IndexModels(encoder.photo_input, lambda: encoder, lambda: judge),
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen == [(1, 2), (2, 2)]
