"""Reading all vectors answers as brute force over what Chroma's public client holds, or leaves the answer to Chroma."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from random import Random

import numpy as np
import pytest

from index_store.question import Filters
from index_store.store import exact_search
from index_store.store.client import open_folder
from index_store.store.exact_search import ExactSearch
from index_store.store.groups import DAY, GROUP, Passing
from index_store.store.image_store import create_store, open_store
from index_store.store.manifest import Manifest
from index_store.store.row_names import WORTH_NOTING
from index_store.store.row_table import RowTable
from tests.index_store.store.test_groups import taken_photo
from tests.index_store.store.vector_store import DIMENSION as MADE_DIMENSION
from tests.index_store.store.vector_store import vector_folder

DIMENSION = 8
HISTORIES = [pytest.param(number, marks=[pytest.mark.slow] if number > 1 else []) for number in range(10)]


def unit_rows(random: Random, count: int, dimension: int = DIMENSION) -> np.ndarray:
    drawn = np.random.default_rng(random.randrange(1 << 32)).normal(size=(count, dimension)).astype(np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def row(random: Random) -> dict[str, object]:
    whole = {DAY: 20210600 + random.randrange(20), GROUP: random.randrange(6), "share": random.random(), "raw": True}
    return {key: whole[key] for key in random.sample(sorted(whole), random.randint(1, 4))} | {"photo": "{}"}


def fill(client, name: str, random: Random) -> None:
    """Make a collection with a history: rows in place of others, changed and deleted rows, in files or not."""
    settings = {"space": "cosine", "sync_threshold": random.choice([3, 10, 1000]), "batch_size": 2}
    collection = client.create_collection(name, configuration={"hnsw": settings}, embedding_function=None)
    names = [f"{number:032x}" for number in range(random.randint(1, 60))]
    for _ in range(random.randint(1, 4)):
        some = random.sample(names, random.randint(1, len(names)))
        collection.upsert(some, unit_rows(random, len(some)), [row(random) for _ in some])
        collection.update(some[:3], metadatas=[row(random) for _ in some[:3]])
        if random.random() < 0.6:
            collection.delete(random.sample(names, random.randint(1, len(names))))


def copy_of(place: Path, to: Path) -> str:
    """Return a copy of a store whose files are old enough to count as settled."""
    shutil.copytree(place, to)
    for folder, _, files in os.walk(to):
        for name in files:
            os.utime(os.path.join(folder, name), (1_700_000_000, 1_700_000_000))
    return str(to)


def brute_force(held, query: np.ndarray, pool: int, ids=None) -> list[tuple[str, float]]:
    pairs = [(name, float(np.dot(vector, query))) for name, vector in zip(held["ids"], held["embeddings"], strict=True)]
    kept = [pair for pair in pairs if ids is None or pair[0] in ids]
    return sorted(kept, key=lambda pair: -pair[1])[:pool]


def same(found, wanted: list[tuple[str, float]]) -> bool:
    return [each.key for each in found] == [name for name, _ in wanted] and bool(
        np.allclose([each.similarity for each in found], [value for _, value in wanted], atol=1e-5)
    )


@pytest.mark.parametrize("history", HISTORIES)
def test_all_histories_of_a_collection_are_read_as_the_public_client_reads_them(history, tmp_path):
    random = Random(history)
    client = open_folder(str(tmp_path / "store"))
    for number in range(25):
        fill(client, f"photos-{number}", random)
    client.close()
    place = copy_of(tmp_path / "store", tmp_path / "settled")
    public = open_folder(str(tmp_path / "store"))
    rows = 0
    for number in range(25):
        held = public.get_collection(f"photos-{number}", embedding_function=None).get(include=["embeddings"])
        search = ExactSearch(place, f"photos-{number}", DIMENSION)
        queries = unit_rows(random, 3)
        for pool in (1, 7, 100):
            ids = set(random.sample(held["ids"], len(held["ids"]) // 2))
            found = search.nearest(queries, pool)
            some = search.nearest(queries, pool, exact_search.Listed(ids))
            assert found is not None and some is not None
            assert all(same(a, brute_force(held, q, pool)) for a, q in zip(found, queries, strict=True))
            assert all(same(a, brute_force(held, q, pool, ids)) for a, q in zip(some, queries, strict=True))
        rows += len(held["ids"])
    assert rows > 200


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
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    collection.upsert([f"{number % 30}-{n}" for n in range(7)], rows, [{"day": n} for n in range(7)])
    if number % 5 == 4:
        collection.delete([f"{number % 30}-0"])
    print(number, flush=True)
"""


