from __future__ import annotations

import json
import os
import shutil
from types import SimpleNamespace

import chromadb
import numpy as np
import pytest
from chromadb.config import Settings

from index_store.compliance.decisions import Decision
from index_store.errors import StoreError
from index_store.records import BY_HAND, IndexedRoot, PhotoFile, StoredPhoto, Verdict
from index_store.store.encoder_collections import encoders_in
from index_store.store.image_store import HNSW, create_store, open_store
from index_store.store.manifest import SCHEMA, Manifest
from index_store.store.naming import Naming
from index_store.store.row_format import photo_row
from tests.conftest import content_of

CLEAN = Verdict(False, 0.25, "", "rule-1", "policy-1")
WITHHELD = Verdict(True, 0.75, "looks like a child", "rule-1", "policy-1")


def photo(path: str, verdict: Verdict = CLEAN) -> StoredPhoto:
    return copies(path, verdict=verdict)


def copies(*paths: str, verdict: Verdict = CLEAN) -> StoredPhoto:
    content = content_of(paths[0])
    files = tuple(
        PhotoFile(path, 12, 1_700_000_000_123_456_789, content, 7, 1_700_000_000_000_000_001) for path in paths
    )
    return StoredPhoto(content, files, 40, 30, verdict, "2021-06-14T12:30:00", "ACME One")


def unit(*rows: list[float]) -> np.ndarray:
    array = np.asarray(rows, dtype=np.float32)
    return array / np.linalg.norm(array, axis=1, keepdims=True)


def test_rows_come_back_as_they_were_written(store):
    rows = [photo("/a/1.jpg"), photo("/a/2.jpg", WITHHELD)]
    store.upsert(rows, unit([1, 0, 0, 0], [0, 1, 0, 0]))
    assert sorted(store.photos(), key=lambda row: row.image_id) == rows
    assert (store.count(), len(store.withheld(0.5))) == (2, 1)


def test_upsert_replaces_a_row(store):
    store.upsert([photo("/a/1.jpg")], unit([1, 0, 0, 0]))
    store.upsert([photo("/a/1.jpg", WITHHELD)], unit([0, 1, 0, 0]))
    assert list(store.photos()) == [photo("/a/1.jpg", WITHHELD)]
    assert np.allclose(store.embeddings([content_of("/a/1.jpg")])[content_of("/a/1.jpg")], [0, 1, 0, 0])


def test_nearest_is_sorted_by_similarity_and_ties_by_content(store):
    names = ["/b.jpg", "/a.jpg", "/c.jpg", "/d.jpg"]
    store.upsert([photo(name) for name in names], unit([1, 0, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0], [1, 1, 0, 0]))
    found = store.nearest(unit([1, 0, 0, 0])[0], 3)
    first_two = sorted([content_of("/a.jpg"), content_of("/b.jpg")])
    assert [candidate.key for candidate in found] == [*first_two, content_of("/d.jpg")]
    assert [candidate.similarity for candidate in found] == pytest.approx([1.0, 1.0, 0.5**0.5], abs=1e-6)
    assert np.allclose(found[2].embedding, unit([1, 1, 0, 0])[0])


def test_nearest_in_an_empty_store_is_empty(store):
    assert store.nearest(unit([1, 0, 0, 0])[0], 5) == []


def test_nearest_agrees_with_brute_force(store):
    generator = np.random.default_rng(3)
    vectors = unit(*generator.normal(size=(300, 4)).tolist())
    store.upsert([photo(f"/{i:03}.jpg") for i in range(300)], vectors)
    query = unit([0.3, -1, 0.2, 0.7])[0]
    exact = [content_of(f"/{i:03}.jpg") for i in np.argsort(-(vectors @ query))[:20]]
    assert [candidate.key for candidate in store.nearest(query, 20)] == exact


def test_names_that_are_no_utf8_are_kept_exactly(store):
    name = os.fsdecode(b"/photos/caf\xe9 100%.jpg")
    store.upsert([photo(name)], unit([1, 0, 0, 0]))
    assert [row.image_id for row in store.photos()] == [name]
    store.drop_paths({content_of(name): [name]})
    assert store.count() == 0


def test_wrong_shapes_are_refused_and_nothing_is_written(store):
    with pytest.raises(StoreError, match=r"shape \(1, 3\), the store holds vectors of 4; nothing was written"):
        store.upsert([photo("/a.jpg")], np.ones((1, 3), dtype=np.float32))
    assert store.count() == 0


