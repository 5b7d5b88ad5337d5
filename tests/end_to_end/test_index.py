from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from index_store.encoders.registry import DEFAULT_ENCODER, encoder_card
from index_store.store.image_store import ImageStore, create_store
from index_store.store.manifest import Manifest


@pytest.fixture
def photos(demo, tmp_path) -> Path:
    """Three real photos in a folder of their own."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("chelsea.png", "coffee.png", "rocket.jpg"):
        shutil.copyfile(demo / "test_images" / name, folder / name)
    return folder


@pytest.fixture
def index(imgsearch, tmp_path):
    def index(*arguments: str | Path, **options: object) -> subprocess.CompletedProcess[str]:
        return imgsearch("index", *arguments, "--store", tmp_path / "store", cwd=tmp_path, **options)

    return index


def photo_count(imgsearch, tmp_path) -> int:
    status = imgsearch("status", "--store", tmp_path / "store", "--format", "jsonl")
    return int(json.loads(status.stdout)["photos"])


def test_a_second_run_does_only_what_changed(index, photos):
    first = index("photos")
    assert first.stderr.startswith("3 added, 0 unchanged in ")
    assert " embedded at " in first.stderr
    assert index("photos").stderr.startswith("0 added, 3 unchanged in ")
    (photos / "coffee.png").rename(photos / "espresso.png")
    (photos / "rocket.jpg").unlink()
    assert index("photos").stderr.startswith("0 added, 1 moved, 1 unchanged, 1 removed in ")


def test_an_unchanged_run_opens_no_model(index, photos, tmp_path):
    from tests.test_architecture import loaded_by

    index("photos")
    loaded = loaded_by("index", str(photos), "--store", str(tmp_path / "store"))
    assert not loaded & {"onnxruntime", "tokenizers", "PIL", "torch", "spacy"}


def test_without_a_path_all_roots_are_refreshed_as_they_were_indexed(index, photos, imgsearch, tmp_path):
    index("photos", "--exclude", "*.jpg")
    shutil.copyfile(photos / "rocket.jpg", photos / "second.jpg")
    shutil.copyfile(photos / "coffee.png", photos / "more.png")
    assert index().stderr.startswith("1 added, 2 unchanged")


def test_a_store_of_an_earlier_version_is_embedded_anew_by_a_refresh(index, photos, imgsearch, tmp_path):
    from index_store.records import IndexedRoot

    earlier = create_store(str(tmp_path / "store"), Manifest(f"{DEFAULT_ENCODER}-00000000", 512))
    earlier.set_roots([IndexedRoot(str(photos), "2026-01-01T00:00:00+00:00", 3)])
    asked = imgsearch("query", "a cat", "--store", tmp_path / "store")
    assert asked.returncode == 2
    assert "came with another version of imgsearch" in asked.stderr
    assert index().stderr.startswith("3 added, 0 unchanged in ")
    assert index().stderr.startswith("0 added, 3 unchanged in ")
    again = imgsearch("query", "a cat", "--min-score", "0", "--format", "paths", "--store", tmp_path / "store")
    assert again.stdout.splitlines()[0].endswith("chelsea.png")


def test_a_root_that_is_not_mounted_keeps_its_photos(index, photos, imgsearch, tmp_path):
    index("photos")
    photos.rename(tmp_path / "unmounted")
    done = index()
    assert done.returncode == 0
    assert done.stderr.startswith("skipped photos: is not there, its 3 photos are kept; mount it, or drop it")
    assert photo_count(imgsearch, tmp_path) == 3
    forgotten = imgsearch("forget", "photos", "--store", tmp_path / "store", cwd=tmp_path)
    assert (forgotten.returncode, forgotten.stderr) == (0, "3 photos forgotten\n")
    assert photo_count(imgsearch, tmp_path) == 0


def test_forgetting_a_part_of_a_root_tells_how_to_keep_it_out(index, photos, imgsearch, tmp_path):
    (photos / "part").mkdir()
    (photos / "coffee.png").rename(photos / "part" / "coffee.png")
    index("photos")
    forgotten = imgsearch("forget", "photos/part", "--store", tmp_path / "store", cwd=tmp_path)
    assert forgotten.stderr.splitlines() == [
        "1 photo forgotten",
        f"{photos}/part: lies in {photos}, so the next 'imgsearch index' takes its photos in again; "
        f"to keep them out, name it in {photos}/.imgsearchignore",
    ]
    (photos / ".imgsearchignore").write_text("part/\n")
    assert index().stderr.startswith("0 added, 2 unchanged in ")
    assert photo_count(imgsearch, tmp_path) == 2


def test_a_dry_run_shows_the_plan_and_does_nothing(index, photos, tmp_path):
    done = index("photos", "--dry-run")
    assert done.stdout.splitlines() == [f"added\tphotos/{name}" for name in ("chelsea.png", "coffee.png", "rocket.jpg")]
    assert done.stderr == "3 added; 0 unchanged; nothing was done\n"
    assert not (tmp_path / "store").exists()


def test_bad_photos_are_named_and_the_rest_goes_on(index, photos, imgsearch, tmp_path):
    (photos / "empty.jpg").touch()
    (photos / "list.jpg").write_text("milk, bread")
    (photos / "cut.jpg").write_bytes((photos / "rocket.jpg").read_bytes()[:30_000])
    Image.new("1", (20_000, 10_000)).save(photos / "bomb.png")
    (photos / "self.jpg").symlink_to("self.jpg")
    done = index("photos")
    assert done.returncode == 0
    reasons = dict(line.removeprefix("skipped photos/").split(": ", 1) for line in done.stderr.splitlines()[:-1])
    assert reasons["empty.jpg"] == "is an empty file"
    assert reasons["list.jpg"] == "is not a photo in a format that can be read"
    assert reasons["cut.jpg"] == "is cut short"
    assert reasons["bomb.png"] == "has 200 megapixels, more than the 100 that are decoded"
    assert reasons["self.jpg"] == "too many levels of symbolic links"
    assert done.stderr.splitlines()[-1].startswith("3 added, 0 unchanged, 5 skipped in ")
    assert index("photos", "--strict").returncode == 2


def test_what_is_passed_over_is_said_in_the_summary(index, photos, tmp_path):
    for name in ("a.xcf", "b.xcf", "c.psd", "chelsea.xmp", "chelsea.mov", "notes.txt"):
        (photos / name).write_bytes(b"no photo at all, whatever its name")
    for name in ("@eaDir", "#recycle"):
        (photos / name).mkdir()
        shutil.copyfile(photos / "rocket.jpg", photos / name / "old.jpg")
    shutil.copyfile(photos / "rocket.jpg", photos / "rocket.nef")
    done = index("photos", "--exclude", "#recycle", "--exclude", "nothing*", "--dry-run")
    assert [line.rsplit("/", 1)[-1] for line in done.stdout.splitlines()] == ["chelsea.png", "coffee.png", "rocket.jpg"]
    said = [
        "--exclude nothing*: matched nothing; patterns count from the folder that is indexed",
        "3 files in formats that are not read: .xcf 2, .psd 1",
        "1 folder of trash, thumbnails and the like passed over: @eaDir 1",
        "1 camera RAW file passed over for the JPEG of the same name and moment; --keep-raw shows both",
    ]
    assert done.stderr.splitlines() == [*said, "3 added; 0 unchanged; nothing was done"]
    done = index("photos", "--exclude", "#recycle", "--exclude", "nothing*", "--strict")
    assert done.stderr.splitlines()[:-1] == said
    assert done.returncode == 0
    assert index(*sorted(path.relative_to(tmp_path) for path in photos.iterdir())).returncode == 0
    assert index().stderr.splitlines()[:-1] == said[1:]


def test_one_root_that_is_out_of_reach_never_stops_the_others(index, photos, imgsearch, tmp_path):
    for name in ("empty", "gone", "fine"):
        (tmp_path / name).mkdir()
    (photos / "chelsea.png").rename(tmp_path / "empty/1.png")
    (photos / "coffee.png").rename(tmp_path / "gone/2.png")
    (photos / "rocket.jpg").rename(tmp_path / "fine/3.jpg")
    assert index("empty", "gone", "fine").returncode == 0
    (tmp_path / "empty/1.png").unlink()
    shutil.rmtree(tmp_path / "gone")
    done = index()
    assert done.returncode == 0
    assert [line.split(",")[0] for line in done.stderr.splitlines()[:-1]] == [
        "skipped empty: holds no photo",
        "skipped gone: is not there",
    ]
    assert done.stderr.splitlines()[-1].startswith("0 added, 1 unchanged, 2 skipped in ")
    assert photo_count(imgsearch, tmp_path) == 3
    assert index("--strict").returncode == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nowhere",), "nowhere: no such file or folder; nothing was indexed"),
        (("empty",), "empty: no photos found"),
        ((), "no folder was indexed yet; name one: imgsearch index FOLDER"),
        (("photos", "--exclude", "!"), "--exclude: a pattern is not in gitignore's syntax"),
        (("--hidden",), "belong to a PATH"),
    ],
)
def test_wrong_usage_is_one_clear_line(index, photos, tmp_path, arguments, said):
    if not arguments:
        index("photos")
        subprocess.run(
            [Path(sys.executable).with_name("imgsearch"), "forget", photos, "--store", tmp_path / "store"], check=True
        )
    (tmp_path / "empty").mkdir()
    done = index(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


HOLDING = """
import sys
from index_store.store.lock import writing
with writing(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""

WAITING = """
import logging, sys
logging.getLogger("filelock").setLevel(logging.DEBUG)
logging.getLogger("filelock").addHandler(logging.StreamHandler())
from imgsearch_cli.main import run
run()
"""
"""The program, which also tells when it finds the lock taken."""


def test_two_writers_never_mix(index, photos, tmp_path):
    index("photos")
    piped = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", HOLDING, str(tmp_path / "store")], **piped) as holder:
        assert holder.stdout.readline() == "held\n"
        done = index("photos")
        assert done.returncode == 2
        assert f"is being written by process {holder.pid} on " in done.stderr
        assert "try again later, or use --wait" in done.stderr
        command = [sys.executable, "-c", WAITING, "index", "photos", "--wait", "--store", "store"]
        waiting = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
        told = next(line for line in waiting.stderr if "not acquired" in line or "unchanged" in line)
        holder.stdin.close()
    assert "not acquired" in told
    assert "3 unchanged" in waiting.communicate(timeout=60)[1]
    assert waiting.returncode == 0


def numbered_copies(folder: Path, originals: list[Path], count: int) -> None:
    """Copy each photo so often, every copy with other bytes behind the end of the picture."""
    folder.mkdir(exist_ok=True)
    for number in range(count):
        for original in originals:
            target = folder / f"{number}-{original.name}"
            shutil.copyfile(original, target)
            with target.open("ab") as file:
                file.write(str(number).encode())


def test_readers_are_answered_while_a_run_writes(imgsearch, index, demo, tmp_path):
    originals = [demo / "test_images" / name for name in ("chelsea.png", "rocket.jpg")]
    numbered_copies(tmp_path / "photos", originals[:1], 20)
    assert index("photos").returncode == 0
    assert photo_count(imgsearch, tmp_path) == 20  # what reads has started before the run does
    numbered_copies(tmp_path / "photos", originals, 50)
    program = str(Path(sys.executable).with_name("imgsearch"))
    writer = subprocess.Popen(
        [program, "index", str(tmp_path / "photos"), "--store", str(tmp_path / "store")], stderr=subprocess.PIPE
    )
    counts, answers = [], []
    while writer.poll() is None:
        counts.append(photo_count(imgsearch, tmp_path))
        answers.append(imgsearch("query", "a cat", "--min-score", "0", "--store", tmp_path / "store"))
    assert writer.returncode == 0
    assert [answer.stderr for answer in answers if answer.returncode != 0] == []
    assert counts == sorted(counts)
    assert 20 <= counts[0] < 100  # read while the run was writing
    assert photo_count(imgsearch, tmp_path) == 100


def wait_for_rows(store: ImageStore, least: int, run: subprocess.Popen) -> int:
    """Return how many photos are in the store as soon as there are so many; fail where the run ends before."""
    while (count := store.count()) < least:
        assert run.poll() is None, "the run ended before it was interrupted"
        time.sleep(0.02)
    return count


@pytest.mark.parametrize(
    "sent", [signal.SIGKILL, *(pytest.param(sent, marks=pytest.mark.slow) for sent in (signal.SIGTERM, signal.SIGINT))]
)
def test_an_interrupted_run_leaves_a_usable_index_that_the_next_completes(imgsearch, paint, tmp_path, sent):
    total = 400
    for number in range(total):
        paint(f"photos/{number:03}.png", size=(8 + number, 8))
    card = encoder_card(DEFAULT_ENCODER)
    store = create_store(str(tmp_path / "store"), Manifest(card.name, card.dimension))
    program = str(Path(sys.executable).with_name("imgsearch"))
    run = subprocess.Popen([program, "index", "photos", "--store", "store"], cwd=tmp_path, stderr=subprocess.PIPE)
    written = wait_for_rows(store, total // 10, run)
    os.kill(run.pid, sent)
    assert written <= 0.9 * total
    code = run.wait(timeout=60)
    assert code == {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGKILL: -9}[sent]
    assert written <= photo_count(imgsearch, tmp_path) < total
    assert imgsearch("query", "a cat", "--min-score", "0", "--store", tmp_path / "store").returncode in {0, 3}
    done = imgsearch("index", tmp_path / "photos", "--store", tmp_path / "store")
    assert done.returncode == 0, done.stderr
    assert 0 < int(done.stderr.split(" added")[0]) <= total - written
    assert photo_count(imgsearch, tmp_path) == total
