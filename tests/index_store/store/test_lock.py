from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from index_store.errors import StoreError
from index_store.store.lock import writing

ROOT = Path(__file__).parents[3]


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_a_new_store_is_its_owners_alone(tmp_path):
    script = (
        "import sys; from index_store.store.lock import writing\n"
        "from index_store.store.image_store import create_store\n"
        "from index_store.store.manifest import Manifest\n"
        "with writing(sys.argv[1], make=True): create_store(sys.argv[1], Manifest('e', 4))\n"
    )
    store = tmp_path / "deep" / "store"
    subprocess.run([sys.executable, "-c", script, str(store)], cwd=ROOT, umask=0o022, check=True)
    assert {path.name: mode(path) for path in (store, *store.iterdir())} == {
        "store": 0o700, "chroma.sqlite3": 0o600, ".writer.lock": 0o600, ".writer.json": 0o600,
    }  # fmt: skip


def test_a_folder_that_its_owner_opened_to_others_stays_open(tmp_path):
    store = tmp_path / "store"
    store.mkdir(mode=0o755)
    with writing(str(store), make=True):
        pass
    assert mode(store) == 0o755


@pytest.mark.parametrize("name", [".writer.json", ".writer.lock"])
@pytest.mark.parametrize("kind", ["link", "dangling link", "hard link", "pipe", "folder"])
def test_nothing_is_written_through_what_lies_in_a_foreign_store(tmp_path, name, kind):
    store, target = tmp_path / "store", tmp_path / "precious"
    store.mkdir()
    target.write_text("precious")
    {
        "link": lambda: (store / name).symlink_to(target),
        "dangling link": lambda: (store / name).symlink_to(tmp_path / "new"),
        "hard link": lambda: os.link(target, store / name),
        "pipe": lambda: os.mkfifo(store / name),
        "folder": (store / name).mkdir,
    }[kind]()
    try:
        with writing(str(store)):
            pass
    except StoreError as error:
        assert str(error).startswith(str(store))  # noqa: PT017  (either is right, as long as nothing is written)
    assert target.read_text() == "precious"
    assert not (tmp_path / "new").exists()


HOLD = (
    "import sys; from index_store.store.lock import writing\nwith writing(sys.argv[1]): print(1, flush=True); input()"
)


@pytest.mark.parametrize("lie", ["pipe", "link", "deep", "endless", "other types", "another list"])
def test_the_holders_word_is_not_believed_beyond_reason(tmp_path, lie):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout is not None
    holder.stdout.readline()
    file = tmp_path / ".writer.json"
    file.unlink()
    (tmp_path / "other").write_text(json.dumps({"process": 1, "host": "secret", "since": "s"}))
    {
        "pipe": lambda: os.mkfifo(file),
        "link": lambda: file.symlink_to(tmp_path / "other"),
        "deep": lambda: file.write_text("[" * 100_000),
        "endless": lambda: file.symlink_to("/dev/zero"),
        "other types": lambda: file.write_text('{"process": [], "host": {}, "since": 5}'),
        "another list": lambda: file.write_text("[1, 2]"),
    }[lie]()
    with pytest.raises(StoreError, match="is being written by another process; try again later, or use --wait"):
        writing(str(tmp_path)).__enter__()
    holder.communicate(b"\n")


def test_who_waits_says_for_whom_and_gets_the_lock_once_it_is_free(tmp_path, caplog):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout is not None
    holder.stdout.readline()
    with pytest.raises(StoreError, match=f"is being written by process {holder.pid} on "):
        writing(str(tmp_path), wait=0.1).__enter__()
    assert f"is being written by process {holder.pid} on " in caplog.text
    assert caplog.text.endswith("; waiting for it\n")
    ending = threading.Timer(0.3, holder.communicate, [b"\n"])
    ending.start()
    with writing(str(tmp_path), wait=60.0):
        assert holder.wait(60) == 0  # it had ended before the lock was free
    ending.join()


def test_the_folder_of_something_else_is_refused_and_stays_as_it_is(tmp_path):
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(StoreError, match="holds other files and is no store"):
        writing(str(tmp_path), make=True).__enter__()
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


FIRST = """
import os, sys
import index_store.store.chroma_import  # before the processes part: what they do at once is what counts
from index_store.store.lock import writing
from index_store.store.manifest import Manifest
from index_store.store.image_store import create_store
begin, started = os.pipe()
writers = []
for _ in range(8):
    if not (process := os.fork()):
        os.close(started)
        os.read(begin, 1)
        with writing(sys.argv[1], wait=True, make=True):
            create_store(sys.argv[1], Manifest("e", 4))
        os._exit(0)
    writers.append(process)
os.close(started)
print([os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) for process in writers])
"""


def test_eight_first_writers_at_once_all_find_one_store(tmp_path):
    store = tmp_path / "new" / "store"
    done = subprocess.run([sys.executable, "-c", FIRST, store], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == f"{[0] * 8}\n"
    assert not [line for line in done.stderr.splitlines() if not line.endswith("; waiting for it")]


@pytest.mark.parametrize("name", ["caf\udce9", "a\0b", "", "htp://host:8000"])
def test_a_name_that_chroma_cannot_take_is_refused_before_a_folder_is_made(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StoreError) as caught:
        writing(name, make=True).__enter__()
    str(caught.value).encode()  # it can be printed
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["file:photos", "a?mode=ro", "a%20b", ":memory:", " a ", "é"])
def test_a_name_that_means_something_to_sqlite_is_just_a_name(tmp_path, monkeypatch, name):
    from index_store.store.image_store import create_store, open_store
    from index_store.store.manifest import Manifest

    monkeypatch.chdir(tmp_path)
    with writing(name, make=True):
        create_store(name, Manifest("e", 4))
    assert open_store(name).count() == 0
    assert [path.name for path in tmp_path.iterdir()] == [name]
