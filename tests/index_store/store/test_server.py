"""A store on a real Chroma server, started for these tests on this machine."""

from __future__ import annotations

import multiprocessing
import socket
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from index_store.errors import StoreError
from index_store.indexing.run import IndexOptions, index_photos
from index_store.indexing.write import WRITE_SIZE, IndexModels
from index_store.photos.places import Place
from index_store.store.image_store import create_store, open_store
from index_store.store.manifest import Manifest
from tests.conftest import ColourEncoder, judge_white_as_withheld

MOST_AT_ONCE = 4
MANIFEST = Manifest(ColourEncoder.name, ColourEncoder.dimension)


class Server:
    """`chroma run` in a folder, on a port of its own."""

    running: ClassVar[set[int]] = set()

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with closing(socket.socket()) as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.start()

    def start(self) -> None:
        # a program that a test starts may import this file once more, and would then start servers without end
        assert multiprocessing.parent_process() is None, "only the tests' own process starts servers"
        assert len(self.running) < MOST_AT_ONCE, f"{len(self.running)} servers run already"
        chroma = Path(sys.executable).with_name("chroma")
        command = [str(chroma), "run", "--path", str(self._folder), "--host", "127.0.0.1", "--port", str(self.port)]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.running.add(self.process.pid)
        for _ in range(1200):
            with closing(socket.socket()) as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.1)
        raise AssertionError("the server did not start")

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        self.running.discard(self.process.pid)


@pytest.fixture
def server(tmp_path):
    started = Server(tmp_path / "server")
    yield started
    started.stop()


def index(store, encoder, *places: Place, progress=lambda done, total: None):
    models = IndexModels(encoder.photo_input, lambda: encoder, lambda: judge_white_as_withheld)
    return index_photos(places, store, models, IndexOptions(), progress)


def test_a_server_answers_as_a_folder_does(server, encoder, paint, tmp_path):
    for colour in ("red", "lime", "blue", "white"):
        paint(f"photos/{colour}.png", colour)
    answers = []
    for place in (server.url, str(tmp_path / "folder")):
        store = create_store(place, MANIFEST)
        report = index(store, encoder, Place(str(tmp_path / "photos")))
        assert (report.added, store.count(), len(store.withheld(0.5))) == (4, 4, 1)
        again = open_store(place)
        assert [root.path for root in again.roots()] == [str(tmp_path / "photos")]
        assert index(again, encoder, Place(str(tmp_path / "photos"))).unchanged == 4
        found = again.nearest(encoder.encode_texts(["blue"])[0], 4)
        known = again.photos_of([candidate.key for candidate in found])
        answers.append([(known[each.key], round(each.similarity, 5)) for each in found])
    assert answers[0] == answers[1]
    assert open_store(server.url).bytes_on_disk() is None


def test_a_server_that_goes_away_is_one_clear_error_and_the_next_run_goes_on(server, encoder, paint, tmp_path):
    total = WRITE_SIZE + 200
    for i in range(total):
        paint(f"photos/{i:03}.png", size=(8 + i, 8))
    store = create_store(server.url, MANIFEST)

    def leave_after_a_write(done: int, _total: int) -> None:
        if done > WRITE_SIZE and server.process.poll() is None and store.count():
            server.stop()

    with pytest.raises(StoreError, match=f"{server.url}: the store failed: .*[Cc]onnect"):
        index(store, encoder, Place(str(tmp_path / "photos")), progress=leave_after_a_write)
    server.start()
    report = index(create_store(server.url, MANIFEST), encoder, Place(str(tmp_path / "photos")))
    assert report.unchanged + report.added == total
    assert report.unchanged >= WRITE_SIZE
    assert open_store(server.url).count() == total


def test_a_server_that_is_not_there_is_one_clear_error():
    with pytest.raises(StoreError, match=r"http://127\.0\.0\.1:9: the store failed: Could not connect"):
        open_store("http://127.0.0.1:9")


def test_a_named_root_means_the_same_photos_on_two_machines(server, encoder, paint, tmp_path, monkeypatch):
    paint("here/a.png", "red")
    store = create_store(server.url, MANIFEST)
    store.name_roots({"archive": str(tmp_path / "here")})
    index(store, encoder, Place(str(tmp_path / "here"), name="archive"))

    (tmp_path / "here").rename(tmp_path / "there")
    monkeypatch.setattr("index_store.store.roots_and_decisions.socket.gethostname", lambda: "another-machine")
    other = create_store(server.url, MANIFEST)
    other.name_roots({"archive": str(tmp_path / "there")})
    report = index(other, encoder, Place(str(tmp_path / "there"), name="archive"))
    assert (report.unchanged, report.added, report.removed) == (1, 0, 0)
    again = open_store(server.url)
    [candidate] = again.nearest(encoder.encode_texts(["red"])[0], 1)
    assert again.photos_of([candidate.key])[candidate.key].paths == (str(tmp_path / "there" / "a.png"),)


def test_two_writers_on_two_roots_do_not_disturb_each_other(server, paint, tmp_path):
    for i in range(150):
        paint(f"one/{i:03}.png", "red", size=(8 + i, 8))
        paint(f"two/{i:03}.png", "blue", size=(8 + i, 9))
    script = (
        "import sys; from tests.index_store.store.test_server import *\n"
        "index(create_store(sys.argv[1], MANIFEST), ColourEncoder(), Place(sys.argv[2]))\n"
    )
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", script, server.url, str(tmp_path / name)], cwd=Path(__file__).parents[3]
        )
        for name in ("one", "two")
    ]
    assert [writer.wait(timeout=120) for writer in writers] == [0, 0]
    store = open_store(server.url)
    assert store.count() == 300
    assert [Path(root.path).name for root in store.roots()] == ["one", "two"]
    vectors = store.embeddings([photo.content_hash for photo in store.photos()])
    assert np.allclose(np.linalg.norm(np.stack(list(vectors.values())), axis=1), 1.0, atol=1e-5)
