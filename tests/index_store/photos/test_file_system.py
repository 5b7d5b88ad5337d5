"""Photos at addresses: a bucket, here in memory, behaves as a folder does. S3 has its own slow test."""

from __future__ import annotations

import io
import os
import sys
from contextlib import closing
from dataclasses import replace
from subprocess import run

import fsspec
import pytest
from PIL import Image

from index_store.errors import MissingExtraError, UsageError
from index_store.indexing.run import IndexOptions, index_photos
from index_store.indexing.write import IndexModels
from index_store.photos import file_system
from index_store.photos.decoder_workers import Decoders
from index_store.photos.find import find_photos
from index_store.photos.places import Place, chosen_places
from index_store.photos.thumbnails import Thumbnails
from index_store.queries.match_rows import allow_own_addresses
from index_store.records import FindOptions
from index_store.store.check import check_store


class Tree:
    """A folder of photos, on the disk or in a bucket."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.bucket = fsspec.filesystem("memory") if "://" in root else None

    def write(self, name: str, content: bytes) -> str:
        path = f"{self.root}/{name}"
        if self.bucket:
            self.bucket.pipe_file(path, content)
        else:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as file:
                file.write(content)
        return path

    def paint(self, name: str, colour: str = "red", side: int = 16) -> str:
        with io.BytesIO() as file:
            Image.new("RGB", (side, side), colour).save(file, "PNG")
            return self.write(name, file.getvalue())

    def remove(self, name: str) -> None:
        if self.bucket:
            self.bucket.rm(f"{self.root}/{name}", recursive=True)
        else:
            run(["rm", "-r", f"{self.root}/{name}"], check=True)

    def move(self, old: str, new: str) -> None:
        source, target = f"{self.root}/{old}", f"{self.root}/{new}"
        if self.bucket:
            self.bucket.mv(source, target)
        else:
            os.makedirs(os.path.dirname(target), exist_ok=True)
            os.rename(source, target)


@pytest.fixture(params=["folder", "bucket"])
def tree(request, tmp_path):
    fsspec.filesystem("memory").store.clear()
    yield Tree(str(tmp_path / "photos") if request.param == "folder" else "memory://bucket/photos")
    fsspec.filesystem("memory").store.clear()


@pytest.fixture
def index(store, encoder, judge, tree):
    def index(*paths: str, find: FindOptions = FindOptions(), **options: object):  # noqa: B008
        named = [Place(path, find) for path in paths]
        places = chosen_places(named, store.roots(), store.place)
        models = IndexModels(encoder.photo_input, lambda: encoder, lambda: judge)
        return index_photos(places, store, models, IndexOptions(**options))

    return index


def counts(report) -> tuple[int, ...]:
    return report.added, report.changed, report.moved, report.unchanged, report.removed


def names(store, tree) -> set[str]:
    return {path.removeprefix(f"{tree.root}/") for photo in store.photos() for path in photo.paths}


def test_photos_are_added_changed_moved_copied_and_removed(index, store, tree, encoder):
    tree.paint("a/changes.png", "red")
    tree.paint("a/moves.png", "blue", 17)
    tree.paint("b/goes.png", "white", 18)
    tree.write("notes.txt", b"no photo")
    assert counts(index(tree.root)) == (3, 0, 0, 0, 0)
    assert counts(index()) == (0, 0, 0, 3, 0)
    tree.paint("a/changes.png", "lime", 19)
    tree.move("a/moves.png", "c/moved.png")
    tree.remove("b/goes.png")
    assert counts(index()) == (0, 1, 1, 0, 1)
    tree.paint("c/copy.png", "blue", 17)
    encoded = encoder.photos_encoded
    assert counts(index()) == (1, 0, 0, 2, 0)
    assert encoder.photos_encoded == encoded  # the copy's content was known
    assert names(store, tree) == {"a/changes.png", "c/moved.png", "c/copy.png"}


def test_patterns_and_ignore_files_hold(index, store, tree):
    for name in ("kept.png", "trash/a.png", "raw/b.png", "raw/c.png", "@eaDir/d.png", ".hidden/e.png"):
        tree.paint(name)
    tree.write("raw/.imgsearchignore", b"b.*\n")
    index(tree.root, find=FindOptions(exclude=("trash/",)))
    assert names(store, tree) == {"kept.png", "raw/c.png"}
    index()
    assert names(store, tree) == {"kept.png", "raw/c.png"}


def test_a_root_that_lost_everything_keeps_its_photos(index, store, tree):
    tree.paint("a.png")
    tree.paint("b.png", "blue")
    index(tree.root)
    tree.remove("a.png")
    tree.remove("b.png")
    [skip] = index().skipped
    assert skip.path == tree.root
    assert store.count() == 2
    if tree.bucket is None or tree.bucket.exists(tree.root):
        index(prune_empty=True)
        assert store.count() == 0


def test_a_photo_that_is_gone_before_it_is_read_costs_itself_alone(index, store, tree, monkeypatch):
    tree.paint("a.png")
    tree.paint("b.png", "blue", 20)

    def after_the_listing(workers):
        tree.remove("a.png")
        return Decoders(workers)

    monkeypatch.setattr("index_store.indexing.run.Decoders", after_the_listing)
    report = index(tree.root)
    assert [(skip.path, skip.reason) for skip in report.skipped] == [(f"{tree.root}/a.png", "no such file or directory")
        if tree.bucket is None
        else (f"{tree.root}/a.png", "no such file or folder")]  # fmt: skip
    assert names(store, tree) == {"b.png"}
    monkeypatch.undo()
    assert counts(index()) == (0, 0, 0, 1, 0)


def test_an_unchanged_bucket_is_listed_and_not_read(index, tree, monkeypatch):
    for number in range(30):
        tree.paint(f"{number % 3}/{number}.png", side=8 + number)
    index(tree.root)

    def never(*_):
        raise AssertionError("an object was read")

    monkeypatch.setattr(file_system, "_copy", never)
    monkeypatch.setattr("index_store.photos.hashing.open_regular", never)
    assert counts(index()) == (0, 0, 0, 30, 0)


def test_an_object_with_another_version_is_read_again(index, store, tree, monkeypatch):
    if tree.bucket is None:
        pytest.skip("versions belong to objects")
    tree.paint("a.png", "red")
    versions = iter(("one", "two", "two"))
    seen = {}
    status = file_system._status

    def versioned(facts):
        found = status(facts)
        return found if found.is_folder else replace(found, st_ctime_ns=file_system._number_of(seen["version"]))

    monkeypatch.setattr(file_system, "_status", versioned)
    results = []
    for version in versions:
        seen["version"] = version
        report = index(tree.root)
        results.append((report.added, report.touched, report.unchanged))
    assert results[0] == (1, 0, 0)
    assert results[1] == (0, 1, 0)
    assert results[2] == (0, 0, 1)


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("s3://user:secret@bucket/photos", "holds a password"),
        ("sftp://me:secret@host/photos", "holds a password"),
        ("http://example.org/photos", "not read from such an address"),
        ("file:///etc", "not read from such an address"),
        ("s3:///photos", "names no bucket"),
        ("s3://bucket/a/../b", "which storage takes for a name"),
    ],
)
def test_an_address_that_is_not_read_is_refused_without_its_password(address, reason):
    with pytest.raises(UsageError, match=reason) as caught:
        file_system.absolute(address)
    assert "secret" not in str(caught.value)


def test_one_address_has_one_form():
    assert file_system.absolute("S3://bucket//photos/") == "s3://bucket/photos"
    assert file_system.absolute("./photos") == os.path.abspath("photos")


def test_a_missing_driver_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    file_system.allow(["gs://bucket", "nonsense://bucket"])
    with pytest.raises(MissingExtraError, match=r"gs://bucket: the driver of gs:// is not installed"):
        file_system.is_there("gs://bucket/photos")
    with pytest.raises(UsageError, match="no such storage is known"):
        file_system.is_there("nonsense://bucket/photos")


def test_what_a_driver_raises_is_an_oserror_without_credentials():
    with (
        pytest.raises(OSError, match=r"the storage failed: no https://\*\*\*@host") as caught,
        file_system._translated(),
    ):
        raise RuntimeError("no https://me:secret@host today")
    assert "secret" not in str(caught.value)


class Listing:
    """A driver that answers whatever a hostile storage says."""

    def __init__(self, *entries: object) -> None:
        self.entries = entries

    def _strip_protocol(self, address: str) -> str:
        return address.partition("://")[2]

    def ls(self, folder: str, *, detail: bool) -> list[object]:
        return [entry(folder) if callable(entry) else entry for entry in self.entries]

    def info(self, key: str) -> dict[str, object]:
        return {"name": key, "type": "directory"}


@pytest.fixture
def listed(monkeypatch):
    """Return a function that lists a bucket whose storage answers with certain entries."""

    def listed(*entries: object):
        file_system.allow(["s3://hostile"])
        monkeypatch.setattr(file_system, "_opened", lambda root: Listing(*entries))
        return file_system.scan("s3://hostile/photos")

    return listed


@pytest.mark.parametrize("size", ["many", -5, 1e40, float("nan"), float("inf"), None, [], 1 << 80])
@pytest.mark.parametrize("moment", ["9999-12-31", 1e300, float("nan"), "yesterday", -1e300, {}, "9999-12-31T23:59:59Z"])
def test_sizes_and_times_of_any_kind_stay_what_a_database_can_keep(listed, size, moment):
    [entry] = listed({"name": "hostile/photos/a.jpg", "type": "file", "size": size, "LastModified": moment})
    assert 0 <= entry.status.st_size < 1 << 63
    assert abs(entry.status.st_mtime_ns) < 1 << 63


@pytest.mark.parametrize(
    "name", ["", None, "hostile/photos/..", "hostile/photos/a\0.jpg", "hostile/photos/", "/", "x" * 9000]
)
def test_names_that_are_none_are_passed_over(listed, name):
    entries = listed({"name": name, "type": "file"} if name is not None else {}, {"name": "hostile/photos/a.jpg"})
    assert [entry.name for entry in entries] == ["a.jpg"]


def test_a_name_cannot_lead_out_of_its_folder(listed):
    [entry] = listed({"name": "hostile/photos/../../elsewhere/a.jpg"})
    assert entry.path == "s3://hostile/photos/a.jpg"


def test_a_listing_without_end_ends(listed):
    listed(lambda folder: {"name": f"{folder}/again", "type": "directory"})
    assert find_photos("s3://hostile/photos").files == []


def test_what_a_store_names_is_not_opened_at_an_address_that_this_user_never_indexed(index, store, tree, monkeypatch):
    """Else whoever gives a store to others learns who asks it, and when."""
    path = tree.paint("a.png")
    index(tree.root)
    monkeypatch.setattr("index_store.store.seals._key", lambda: b"k" * 32)  # as for another user
    monkeypatch.setattr(file_system, "_ALLOWED", set())
    asked = []
    opened = file_system._opened
    monkeypatch.setattr(file_system, "_opened", lambda root: asked.append(root) or opened(root))
    [photo] = store.photos()
    findings = [finding.problem for finding in check_store(store, 0.5, deep=True)]
    allow_own_addresses(store, photo.paths)
    with closing(Thumbnails()) as thumbnails:
        picture = thumbnails.jpeg(photo.content_hash, photo.paths)
    if tree.bucket is None:
        assert picture
        return
    assert (picture, asked) == (None, [])
    assert findings == ["is not read, since you have indexed nothing from there"]
    index(tree.root)
    with closing(Thumbnails()) as thumbnails:
        assert thumbnails.jpeg(photo.content_hash, photo.paths)
    monkeypatch.setattr(file_system, "_ALLOWED", set())
    allow_own_addresses(store, photo.paths)
    assert file_system.exists(path)


def test_nobody_who_stays_on_the_disk_loads_fsspec(tmp_path):
    script = (
        "import sys; from index_store.photos import file_system as f; from index_store.photos.places import Place\n"
        f"f.is_there({str(tmp_path)!r}); f.scan({str(tmp_path)!r}); print('fsspec' in sys.modules)"
    )
    done = run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