def test_more_rows_than_one_batch_of_chroma_are_written(store, monkeypatch):
    monkeypatch.setattr(type(store), "_batch_size", lambda self: 2)
    rows = [photo(f"/{i}.jpg") for i in range(5)]
    store.upsert(rows, unit(*np.eye(4).tolist(), [1, 1, 0, 0]))
    assert len(store.embeddings([row.content_hash for row in rows])) == 5
    store.delete([row.content_hash for row in rows[:3]])
    assert store.count() == 2


def test_roots_are_remembered_by_path(store):
    store.set_roots(
        [IndexedRoot("/b", "2026-01-01T00:00:00+00:00", 3), IndexedRoot("/a", "2026-01-02T00:00:00+00:00", 1)]
    )
    store.set_roots([IndexedRoot("/b", "2026-01-03T00:00:00+00:00", 4)])
    assert store.roots() == [
        IndexedRoot("/a", "2026-01-02T00:00:00+00:00", 1),
        IndexedRoot("/b", "2026-01-03T00:00:00+00:00", 4),
    ]
    store.drop_roots([IndexedRoot("/a", "", 0)])
    assert [root.path for root in store.roots()] == ["/b"]


def test_a_store_survives_a_new_connection_with_more_than_a_thousand_rows(tmp_path):
    """Chroma 1.5.9 has a report of an index lost after a restart above 1,000 rows."""
    import subprocess
    import sys

    place = str(tmp_path / "store")
    script = (
        "import numpy as np, sys; from tests.index_store.store.test_image_store import *\n"
        "rows = np.random.default_rng(0).normal(size=(2500, 8)).tolist()\n"
        "create_store(sys.argv[1], Manifest('e', 8)).upsert([photo(f'/{i}.jpg') for i in range(2500)], unit(*rows))\n"
    )
    subprocess.run([sys.executable, "-c", script, place], check=True)
    vectors = unit(*np.random.default_rng(0).normal(size=(2500, 8)).tolist())
    again = open_store(place)
    assert again.count() == 2500
    for i in (0, 999, 1000, 2499):
        assert again.nearest(vectors[i], 1)[0].key == content_of(f"/{i}.jpg")


def test_opening_a_missing_store_says_how_to_make_one_and_makes_none(tmp_path):
    with pytest.raises(StoreError, match="there is no store; make one with 'imgsearch index FOLDER'"):
        open_store(str(tmp_path / "none"))
    assert not (tmp_path / "none").exists()


def test_a_folder_of_something_else_is_no_store(tmp_path):
    (tmp_path / "letter.txt").touch()
    with pytest.raises(StoreError, match="is not a store of imgsearch"):
        open_store(str(tmp_path))
    with pytest.raises(StoreError, match="holds other files and is no store"):
        create_store(str(tmp_path), Manifest("e", 4))
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_a_chroma_database_of_another_program_is_no_store(tmp_path):
    settings = Settings(anonymized_telemetry=False)
    chromadb.PersistentClient(str(tmp_path / "other"), settings=settings).create_collection(
        "theirs", embedding_function=None
    )
    with pytest.raises(StoreError, match="is a Chroma database without photos of imgsearch"):
        open_store(str(tmp_path / "other"))


def test_a_store_of_another_encoder_is_named(store):
    with pytest.raises(StoreError, match="was built with the encoder colours-1, not with clip"):
        open_store(store.place, "clip")


def test_photos_are_known_by_their_content_and_missing_ones_left_out(store):
    store.upsert([photo("/a.jpg"), photo("/b.jpg")], unit([1, 0, 0, 0], [0, 1, 0, 0]))
    wanted = [content_of("/b.jpg"), content_of("/gone.jpg")]
    assert store.photos_of(wanted) == {content_of("/b.jpg"): photo("/b.jpg")}
    assert store.photos_of([]) == {}


def test_two_encoders_live_in_one_store(store):
    other = create_store(store.place, Manifest("other", 2))
    other.upsert([photo("/a.jpg")], unit([1, 0]))
    assert encoders_in(store.place) == ["colours-1", "other"]
    assert (open_store(store.place, "other").count(), open_store(store.place, "colours-1").count()) == (1, 0)
    with pytest.raises(StoreError, match=r"holds several encoders \(colours-1, other\); name one with --encoder"):
        open_store(store.place)
    assert open_store(store.place, preferred="other").count() == 1
    with pytest.raises(StoreError, match="holds several encoders"):
        open_store(store.place, preferred="neither")


