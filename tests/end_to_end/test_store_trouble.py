"""Stores that are read-only, damaged, hostile or far away, as users meet them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

READERS = {
    "query": ("query", "a dog", "--min-score", "0", "--format", "paths"),
    "status": ("status",),
    "check": ("check",),
    "policy list": ("policy", "list"),
    "dry run": ("index", "test_images", "--dry-run"),
}


@pytest.fixture
def read_only(demo, tmp_path):
    """The demo's store where nothing can be written."""
    place = tmp_path / "read-only"
    if os.geteuid():
        shutil.copytree(demo / "store", place)
        for path in (place, *place.rglob("*")):
            path.chmod(0o555 if path.is_dir() else 0o444)
        yield place
        place.chmod(0o755)
        return
    place.mkdir()
    if subprocess.run(["mount", "--bind", demo / "store", place], check=False, capture_output=True).returncode:
        pytest.skip("mounts are not allowed here")
    subprocess.run(["mount", "-o", "remount,ro,bind", place], check=True)
    yield place
    subprocess.run(["umount", place], check=True)


@pytest.mark.parametrize("command", READERS)
def test_a_store_that_may_only_be_read_is_read(demo, read_only, imgsearch, tmp_path, command):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    usual = imgsearch(*READERS[command], "--store", demo / "store", cwd=demo)
    done = imgsearch(*READERS[command], "--store", read_only, cwd=demo, env={"TMPDIR": str(temporary)})
    assert done.returncode == usual.returncode in (0, 1)
    if command != "status":  # which names the store
        assert done.stdout == usual.stdout
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("command", [("index", "test_images"), ("forget", "test_images"), ("check", "--repair")])
def test_a_store_that_may_only_be_read_is_not_written(demo, read_only, imgsearch, command):
    done = imgsearch(*command, "--store", read_only, cwd=demo)
    assert (done.returncode, done.stdout) == (2, "")
    assert "cannot be written" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "command", [*READERS.values(), ("index", "test_images"), ("forget", "test_images"), ("check", "--repair")]
)
def test_a_servers_password_is_in_no_message(demo, imgsearch, command):
    address = "http://user:secret-word@127.0.0.1:9"
    done = imgsearch("-vv", "--debug", *command, "--store", address, cwd=demo)
    assert done.returncode == 2
    assert "http://***@127.0.0.1:9" in done.stderr
    assert "secret-word" not in done.stdout + done.stderr


def test_a_named_pipe_called_dotenv_stops_no_command(demo, imgsearch, tmp_path):
    os.mkfifo(tmp_path / ".env")
    done = imgsearch("status", "--store", demo / "store", "--format", "jsonl", cwd=tmp_path, timeout=60)
    assert done.returncode == 0
    assert json.loads(done.stdout)["photos"] > 0


def test_four_first_runs_at_once_end_as_one(demo, tmp_path):
    program = Path(sys.executable).with_name("imgsearch")
    runs = [
        subprocess.Popen(
            [program, "index", "--wait", demo / "test_images", "--store", tmp_path / "new" / "store"],
            stderr=subprocess.PIPE, text=True, cwd=demo,
        )
        for _ in range(4)
    ]  # fmt: skip
    ends = [(run.communicate()[1], run.returncode) for run in runs]
    assert [code for _, code in ends] == [0] * 4, ends
    assert (tmp_path / "new" / "store").stat().st_mode & 0o777 == 0o700


@pytest.mark.slow
def test_lost_vectors_are_told_mended_and_only_what_is_lost_is_embedded_again(imgsearch, tmp_path):
    chance = np.random.default_rng(0)
    (tmp_path / "photos").mkdir()
    for number in range(1030):
        pixels = chance.integers(0, 256, (4, 4, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((64, 64)).save(tmp_path / "photos" / f"{number:04}.png")
    store = tmp_path / "store"
    assert imgsearch("index", tmp_path / "photos", "--store", store).returncode == 0
    data = max(store.glob("*/data_level0.bin"), key=lambda file: file.stat().st_size)
    os.truncate(data, data.stat().st_size // 2)
    for command in (("query", "red"), ("status",), ("index",), ("check",)):
        done = imgsearch(*command, "--store", store)
        assert done.returncode == 2
        assert "rows are lost or damaged" in done.stdout + done.stderr
    done = imgsearch("check", "--repair", "--store", store)
    assert done.returncode == 0, done.stderr
    dropped = int(re.search(r"(\d+) rows dropped", done.stderr)[1])
    assert 400 < dropped < 600
    done = imgsearch("index", "--store", store)
    assert done.returncode == 0
    assert f"{dropped} added, {1030 - dropped} unchanged" in done.stderr
    assert imgsearch("check", "--store", store).returncode == 0
