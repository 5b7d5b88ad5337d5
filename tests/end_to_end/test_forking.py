"""The forks in which most tests run the program answer as the installed program does."""

from __future__ import annotations

import os

import pytest

from tests.end_to_end.forking import READING, Forks

QUERY = ("query", "a cat", "--min-score", "0")
COMMANDS = {
    "shown": QUERY,
    "for programs": (*QUERY, "--format", "jsonl"),
    "refused": ("query", "two boys"),
    "nothing": ("query", "a cat", "--min-score", "1"),
    "wrong": ("query", "a cat", "-k", "0"),
    "batch": ("query", "--batch", "-"),
    "writing": ("index", "test_images", "--dry-run"),
    "unknown": ("nowhere",),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_fork_answers_as_the_installed_program_does(demo, imgsearch, installed, command):
    at = () if command == "unknown" else ("--store", "store")
    runs = [run(*COMMANDS[command], *at, cwd=demo, input="a cat\n{bad\n") for run in (imgsearch, installed)]
    codes, outputs, errors = zip(*((done.returncode, done.stdout, done.stderr) for done in runs), strict=True)
    assert codes[0] == codes[1]
    assert outputs[0] == outputs[1]
    assert errors[0] == errors[1]
    assert outputs[0] or errors[0]


def test_a_fork_leaves_nothing_to_the_next(tmp_path):
    forks = Forks(READING)
    try:
        first = forks.run(["config", "--json"], os.environ | {"IMGSEARCH_STORE": "elsewhere"}, tmp_path, b"")
        second = forks.run(["config", "--json"], dict(os.environ), "/", b"")
        assert (first[0], second[0]) == (0, 0)
        assert b"elsewhere" in first[1]
        assert b"elsewhere" not in second[1]
    finally:
        forks.end()


def test_a_process_that_starts_otherwise_is_not_forked(imgsearch):
    done = imgsearch("--version", env={"PYTHONIOENCODING": "utf-16"}, text=False)
    assert done.stdout.decode("utf-16").startswith("imgsearch, version")
