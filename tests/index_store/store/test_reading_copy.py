"""Stores that may only be read: another user's, on a read-only file system, on a full disk."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from index_store.errors import StoreError
from index_store.store import reading_copy as copies

READ = """
import json, sys
import numpy as np
from index_store.store.client import connect, find_collection
from tests.index_store.store.vector_store import vectors
try:
    collection = find_collection(connect(sys.argv[1], read_only=True), "photos")
except Exception as error:
    raise SystemExit(str(error))
print(json.dumps([collection.count(), collection.query(query_embeddings=vectors()[:3], n_results=1)["ids"],
                  collection.get(ids=["row 249"])["metadatas"]]))
"""
ANSWER = [250, [["row 0"], ["row 1"], ["row 2"]], [{"number": 249}]]

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="mounts and becomes another user")


def read(store: Path, *before: str, **variables: str) -> object:
    done = subprocess.run(
        [*before, sys.executable, "-c", READ, str(store)], cwd=Path(__file__).parents[3], capture_output=True,
        text=True, timeout=120, env={**os.environ, **variables}, check=False,
    )  # fmt: skip
    return json.loads(done.stdout) if done.returncode == 0 else done.stderr


def contents(store: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(store.rglob("*")) if path.is_file()}


@pytest.fixture
def mounted(tmp_path):
    places: list[Path] = []

    def mount(*arguments: str) -> Path:
        place = tmp_path / f"mounted{len(places)}"
        place.mkdir()
        if subprocess.run(["mount", *arguments, str(place)], capture_output=True, check=False).returncode:
            pytest.skip("mounts are not allowed here")
        places.append(place)
        return place

    yield mount
    for place in places:
        subprocess.run(["umount", str(place)], check=True)


@root_only
@pytest.mark.skipif(not shutil.which("setpriv"), reason="needs setpriv")
def test_another_users_store_is_read_and_stays_as_it_is(vectored, tmp_path):
    for folder in (*list(tmp_path.parents)[:-1], tmp_path):
        if folder.stat().st_uid == os.getuid() and "pytest" in str(folder):
            folder.chmod(folder.stat().st_mode | 0o055)
    for path in (vectored, *vectored.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    before = contents(vectored)
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    temporary.chmod(0o777)
    other = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups")
    assert read(vectored, *other, HOME="/nonexistent", TMPDIR=str(temporary)) == ANSWER
    assert contents(vectored) == before
    assert list(temporary.iterdir()) == []


@root_only
def test_a_store_on_a_read_only_mount_is_read(vectored, mounted):
    place = mounted("--bind", str(vectored))
    subprocess.run(["mount", "-o", "remount,ro,bind", str(place)], check=True)
    assert read(place) == ANSWER


@root_only
def test_a_store_on_a_full_disk_is_read(vectored, mounted):
    place = mounted("-t", "tmpfs", "-o", "size=4m", "none")
    shutil.copytree(vectored, place / "store")
    subprocess.run(["dd", "if=/dev/zero", f"of={place / 'filling'}", "bs=4k"], capture_output=True, check=False)
    assert shutil.disk_usage(place).free == 0
    assert read(place / "store") == ANSWER


def test_what_a_crashed_writer_left_is_rolled_back_in_the_copy(vectored):
    script = (
        "import os, sqlite3, sys\n"
        "database = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "database.execute('PRAGMA cache_size = 1'); database.execute('BEGIN')\n"
        'database.execute("UPDATE embedding_metadata SET int_value = -1")\n'
        "database.execute('CREATE TABLE ballast AS SELECT zeroblob(1000000)')\n"
        "os._exit(0)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(vectored / "chroma.sqlite3")], check=True)
    assert (vectored / "chroma.sqlite3-journal").stat().st_size
    before = contents(vectored)
    folder = copies.reading_copy(str(vectored))
    with sqlite3.connect(f"{folder}/chroma.sqlite3") as copy:
        assert copy.execute("SELECT MIN(int_value) FROM embedding_metadata").fetchone() == (0,)
    assert contents(vectored) == before


def test_a_copy_without_room_says_what_to_do(vectored, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(100, 90, 10))
    with pytest.raises(StoreError, match="can only be read, and no temporary folder has the .* MB .* with TMPDIR"):
        copies.reading_copy(str(vectored))


def test_a_copy_is_its_users_alone_and_those_of_dead_processes_go(vectored, tmp_path, monkeypatch):
    monkeypatch.setattr(copies.tempfile, "tempdir", str(tmp_path))
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    left = tmp_path / f"imgsearch-reading-{dead.pid}-abc"
    left.mkdir()
    alive = tmp_path / f"imgsearch-reading-{os.getppid()}-abc"
    alive.mkdir()
    folder = Path(copies.reading_copy(str(vectored)))
    assert (left.exists(), alive.exists(), folder.stat().st_mode & 0o777) == (False, True, 0o700)
