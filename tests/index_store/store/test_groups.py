"""Filters: the k best among the photos that pass, equal to brute force, whatever share passes."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pytest

from index_store.errors import StoreError
from index_store.question import Filters
from index_store.records import PhotoFile, StoredPhoto, Verdict
from index_store.store.groups import DAY, GROUP, Group, group_of, passing, stored_group
from index_store.store.image_store import ImageStore, create_store, open_store
from index_store.store.manifest import Manifest
from index_store.store.naming import Naming
from tests.conftest import content_of

COUNT, DIMENSION = 1_500, 16
CLEAN = Verdict(False, 0.25, "", "rule-1", "policy-1")


def taken_photo(number: int) -> StoredPhoto:
    """Photo `number`: its hundredth decides about day, folder, camera and shape."""
    part = number % 100
    path = f"/photos/{part:02}/{number:04}.jpg"
    content = content_of(path)
    taken = (date(2021, 1, 1) + timedelta(days=part)).isoformat() + "T12:00:00"
    size = (40, 30) if part < 50 else (30, 40)
    return StoredPhoto(content, (PhotoFile(path, 9, 7, content),), *size, CLEAN, taken, f"ACME {part:02}")


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> tuple[ImageStore, np.ndarray]:
    """More photos than Chroma holds back before it builds its graph, and their vectors."""
    store = create_store(str(tmp_path_factory.mktemp("filters") / "store"), Manifest("e-1", DIMENSION))
    vectors = np.random.default_rng(1).normal(size=(COUNT, DIMENSION)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    store.upsert([taken_photo(number) for number in range(COUNT)], vectors)
    return open_store(store.place), vectors


FOLDERS = [f"/photos/{part:02}" for part in range(100)]
ONES = {
    "1 % by day": (Filters(after=date(2021, 1, 1), before=date(2021, 1, 2)), 1),
    "10 % by day": (Filters(before=date(2021, 1, 11)), 10),
    "50 % by day": (Filters(before=date(2021, 2, 20)), 50),
    "99 % by day": (Filters(before=date(2021, 4, 10)), 99),
    "1 % by folder": (Filters(folders=("/photos/00",)), 1),
    "10 % by folder": (Filters(folders=tuple(FOLDERS[:10])), 10),
    "50 % by folder": (Filters(folders=tuple(FOLDERS[:50])), 50),
    "99 % by folder": (Filters(folders=tuple(FOLDERS[:99])), 99),
    "10 % by camera": (Filters(camera="acme 0"), 10),
    "50 % by shape": (Filters(shape="landscape"), 50),
    "5 % by all": (Filters(("/photos",), date(2021, 1, 1), date(2021, 1, 6), "ACME 0", "landscape"), 5),
}


@pytest.mark.parametrize("name", ONES)
@pytest.mark.parametrize("pool", [10, 100])
def test_a_filtered_search_equals_brute_force(filled, name, pool):
    store, vectors = filled
    filters, share = ONES[name]
    passing_numbers = [number for number in range(COUNT) if number % 100 < share]
    queries = np.random.default_rng(2).normal(size=(2, DIMENSION)).astype(np.float32)
    for query in queries / np.linalg.norm(queries, axis=1, keepdims=True):
        best = [passing_numbers[at] for at in np.argsort(-(vectors[passing_numbers] @ query))[:pool]]
        found = store.nearest(query, pool, filters)
        assert [candidate.key for candidate in found] == [taken_photo(number).content_hash for number in best]


def test_what_no_photo_passes_finds_nothing(filled):
    store, vectors = filled
    nowhere = Filters(("/nowhere",)), Filters(camera="none"), Filters(after=date(2030, 1, 1)), Filters(("/photos/0",))
    assert [store.nearest(vectors[0], 5, filters) for filters in nowhere] == [[]] * len(nowhere)


def test_the_folders_of_all_photos_are_known(filled):
    assert filled[0].folders() == set(FOLDERS)


def two_files(first: str, second: str) -> StoredPhoto:
    content = content_of(first)
    return StoredPhoto(content, tuple(PhotoFile(path, 9, 7, content) for path in (first, second)), 4, 4, CLEAN)


def test_a_photo_is_found_in_the_folder_of_each_of_its_copies(store):
    row = np.asarray([[1, 0, 0, 0]], dtype=np.float32)
    store.upsert([two_files("/a/x.jpg", "/b/deep/y.jpg")], row)
    for folder, found in (("/a", 1), ("/b", 1), ("/b/deep", 1), ("/c", 0), ("/b/de", 0), ("/", 1)):
        assert len(store.nearest(row[0], 3, Filters((folder,)))) == found, folder


def test_a_group_with_odd_names_comes_back():
    naming = Naming({"shared": "/mnt/shared"})
    for path in ("/a\udce9/x.jpg", '/quo"te\n/x.jpg', "/mnt/shared/2021/x.jpg", "/mnt/shared/x.jpg"):
        group = group_of(two_files(path, "/b/y.jpg"), naming)
        assert stored_group({GROUP: group.text}) == group
        rows = passing(Filters((path.rpartition("/")[0],)), [group], naming)
        assert rows.groups == {group.number}


@pytest.mark.parametrize("text", ["", "[]", "[[1],2,3]", "{}", '["a","b"]', "[" * 100_000, None, 7])
def test_a_row_that_is_no_group_is_passed_over(text):
    assert stored_group({GROUP: text}) is None


def test_a_photo_without_a_date_has_that_of_its_oldest_file(store):
    files = tuple(PhotoFile(f"/{n}.jpg", 9, mtime, "ab" * 8) for n, mtime in ((1, 1_700_000_000 * 10**9), (2, 10**18)))
    photo = StoredPhoto("ab" * 8, files, 4, 4, CLEAN)
    assert (photo.day, photo.dated_by_file) == (date.fromtimestamp(10**9), True)
    dated = StoredPhoto("ab" * 8, files, 4, 4, CLEAN, "2021-06-14")
    assert (dated.day, dated.dated_by_file) == (date(2021, 6, 14), False)
    for mtime in (10**30, -(10**30)):
        assert StoredPhoto("ab" * 8, (PhotoFile("/a", 1, mtime),), 4, 4, CLEAN).day == date.min


def as_before(store: ImageStore) -> ImageStore:
    """Take away from a store what an earlier version did not write, and open it again."""
    collection = store._collection
    ids = collection.get(include=[])["ids"]
    collection.update(ids=ids, metadatas=[{DAY: None, GROUP: None} for _ in ids])
    metadata = store.manifest.to_metadata()
    del metadata["imgsearch:keys"]
    collection.modify(metadata=metadata)
    store._client.delete_collection("imgsearch-groups")
    return open_store(store.place)


def test_a_store_of_before_is_searched_as_it_is_and_filtered_once_it_has_its_keys(store):
    row = np.asarray([[1, 0, 0, 0]], dtype=np.float32)
    store.upsert([two_files("/a/x.jpg", "/b/y.jpg")], row)
    old = as_before(store)
    assert len(old.nearest(row[0], 3)) == 1
    with pytest.raises(StoreError, match=r"written by an earlier version.*run 'imgsearch index' once"):
        old.nearest(row[0], 3, Filters(("/a",)))
    old.add_keys()
    for each in (old, open_store(store.place)):
        assert len(each.nearest(row[0], 3, Filters(("/a",)))) == 1
    assert np.array_equal(old.embeddings([content_of("/a/x.jpg")])[content_of("/a/x.jpg")], row[0])


def test_folders_that_are_forgotten_leave_no_name_behind(store):
    row = np.asarray([[1, 0, 0, 0]], dtype=np.float32)
    first, second = two_files("/a/x.jpg", "/b/y.jpg"), two_files("/secret/x.jpg", "/secret/y.jpg")
    store.upsert([first, second], np.repeat(row, 2, axis=0))
    store.delete([second.content_hash])
    store.drop_unused_groups()
    assert store.folders() == open_store(store.place).folders() == {"/a", "/b"}


def test_another_writers_groups_are_seen(store):
    reader = open_store(store.place)
    row = np.asarray([[1, 0, 0, 0]], dtype=np.float32)
    store.upsert([two_files("/a/x.jpg", "/a/y.jpg")], row)
    assert reader.folders() == {"/a"}
    store.upsert([two_files("/b/x.jpg", "/b/y.jpg")], row)
    assert reader.folders() == {"/a", "/b"}


def test_the_number_of_a_group_is_the_same_in_every_process():
    assert Group(("/a",), "ACME One", "landscape").number == 183_070_171_696_195