@pytest.mark.parametrize("written", [1, 8, 40])
def test_what_a_killed_writer_left_is_read_as_the_public_client_reads_it(written, tmp_path):
    command = [sys.executable, "-c", WRITER, str(tmp_path / "store")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        for line in writer.stdout:
            if int(line) == written:
                writer.send_signal(signal.SIGKILL)
                break
    place = copy_of(tmp_path / "store", tmp_path / "settled")
    public = open_folder(str(tmp_path / "store")).get_collection("photos-x", embedding_function=None)
    held = public.get(include=["embeddings"])
    queries = unit_rows(Random(1), 5)
    found = ExactSearch(place, "photos-x", DIMENSION).nearest(queries, 50)
    if found is None:  # killed between two files, which only Chroma can put right
        return
    assert all(same(each, brute_force(held, query, 50)) for each, query in zip(found, queries, strict=True))
    assert len(held["ids"]) >= 7 * min(written, 29) - 10


def test_an_answer_is_the_same_alone_and_among_others_and_equal_vectors_come_by_key(tmp_path):
    random = Random(5)
    rows = unit_rows(random, 600)
    rows[100:400] = rows[100]
    client = open_folder(str(tmp_path / "store"))
    settings = {"space": "cosine", "sync_threshold": 50, "batch_size": 10}
    collection = client.create_collection("photos-x", configuration={"hnsw": settings}, embedding_function=None)
    ids = [f"{number:04}" for number in range(600)]
    random.shuffle(ids)
    collection.upsert(ids, rows, [{"day": 1}] * 600)
    client.close()
    search = ExactSearch(copy_of(tmp_path / "store", tmp_path / "settled"), "photos-x", DIMENSION)
    queries = np.concatenate([rows[100:101], unit_rows(random, 60)])
    together = search.nearest(queries, 100)
    assert together is not None
    for query, among in zip(queries, together, strict=True):
        [alone] = search.nearest(query[None], 100) or [[]]
        assert [(each.key, each.similarity) for each in alone] == [(each.key, each.similarity) for each in among]
        assert all(np.array_equal(a.embedding, b.embedding) for a, b in zip(alone, among, strict=True))
    assert [each.key for each in together[0]] == sorted(ids[100:400])[:100]


def row_file(place: str, dimension: int = MADE_DIMENSION) -> Path:
    return vector_folder(Path(place), dimension) / "data_level0.bin"


def cut(place: str) -> None:
    with row_file(place).open("r+b") as file:
        file.truncate(5_000)


def without_labels(place: str) -> None:
    (row_file(place).parent / "index_metadata.pickle").unlink()


def with_labels_that_are_none(place: str) -> None:
    (row_file(place).parent / "index_metadata.pickle").write_bytes(b"cos\nsystem\n(S'true'\ntR.")


def without_header(place: str) -> None:
    (row_file(place).parent / "header.bin").unlink()


def without_files(place: str) -> None:
    shutil.rmtree(row_file(place).parent)


def in_another_space(place: str) -> None:
    database(place, """UPDATE collections SET schema_str = replace(schema_str, '"cosine"', '"l2"')""")


def without_schema(place: str) -> None:
    database(place, "UPDATE collections SET schema_str = NULL")


def with_additions_in_the_log(place: str) -> None:
    database(place, "UPDATE embeddings_queue SET operation = 0")


def in_another_encoding(place: str) -> None:
    database(place, "UPDATE embeddings_queue SET encoding = 'INT32'")


def with_shorter_vectors_in_the_log(place: str) -> None:
    database(place, "UPDATE embeddings_queue SET vector = X'0000803F'")


def of_another_dimension(place: str) -> None:
    database(place, "UPDATE collections SET dimension = 15 WHERE name = 'photos'")


def with_a_folder_outside(place: str) -> None:
    database(place, "UPDATE segments SET id = '../' || id WHERE scope = 'VECTOR'")


def just_written(place: str) -> None:
    os.utime(row_file(place))


def without_database(place: str) -> None:
    Path(place, "chroma.sqlite3").unlink()


def database(place: str, statement: str) -> None:
    import sqlite3

    with sqlite3.connect(Path(place, "chroma.sqlite3")) as opened:
        assert opened.execute(statement).rowcount > 0


SURPRISES = [
    cut,
    without_labels,
    with_labels_that_are_none,
    without_header,
    without_files,
    in_another_space,
    without_schema,
    with_additions_in_the_log,
    in_another_encoding,
    with_shorter_vectors_in_the_log,
    of_another_dimension,
    with_a_folder_outside,
    just_written,
    without_database,
]


@pytest.mark.parametrize("surprise", SURPRISES, ids=lambda f: f.__name__)
def test_a_surprise_leaves_the_answer_to_chroma(surprise, made_vector_store, tmp_path):
    place = copy_of(made_vector_store, tmp_path / "store")
    query = unit_rows(Random(0), 1, MADE_DIMENSION)
    assert [len(each) for each in ExactSearch(place, "photos", MADE_DIMENSION).nearest(query, 250) or []] == [250]
    surprise(place)
    assert ExactSearch(place, "photos", MADE_DIMENSION).nearest(query, 250) is None


def test_files_that_change_during_a_search_leave_the_answer_to_chroma(made_vector_store, tmp_path, monkeypatch):
    place = copy_of(made_vector_store, tmp_path / "store")
    read = exact_search._read_some

    def read_and_write(*given):
        os.utime(row_file(place))
        return read(*given)

    monkeypatch.setattr(exact_search, "_read_some", read_and_write)
    assert ExactSearch(place, "photos", MADE_DIMENSION).nearest(unit_rows(Random(0), 1, MADE_DIMENSION), 9) is None


@pytest.fixture(scope="module")
def large_place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of as many rows as have their names noted, some deleted, some in the log alone."""
    place = tmp_path_factory.mktemp("large") / "store"
    store = create_store(str(place), Manifest("e-1", DIMENSION))
    photos = [taken_photo(number) for number in range(WORTH_NOTING + 700)]
    store.upsert(photos, unit_rows(Random(3), len(photos)))
    store.delete([photo.content_hash for photo in photos[:300]])
    store.upsert(photos[200:400], unit_rows(Random(4), 200))
    store.tune()
    store.close()
    return place


def answers(place: str) -> list[list[tuple[str, float]]]:
    store = open_store(place, read_only=True)
    found = store.nearest_to_each(unit_rows(Random(7), 4), 200)
    return [[(each.key, each.similarity) for each in one] for one in found]


def noted(cache: Path) -> list[Path]:
    return sorted((cache / "sound").glob("*.npy"))


def lose(cache: Path) -> None:
    shutil.rmtree(cache / "sound")


def cut_short(cache: Path) -> None:
    for file in noted(cache):
        file.write_bytes(file.read_bytes()[:1000])


def empty(cache: Path) -> None:
    for file in noted(cache):
        file.write_bytes(b"")


def of_fewer_rows(cache: Path) -> None:
    for file in noted(cache):
        np.save(file, np.load(file)[:-1])


def of_another_kind(cache: Path) -> None:
    for file in noted(cache):
        np.save(file, np.zeros((3, 3)))


def of_objects(cache: Path) -> None:
    for file in noted(cache):
        np.save(file, np.array([{"a": 1}], dtype=object), allow_pickle=True)


@pytest.mark.parametrize(
    "change", [lose, cut_short, empty, of_fewer_rows, of_another_kind, of_objects], ids=lambda f: f.__name__
)
def test_noted_names_that_are_lost_or_damaged_change_no_answer(change, large_place, tmp_path, monkeypatch):
    monkeypatch.setattr("index_store.store.row_names.cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setattr("index_store.store.vector_loss.cache_folder", lambda: tmp_path / "cache")
    place = copy_of(large_place, tmp_path / "store")
    before = answers(place)
    assert len(noted(tmp_path / "cache")) == 1
    change(tmp_path / "cache")
    found = answers(place)
    assert [[key for key, _ in one] for one in found] == [[key for key, _ in one] for one in before]
    assert np.allclose([[value for _, value in one] for one in found], [[value for _, value in one] for one in before])


def test_a_query_and_what_it_shows_ask_chroma_for_no_row(large_place, tmp_path, monkeypatch):
    store = open_store(copy_of(large_place, tmp_path / "store"), read_only=True)

    def never(*given, **named):
        raise AssertionError("Chroma would load all vectors")

    monkeypatch.setattr(store._collection, "query", never)
    monkeypatch.setattr(store._collection, "get", never)
    monkeypatch.setattr(store._collection, "count", never)
    assert store.count() > 1000
    assert isinstance(store.withheld(0.5), list)
    query = unit_rows(Random(9), 1)[0]
    for filters in (Filters(), Filters(camera="acme 5"), Filters(folders=("/photos/07",)), Filters(shape="portrait")):
        found = store.nearest(query, 20, filters)
        assert len(found) == 20
        assert len(store.photos_of([each.key for each in found])) == 20


@pytest.mark.parametrize("history", HISTORIES[:2])
def test_rows_are_read_from_the_database_as_by_the_public_client(history, tmp_path):
    random = Random(100 + history)
    client = open_folder(str(tmp_path / "store"))
    compared = 0
    for number in range(12):
        fill(client, f"photos-{number}", random)
        table = RowTable(str(tmp_path / "store"), f"photos-{number}")
        public = client.get_collection(f"photos-{number}", embedding_function=None)
        held = public.get(include=["metadatas"])  # moves all rows out of the log
        ids = [f"{each:032x}" for each in random.sample(range(70), 40)]
        wanted = {key: row for key, row in zip(held["ids"], held["metadatas"], strict=True) if key in ids}
        assert dict(table.rows_of(ids) or []) == wanted
        compared += len(wanted)
        assert table.count() == len(held["ids"])
        for key, least in ((DAY, 20210606), ("share", 0.4)):
            above = public.get(where={key: {"$gte": least}}, include=["metadatas"])
            assert dict(table.rows_from(key, least) or []) == dict(zip(above["ids"], above["metadatas"], strict=True))
        few, many = frozenset(random.sample(range(6), 2)), frozenset(range(6))
        for passing in (
            Passing(first=20210605),
            Passing(20210603, 20210612),
            Passing(groups=few, others=many - few),
            Passing(last=20210610, groups=many - few, others=few),
        ):
            listed = public.get(where=passing.condition(), include=[])["ids"]
            assert sorted(table.passing(passing) or []) == sorted(listed)
    assert compared > 50


def test_rows_that_are_in_the_log_alone_are_left_to_chroma(tmp_path):
    client = open_folder(str(tmp_path))
    collection = client.create_collection("photos-x", embedding_function=None)
    collection.upsert(["a"], unit_rows(Random(0), 1), [{"day": 1}])
    collection.get()
    assert RowTable(str(tmp_path), "photos-x").rows_of(["a"]) == [("a", {"day": 1})]
    database(
        str(tmp_path),
        "INSERT INTO embeddings_queue (operation, topic, id, metadata) "
        "SELECT 3, 'persistent://default/default/' || id, 'a', NULL FROM collections",
    )
    assert RowTable(str(tmp_path), "photos-x").rows_of(["a"]) is None
    assert RowTable(str(tmp_path), "photos-x").passing(Passing(first=1)) is None
    assert RowTable(str(tmp_path), "photos-x").count() is None
