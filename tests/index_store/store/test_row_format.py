"""Rows come back as the records they were made of, and a row that this program does not write is refused whole."""

from __future__ import annotations

import json
from typing import Any

import pytest

from index_store.compliance.decisions import Decision
from index_store.records import BY_HAND, FindOptions, IndexedRoot, PhotoFile, StoredPhoto, Verdict
from index_store.store.naming import Naming
from index_store.store.row_format import (
    COPIES,
    JUDGED_BY,
    WITHHELD_UP_TO,
    DamagedRowError,
    decision_row,
    indexed_root,
    photo_row,
    root_row,
    stored_decision,
    stored_photo,
)

HASH = "0123456789abcdef"
SHOWN = Verdict(False, 0.25, "", "rule-1", "policy-1")
PHOTO = StoredPhoto(
    HASH, (PhotoFile("/photos/a.jpg", 7, -1, HASH, 3, 4),), 40, 30, SHOWN, "2024-05-06T07:08:09", "Maker Model", 2
)


def with_facts(**changed: Any) -> dict[str, Any]:
    """Return the row of PHOTO with other facts; a fact that is ... is left out."""
    row = photo_row(PHOTO, Naming())
    facts = json.loads(str(row["photo"])) | changed
    return row | {"photo": json.dumps({name: fact for name, fact in facts.items() if fact is not ...})}


@pytest.mark.parametrize(
    "photo",
    [
        PHOTO,
        PHOTO.with_files([PhotoFile(f"/photos/{name}", 7, 8, HASH) for name in ("b\udce9.jpg", "ü 🙂\n.jpg")]),
        StoredPhoto(HASH, PHOTO.files, 1, 1, Verdict(True, 1.0, "by hand", BY_HAND, "", near="f" * 16)),
    ],
    ids=["a photo", "odd names", "by hand"],
)
def test_a_photo_comes_back_as_it_was(photo):
    assert stored_photo(HASH, photo_row(photo, Naming()), Naming()) == photo


def test_what_queries_ask_for_has_a_key_of_its_own():
    row = photo_row(PHOTO, Naming())
    assert (row[WITHHELD_UP_TO], row[JUDGED_BY]) == (0.25, "rule-1 policy-1")
    assert COPIES not in row
    assert photo_row(PHOTO.with_files([*PHOTO.files, PhotoFile("/b.jpg", 1, 1, HASH)]), Naming())[COPIES] == 2
    by_hand = StoredPhoto(HASH, PHOTO.files, 1, 1, Verdict(True, 1.0, "no", BY_HAND, "policy-1"))
    assert photo_row(by_hand, Naming())[JUDGED_BY] == BY_HAND


def test_a_file_below_a_named_root_has_no_facts_of_one_machine_and_another_path_elsewhere():
    row = photo_row(PHOTO, Naming({"shared": "/photos"}))
    assert "/photos" not in str(row["photo"])
    found = stored_photo(HASH, row, Naming({"shared": "/mnt/here"}))
    assert found.files == (PhotoFile("/mnt/here/a.jpg", 7, -1, HASH, 0, 0),)


@pytest.mark.parametrize("withheld", [True, None, 0, "no", [], ...])
def test_only_a_plain_no_shows_a_photo(withheld):
    row = with_facts(withheld=withheld)
    if withheld is ...:
        with pytest.raises(DamagedRowError):
            stored_photo(HASH, row, Naming())
    else:
        assert stored_photo(HASH, row, Naming()).verdict.withheld


@pytest.mark.parametrize(("stored", "read"), [(7, 1.0), (-3, 0.0), (1, 1.0)])
def test_a_probability_is_brought_into_its_range(stored, read):
    assert stored_photo(HASH, with_facts(probability=stored), Naming()).verdict.probability == read


DAMAGED = {
    "no photo": {},
    "a list": {"photo": "[]"},
    "no JSON": {"photo": "{"},
    "deep JSON": {"photo": "[" * 100_000},
    "no text": {"photo": 7},
    **{
        f"{name} is {fact!r}": with_facts(**{name: fact})
        for name, fact in [
            ("files", []), ("files", ...), ("files", [["/a", 1, 1, 0]]), ("files", [["/a", -1, 1, 0, 0]]),
            ("files", [[None, 1, 1, 0, 0]]), ("files", [["/a", True, 1, 0, 0]]), ("width", -1), ("width", 1.5),
            ("height", "30"), ("height", True), ("probability", float("nan")), ("probability", "0"),
            ("probability", True), ("reason", None), ("rule", 1), ("policy", ...), ("near", []), ("taken", 2024),
            ("camera", None), ("pictures", -1),
        ]
    },
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_row_that_is_not_ours_is_refused_and_named(damage):
    with pytest.raises(DamagedRowError, match=f"row '{HASH}' is damaged; 'imgsearch check --repair' drops it"):
        stored_photo(HASH, DAMAGED[damage], Naming())


@pytest.mark.parametrize("row_id", ["", "xyz", "../../etc", "A" * 16, "a" * 65, "0" * 7])
def test_a_row_whose_id_is_no_hash_is_refused_with_a_short_name(row_id):
    with pytest.raises(DamagedRowError) as caught:
        stored_photo(row_id, photo_row(PHOTO, Naming()), Naming())
    assert len(str(caught.value)) < 150


ROOT = IndexedRoot(
    "/photos/b\udce9", "2026-01-02T03:04:05+00:00", 12, FindOptions(("*.png",), True, True, True), "shared"
)


@pytest.mark.parametrize("trusted", [True, False])
def test_a_root_comes_back_with_its_options_and_is_trusted_only_if_the_caller_says_so(trusted):
    found = indexed_root(root_row(ROOT, "host", "seal"), trusted=trusted)
    assert found is not None
    assert (found.path, found.indexed_at, found.photos, found.find, found.name) == (
        ROOT.path, ROOT.indexed_at, ROOT.photos, ROOT.find, ROOT.name
    )  # fmt: skip
    assert found.trusted is trusted


def test_a_root_names_its_machine_only_where_others_share_it():
    assert root_row(ROOT, "host", "")["host"] == "host"
    assert root_row(IndexedRoot("/p", "", 0), "host", "")["host"] == ""


@pytest.mark.parametrize(
    "damage",
    [{"path": 1}, {"find": "{"}, {"find": "7"}, {"find": '{"exclude": [1]}'}, {"photos": -1}, {"name": None}],
    ids=str,
)
def test_a_root_that_is_not_ours_is_none(damage):
    assert indexed_root(root_row(ROOT, "host", "") | damage, trusted=True) is None


DECISION = Decision(HASH, False, "asked", "/a\udce9.jpg", "2026-01-02T03:04:05+00:00", "ann", {"encoder-1": "AAAA"})


def test_a_decision_comes_back_as_it_was():
    assert stored_decision(decision_row(DECISION)) == DECISION


@pytest.mark.parametrize("withheld", [None, 0, "no"])
def test_only_a_plain_no_of_a_decision_shows_a_photo(withheld):
    found = stored_decision(decision_row(DECISION) | {"withheld": withheld})
    assert found is not None
    assert found.withheld


@pytest.mark.parametrize(
    "damage",
    [{"reason": 1}, {"embeddings": "[]"}, {"embeddings": '{"e": 1}'}, {"embeddings": 7}, {"user": None}],
    ids=str,
)
def test_a_decision_that_is_not_ours_is_none(damage):
    assert stored_decision(decision_row(DECISION) | damage) is None
