"""`imgsearch index --watch`: the index follows what happens in the folders."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image

from index_store.store.image_store import open_store
from index_store.store.lock import writing
from tests.end_to_end.serving import SECONDS, until

pytestmark = pytest.mark.slow
PROGRAM = str(Path(sys.executable).with_name("imgsearch"))


class Watching:
    """A program that watches, and what it has said so far."""

    def __init__(self, *arguments: str | Path, program: Sequence[str] = (PROGRAM,)) -> None:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("IMGSEARCH_")}
        self.process = subprocess.Popen(
            [*program, "index", "--watch", *map(str, arguments)], stderr=subprocess.PIPE, text=True, env=clean
        )
        self.lines: list[str] = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line.rstrip("\n"))

    def has_said(self, part: str) -> bool:
        return any(part in line for line in self.lines)

    def end(self, number: int = signal.SIGINT) -> int:
        self.process.send_signal(number)
        return self.process.wait(SECONDS)


@contextmanager
def watching(*arguments: str | Path) -> Iterator[Watching]:
    started = Watching(*arguments)
    try:
        until(lambda: started.has_said("Ctrl-C ends it") or started.process.poll() is not None)
        yield started
    finally:
        started.process.kill()


@pytest.fixture
def photos(demo, tmp_path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    shutil.copyfile(demo / "test_images" / "brick.png", folder / "brick.png")
    return folder


def count(imgsearch, store: Path) -> int:
    return json.loads(imgsearch("status", "--format", "jsonl", "--store", store).stdout)["photos"]


def test_what_arrives_changes_moves_and_goes_is_followed(demo, imgsearch, photos, tmp_path):
    images, store = demo / "test_images", tmp_path / "store"
    with watching(photos, "--store", store) as watch:
        assert count(imgsearch, store) == 1
        (photos / "more").mkdir()
        for name in ("grass.png", "rocket.jpg"):  # a burst is one run
            shutil.copyfile(images / name, photos / "more" / name)
        until(lambda: watch.has_said("2 added"))
        assert count(imgsearch, store) == 3
        (photos / "more" / "grass.png").rename(photos / "lawn.png")
        until(lambda: watch.has_said("1 moved"))
        shutil.copyfile(images / "gravel.png", photos / "brick.png")
        until(lambda: watch.has_said("1 changed"))
        shutil.rmtree(photos / "more")
        until(lambda: watch.has_said("1 removed"))
        assert count(imgsearch, store) == 2
        assert watch.end() == 130


def test_others_write_to_the_store_while_it_watches(demo, imgsearch, photos, tmp_path):
    store = tmp_path / "store"
    other = tmp_path / "other"
    other.mkdir()
    shutil.copyfile(demo / "test_images" / "coffee.png", other / "coffee.png")
    with watching(photos, "--store", store) as watch:
        assert imgsearch("index", other, "--store", store).returncode == 0
        assert imgsearch("policy", "withhold", other, "--store", store).returncode == 0
        shutil.copyfile(demo / "test_images" / "grass.png", photos / "grass.png")
        until(lambda: watch.has_said("1 added, 1 unchanged"))
        assert watch.end(signal.SIGTERM) == 143
    assert count(imgsearch, store) == 3
    done = imgsearch("check", "--deep", "--store", store)
    assert (done.returncode, done.stdout) == (0, "")
    imgsearch("policy", "allow", photos, "--store", store)
    found = imgsearch("query", "--like", photos / "grass.png", "-k", "3", "--format", "paths", "--store", store)
    assert "grass.png" in found.stdout
    assert "coffee" not in found.stdout + "".join(watch.lines)


ONE_AT_A_TIME = """
from imgsearch_cli import main, watching
watching.AT_ONCE = watching._MOST = watching._FEWEST = 1
main.run()
"""


def test_a_decision_by_hand_goes_before_the_next_batch(demo, imgsearch, tmp_path):
    """Of sixty batches the first few are written when it is asked for: it does not wait for the last."""
    photos, store = tmp_path / "photos", tmp_path / "store"
    photos.mkdir()
    with Image.open(demo / "test_images" / "coffee.png") as picture:
        for number in range(60):
            picture.crop((0, 0, 60 + number, 60)).save(photos / f"{number:02}.png")
    watch = Watching(photos, "--store", store, program=(sys.executable, "-c", ONE_AT_A_TIME))
    try:
        until(lambda: watch.has_said("1 added"), seconds=2 * SECONDS)
        stored = [row.image_id for row in open_store(str(store), read_only=True).photos()]
        done = imgsearch("policy", "withhold", stored[0], "--store", store)
        assert (done.returncode, done.stderr.splitlines()[-1]) == (0, "1 photos withheld by hand")
        assert not watch.has_said("Ctrl-C ends it")  # which it says once all batches are done
        assert watch.end() == 130
    finally:
        watch.process.kill()
    assert len(list(open_store(str(store), read_only=True).photos())) < 60


def test_a_decision_waits_for_the_batch_that_is_being_written_and_says_so(imgsearch, photos, tmp_path):
    store = tmp_path / "store"
    imgsearch("index", photos, "--store", store)
    with writing(str(store)):
        program = [PROGRAM, "policy", "withhold", str(photos), "--store", str(store)]
        deciding = subprocess.Popen(program, stderr=subprocess.PIPE, text=True)
        assert deciding.stderr is not None
        assert f"is being written by process {os.getpid()} on " in deciding.stderr.readline()
    assert deciding.communicate(timeout=SECONDS)[1] == "1 photos withheld by hand\n"
    assert deciding.returncode == 0


def test_a_store_among_the_photos_does_not_wake_it(photos):
    with watching(photos, "--store", photos / "store") as watch:
        lines = len(watch.lines)
        (photos / "notes.txt").write_text("nothing to see")
        with pytest.raises(AssertionError):  # three quiet periods
            until(lambda: len(watch.lines) > lines, seconds=4)
        assert watch.end() == 130


def test_a_photo_that_cannot_be_read_is_named_once(demo, photos, tmp_path):
    with watching(photos, "--store", tmp_path / "store") as watch:
        (photos / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(50))
        until(lambda: watch.has_said("bad.png"))
        shutil.copyfile(demo / "test_images" / "grass.png", photos / "grass.png")
        until(lambda: watch.has_said("1 added"))
        assert sum("bad.png" in line for line in watch.lines) == 1


def test_an_empty_folder_for_a_while_does_not_end_it(demo, photos, tmp_path):
    with watching(photos, "--store", tmp_path / "store") as watch:
        (photos / "brick.png").unlink()
        until(lambda: watch.has_said("holds no photo, and 1 from there"))
        shutil.copyfile(demo / "test_images" / "grass.png", photos / "grass.png")
        until(lambda: watch.has_said("1 added"))


def test_nothing_to_watch_is_said_in_a_line(imgsearch, tmp_path):
    for arguments in ((tmp_path / "none",), ()):
        done = imgsearch("index", "--watch", *arguments, "--store", tmp_path / "store")
        assert (done.returncode, done.stderr.strip().count("imgsearch:") >= 1) == (2, True)
    done = imgsearch("index", tmp_path, "--watch", "--strict", "--store", tmp_path / "store")
    assert (done.returncode, "leave one of the two out" in done.stderr) == (2, True)
