"""What containers take away: a home folder, a name for the user, the working directory, cores."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

PROGRAM = str(Path(sys.executable).with_name("imgsearch"))
NO_HOME = "imgsearch: this user has no home folder; name a store with --store or IMGSEARCH_STORE\n"


@pytest.fixture
def nobody(demo):
    """Return a function that runs the program as a user without a name or an environment, who owns a store."""
    nameless = ["setpriv", "--reuid", "12345", "--clear-groups"]
    try:
        usable = subprocess.run([*nameless, PROGRAM, "--version"], capture_output=True, check=False).returncode == 0
    except OSError:
        usable = False
    if not usable:
        pytest.skip("needs setpriv, root, and a Python that every user may run")
    # pytest's own folders are closed to other users
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    shutil.copytree(demo / "store", folder / "store")
    for path in (folder / "store", *(folder / "store").rglob("*")):
        os.chown(path, 12345, -1)

    def run(*arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        variables = [f"{name}={value}" for name, value in (env or {}).items()]
        # ONNX Runtime warns where it cannot keep the number that it gives each machine
        command = [
            "env",
            "-i",
            "PATH=/usr/bin:/bin",
            "ORT_DISABLE_TELEMETRY=1",
            *variables,
            *nameless,
            PROGRAM,
            *arguments,
        ]
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)

    yield run
    assert not (folder / "~").exists()
    shutil.rmtree(folder)


def test_a_user_without_a_name_or_a_home_can_ask_a_store(nobody):
    done = nobody("query", "a cat", "--min-score", "0", "-k", "1", "--format", "paths", "--store", "store")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("chelsea.png\n")


@pytest.mark.parametrize("env", [{}, {"HOME": ""}], ids=str)
@pytest.mark.parametrize("arguments", [("query", "a cat"), ("status",), ("index", "."), ("policy", "list")])
def test_without_a_home_the_default_store_is_one_line(nobody, env, arguments):
    done = nobody(*arguments, env=env)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", NO_HOME)


def test_a_data_folder_of_its_own_is_enough(nobody, tmp_path):
    with tempfile.TemporaryDirectory() as folder:  # pytest's own are closed to other users
        os.chmod(folder, 0o755)
        done = nobody("status", env={"XDG_DATA_HOME": folder})
        place = Path(folder) / "imgsearch" / "store"
        assert done.stderr == f"imgsearch: {place}: there is no store; make one with 'imgsearch index FOLDER'\n"
    done = nobody("status", env={"XDG_DATA_HOME": str(tmp_path)})
    assert done.stderr == f"imgsearch: {tmp_path}/imgsearch/store: cannot be read: permission denied\n"


def test_a_tilde_in_the_environment_and_behind_an_equals_sign_means_home(imgsearch, demo, tmp_path):
    shutil.copytree(demo / "store", tmp_path / "s")
    asked = ("query", "a cat", "--min-score", "0", "-k", "1", "--format", "paths")
    for arguments, env in (((), {"IMGSEARCH_STORE": "~/s"}), (("--store=~/s",), {})):
        done = imgsearch(*asked, *arguments, env={"HOME": str(tmp_path), **env}, cwd=demo)
        assert (done.returncode, done.stderr) == (0, "")
    policy = imgsearch("policy", "check", "a cat", "--policy=~/nowhere.toml", env={"HOME": str(tmp_path)}, cwd=demo)
    assert policy.stderr.startswith(f"imgsearch: {tmp_path}/nowhere.toml: cannot read the policy")


def in_a_folder_that_is_gone(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    script = 'mkdir "$0" && cd "$0" && rmdir "$0" && exec "$@"'
    command = ["sh", "-c", script, str(tmp_path / "gone"), PROGRAM, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("output_format", ["table", "jsonl", "tsv", "paths"])
def test_a_working_directory_that_is_gone_changes_no_answer(demo, tmp_path, output_format):
    asked = ("query", "a cat", "--min-score", "0", "-k", "1", "--format", output_format)
    done = in_a_folder_that_is_gone(tmp_path, *asked, "--store", str(demo / "store"))
    assert (done.returncode, done.stderr) == (0, "")
    assert str(demo / "test_images" / "chelsea.png") in done.stdout


@pytest.mark.parametrize("arguments", [("index", "photos", "--store", "s"), ("forget", "photos")])
def test_a_relative_path_in_a_folder_that_is_gone_is_one_line(demo, tmp_path, arguments):
    store = () if "--store" in arguments else ("--store", str(demo / "store"))
    done = in_a_folder_that_is_gone(tmp_path, *arguments, *store)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.endswith("; the working directory is gone: change to another folder\n")


def test_too_few_open_files_name_the_way_out(demo, tmp_path):
    command = f"ulimit -n 24; exec {PROGRAM} index {demo / 'test_images'} --store {tmp_path / 's'} --jobs 16"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "too many open files: ask for fewer --jobs, or raise the limit" in done.stderr