def test_a_newer_schema_is_refused(tmp_path):
    place = str(tmp_path / "store")
    create_store(place, Manifest("e", 4, schema=SCHEMA + 1))
    with pytest.raises(StoreError, match="written by a newer imgsearch"):
        open_store(place)


@pytest.mark.parametrize("schema", [1, 2])
def test_an_earlier_schema_is_refused_with_the_way_out(tmp_path, schema):
    place = str(tmp_path / "store")
    create_store(place, Manifest("e", 4, schema=schema))
    with pytest.raises(
        StoreError, match=rf"earlier imgsearch \(schema {schema}, this one writes {SCHEMA}\).*index FOLDER"
    ):
        open_store(place)


def test_copies_share_a_row_and_are_counted(store):
    store.upsert([copies("/a.jpg", "/b.jpg", "/c.jpg"), photo("/d.jpg")], unit([1, 0, 0, 0], [0, 1, 0, 0]))
    assert store.count() == 4
    store.drop_paths({content_of("/a.jpg"): ["/b.jpg", "/c.jpg"], content_of("/d.jpg"): ["/d.jpg"]})
    assert (list(store.photos()), store.count()) == ([photo("/a.jpg")], 1)
    store.drop_paths({content_of("/a.jpg"): ["/a.jpg"], content_of("/unknown"): ["/unknown"]})
    assert store.count() == 0


DAMAGES = [
    {},
    {"photo": "no json"},
    {"photo": "[" * 100_000},
    {"photo": "{}"},
    {"photo": '{"files":[]}'},
    {"photo": 7},
    {"width": "wide"},
    {"width": -1},
    {"probability": float("nan")},
    {"probability": True},
    {"files": [["/a.jpg", 1, 1, 1]]},
    {"files": [[7, 1, 1, 1, 1]]},
    {"files": [["/a.jpg", "1", 1, 1, 1]]},
    {"files": []},
    {"reason": None},
    {"near": ["x"]},
]


@pytest.mark.parametrize("damage", DAMAGES, ids=str)
def test_a_row_that_somebody_else_wrote_is_one_clear_error_and_can_be_dropped(store, damage):
    row = photo_row(photo("/a.jpg"), Naming())
    if set(damage) <= {"photo"}:
        row = damage or {"other": 1}
    else:
        row["photo"] = json.dumps({**json.loads(str(row["photo"])), **damage})
    store._collection.upsert(ids=["ab" * 16], embeddings=unit([1, 0, 0, 0]), metadatas=[row])
    store.upsert([photo("/sound.jpg")], unit([0, 1, 0, 0]))
    with pytest.raises(StoreError, match=r"row 'abab.*' is damaged; 'imgsearch check --repair' drops it"):
        list(store.photos())
    assert store.damaged_rows() == ["ab" * 16]
    store.delete(store.damaged_rows())
    assert list(store.photos()) == [photo("/sound.jpg")]


def test_a_root_is_trusted_only_where_this_user_indexed_it(store, monkeypatch):
    store.set_roots([IndexedRoot("/mine", "2026-01-01T00:00:00+00:00", 3)])
    monkeypatch.setattr("index_store.store.seals._key", lambda: b"k" * 32)  # as on another machine, or for another user
    store.set_roots([IndexedRoot("/theirs", "2026-01-01T00:00:00+00:00", 3)])
    assert [(root.path, root.trusted) for root in store.roots()] == [("/mine", False), ("/theirs", True)]
    row = store._side.find("imgsearch-roots").get(include=["metadatas"])["metadatas"][1]
    monkeypatch.undo()
    # a seal is of one path and of how photos are looked for there
    store._side.find("imgsearch-roots").upsert(ids=["/etc"], embeddings=unit([1]), metadatas=[{**row, "path": "/etc"}])
    assert [root.trusted for root in store.roots()] == [False, True, False]


def test_what_another_rule_or_policy_judged_is_found_and_decisions_by_hand_are_not(store):
    def row(name: str, rule: str, policy: str) -> StoredPhoto:
        return photo(name, Verdict(True, 0.5, "", rule, policy))

    rows = [row("/a", "r1", "p1"), row("/b", "r2", "p1"), row("/c", "r1", "p2"), row("/d", BY_HAND, "p2")]
    store.upsert(rows, unit(*np.eye(4).tolist()))
    assert store.outdated_verdicts("r1", "p1") == rows[1:3]
    assert store.outdated_verdicts("r2", "p1") == [rows[0], rows[2]]


