"""A folder that may not be entered is reported as that: nothing in it counts as missing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from index_store.errors import StoreError, UsageError
from index_store.photos.places import Place
from index_store.photos.survey import survey
from index_store.queries.match_rows import match_of
from index_store.question import Filters
from index_store.records import Candidate, IndexedRoot, PhotoFile, StoredPhoto, Verdict
from index_store.store import check, server
from index_store.store.check import check_store
from index_store.store.client import store_exists
from index_store.store.image_store import create_store, open_store
from index_store.store.manifest import Manifest

pytestmark = pytest.mark.skipif(
    not hasattr(os, "getuid") or os.getuid() != 0, reason="only root can act as another user"
)

NOBODY = 65534
JUDGED = Verdict(False, 0.0, "", "rule", "policy")


@contextmanager
def as_nobody() -> Iterator[None]:
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def closed(tmp_path: Path) -> Path:
    (tmp_path / "closed").mkdir(mode=0o700)
    (tmp_path / "closed" / "photo.jpg").write_bytes(b"\xff\xd8\xff")
    return tmp_path / "closed"


def stored(path: Path) -> StoredPhoto:
    content = "ab" * 16
    return StoredPhoto(content, (PhotoFile(str(path), 3, 1, content),), 1, 1, JUDGED)


@pytest.mark.parametrize("name", ["photo.jpg", "nothing.jpg"])
def test_a_named_place(closed, name):
    with as_nobody(), pytest.raises(UsageError, match=f"closed/{name}: permission denied; nothing was indexed"):
        survey([Place(str(closed / name))], [], [])


def test_a_root_that_is_refreshed_keeps_its_photos(closed):
    root, photo = str(closed / "root"), str(closed / "root" / "photo.jpg")
    known = [IndexedRoot(root, "", 1)]
    with as_nobody():
        seen = survey([Place(root, known=True)], known, [photo])
    assert not seen.gone
    [skip] = seen.found.skipped
    assert (skip.path, skip.reason) == (root, "cannot be read, what is stored of it stays: permission denied")


@pytest.mark.parametrize("use", [store_exists, open_store, lambda place: create_store(place, Manifest("e", 4))])
def test_a_store(closed, use):
    with as_nobody(), pytest.raises(StoreError, match="closed/store: .*permission denied"):
        use(str(closed / "store"))


def test_certificates(closed, monkeypatch):
    monkeypatch.setenv(server.CERTIFICATES_VARIABLE, str(closed / "ca.pem"))
    with as_nobody(), pytest.raises(StoreError, match=r"ca\.pem: cannot be read: permission denied"):
        server.connect_to_server("https://127.0.0.1:1")


def test_certificates_below_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv(server.CERTIFICATES_VARIABLE, "~/ca.pem")
    with pytest.raises(StoreError, match=f"{tmp_path}/ca.pem: there are no certificates"):
        server.connect_to_server("https://127.0.0.1:1")
    (tmp_path / "ca.pem").touch()
    assert server._certificates() == str(tmp_path / "ca.pem")


@pytest.mark.parametrize("deep", [False, True])
def test_check_does_not_offer_to_drop_the_row(closed, tmp_path, deep, monkeypatch):
    (tmp_path / "root").mkdir()
    photo = stored(closed / "photo.jpg")
    store = create_store(str(tmp_path / "store"), Manifest("e", 4))
    store.upsert([photo], np.array([[1, 0, 0, 0]], dtype=np.float32))
    store.set_roots([IndexedRoot(str(closed), "", 1)])
    look = check._check_files

    def look_as_nobody(*arguments, **options):
        with as_nobody():  # not longer: Chroma's own threads open its files when they like
            return look(*arguments, **options)

    monkeypatch.setattr(check, "_check_files", look_as_nobody)
    [finding] = check_store(store, 0.5, deep=deep)
    assert (finding.problem, finding.mendable, finding.lost_file) == ("permission denied", False, None)


def test_a_match_is_not_called_missing(closed):
    candidate = Candidate("ab" * 16, 0.5, np.ones(1, dtype=np.float32))
    with as_nobody():
        assert not match_of(1, 0.5, candidate, stored(closed / "photo.jpg"), Filters()).missing