def test_a_decision_by_hand_holds_at_every_threshold(store):
    shown, hidden = (photo(f"/{by}", Verdict(by == "hidden", 0.5, "", BY_HAND, "p")) for by in ("shown", "hidden"))
    store.upsert([shown, hidden, photo("/rule", Verdict(True, 0.5, "", "r", "p"))], unit(*np.eye(4)[:3].tolist()))
    assert [[row.image_id for row in store.withheld(threshold)] for threshold in (0.0, 0.5, 0.51, 1.0)] == [
        ["/hidden", "/rule"],
        ["/hidden", "/rule"],
        ["/hidden"],
        ["/hidden"],
    ]


def test_a_large_store_is_searched_more_widely(store, monkeypatch):
    def width() -> int:
        return open_store(store.place)._collection.configuration["hnsw"]["ef_search"]

    store.upsert([photo(f"/{number}.jpg") for number in range(20)], unit(*[[1, number, 0, 0] for number in range(20)]))
    store.tune()
    assert width() == HNSW["ef_search"]
    monkeypatch.setattr("index_store.store.image_store._TUNED_FOR", 2)
    store.tune()
    assert width() == round(HNSW["ef_search"] * 10**0.4)
    assert len(open_store(store.place).nearest(unit([1, 0, 0, 0])[0], 5)) == 5


def test_rows_are_read_a_page_at_a_time_since_chroma_fails_on_many(store, monkeypatch):
    monkeypatch.setattr("index_store.store.paging.PAGE", 3)
    for count in (2, 3, 4, 7):
        rows = [photo(f"/{number}.jpg", WITHHELD) for number in range(count)]
        store.upsert(rows, unit(*[[1, number, 0, 0] for number in range(count)]))
        assert sorted(store.photos(), key=lambda row: row.image_id) == rows
        assert store.withheld(0.5) == store.outdated_verdicts("rule-2", "policy-1") == rows
    decisions = [Decision("ab", True, "seen", "/a.jpg", f"2026-01-0{day}", "me") for day in range(1, 8)]
    store.add_decisions(decisions)
    assert store.decisions() == decisions


def test_another_dimension_for_the_same_encoder_is_refused(store):
    with pytest.raises(StoreError, match="holds vectors of 4 for colours-1, which now makes 5"):
        create_store(store.place, Manifest("colours-1", 5))


def test_a_place_that_cannot_be_made_is_an_error_of_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="the store cannot be made: (file exists|not a directory)"):
        create_store(str(tmp_path / "file" / "store"), Manifest("e", 4))


def test_a_misspelt_address_makes_no_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for act in (open_store, lambda place: create_store(place, Manifest("e", 4))):
        with pytest.raises(StoreError, match="^htp://db:8000: a store is a folder or a server at http://HOST:PORT or"):
            act("htp://db:8000")
    assert not list(tmp_path.iterdir())


def test_a_damaged_database_is_an_error_of_one_line(tmp_path):
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "chroma.sqlite3").write_bytes(b"not sqlite at all" * 100)
    with pytest.raises(StoreError, match="file is not a database; the database is damaged"):
        open_store(str(tmp_path / "store"))


def test_a_folder_that_is_gone_is_told_in_place_of_what_chroma_trips_over(store, tmp_path):
    store.upsert([photo("/a.jpg")], np.eye(4, dtype=np.float32)[:1])
    shutil.rmtree(tmp_path / "store")
    with pytest.raises(StoreError, match="/store: the store failed: its folder is gone$"):
        store.upsert([photo("/b.jpg")], np.eye(4, dtype=np.float32)[1:2])


def test_a_full_disk_is_named_where_chroma_does_not_say_so(store, monkeypatch):
    def failing(**_):
        raise RuntimeError("Error in compaction")

    monkeypatch.setattr(store, "_collection", SimpleNamespace(get=failing))
    with pytest.raises(StoreError, match="the store failed: Error in compaction$"):
        store.embeddings(["a"])
    monkeypatch.setattr("shutil.disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9 - 4096, 4096))
    with pytest.raises(StoreError, match="Error in compaction; its disk is full: free some space and try again"):
        store.embeddings(["a"])
