from __future__ import annotations

import subprocess
import sys

import pytest

from imgsearch_cli import exits, main
from imgsearch_cli.streams import ReaderGone
from index_store.errors import StoreError


@pytest.fixture
def fail_with(monkeypatch):
    """Return a function that runs the program with a group that raises."""

    def fail_with(error: BaseException, *arguments: str) -> int:
        def raising(**_: object) -> None:
            raise error

        monkeypatch.setattr(sys, "argv", ["imgsearch", *arguments])
        monkeypatch.setattr(main.cli, "main", raising)
        return main._main()

    return fail_with


def test_an_error_of_ours_is_one_line_and_exits_2(fail_with, capsys):
    assert fail_with(StoreError("/x: is no store")) == exits.ERROR
    assert capsys.readouterr().err == "imgsearch: /x: is no store\n"


def test_debug_shows_the_traceback(fail_with, capsys):
    assert fail_with(StoreError("/x: is no store"), "--debug") == exits.ERROR
    shown = capsys.readouterr().err
    assert shown.startswith("Traceback")
    assert shown.endswith("imgsearch: /x: is no store\n")


def test_no_line_names_the_program_twice(fail_with, capsys):
    fail_with(StoreError("imgsearch: no such encoder"))
    fail_with(OSError(28, "No space left on device"))
    assert capsys.readouterr().err == "imgsearch: no such encoder\nimgsearch: no space left on device\n"


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError(24, "Too many open files"), "too many open files: ask for fewer --jobs, or raise the limit"),
        (OSError(12, "Cannot allocate memory"), "cannot allocate memory: ask for fewer --jobs, or raise the limit"),
        (BlockingIOError(11, "Resource temporarily unavailable"), "resource temporarily unavailable: ask for fewer"),
        (MemoryError(), "out of memory: ask for fewer --jobs, or raise the limit"),
        (RuntimeError("can't start new thread"), "no thread can be started: ask for fewer --jobs, or raise the limit"),
        (ImportError("/x.so: failed to map segment from shared object"), "out of memory: ask for fewer --jobs, or"),
        (RuntimeError("Failed to allocate memory for requested buffer"), "out of memory: ask for fewer --jobs, or"),
        (RuntimeError("[ONNXRuntimeError] : 6 : std::bad_alloc"), "out of memory: ask for fewer --jobs, or"),
        (PermissionError(13, "Permission denied", "/closed/x"), "/closed/x: permission denied"),
    ],
    ids=str,
)
def test_what_is_used_up_is_named_with_the_way_out(fail_with, capsys, error, line):
    assert fail_with(error) == exits.ERROR
    shown = capsys.readouterr().err
    assert shown.startswith(f"imgsearch: {line}")
    assert shown.count("\n") == 1


def test_what_an_error_quotes_cannot_move_the_cursor(fail_with, capsys):
    fail_with(StoreError("http://host: the server says \x1b[2Jgone\x9b1m \u202ereversed\u2066"), "--debug")
    shown = capsys.readouterr().err
    assert "says \\x1b[2Jgone\\x9b1m \\u202ereversed\\u2066\n" in shown
    assert not set("\x1b\x9b\u202e\u2066") & set(shown)


def test_a_working_directory_that_is_gone_is_said(fail_with, capsys, tmp_path, monkeypatch):
    folder = tmp_path / "gone"
    folder.mkdir()
    monkeypatch.chdir(folder)
    folder.rmdir()
    fail_with(FileNotFoundError(2, "No such file or directory"))
    line = "imgsearch: no such file or directory; the working directory is gone: change to another folder\n"
    assert capsys.readouterr().err == line


def test_scratch_folders_go_away_with_the_program(tmp_path):
    script = (
        "import sys, tempfile\n"
        f"tempfile.tempdir = {str(tmp_path)!r}\n"
        "from imgsearch_cli import main\n"
        "from index_store.scratch import scratch_folder\n"
        "kept = scratch_folder()\n"
        "open(kept.name + '/file', 'w').close()\n"
        "sys.argv = ['imgsearch', '--version']\n"
        "main.run()\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert list(tmp_path.iterdir()) == []


def test_an_error_of_the_system_names_the_file(fail_with, capsys):
    assert fail_with(OSError(28, "No space left on device", "/x/y")) == exits.ERROR
    assert capsys.readouterr().err == "imgsearch: /x/y: no space left on device\n"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (KeyboardInterrupt(), 130),
        (main._Terminated(), 143),
        (ReaderGone(), 141),
        (SystemExit(1), 2),  # what click makes of a pipe that broke, but was not standard output
    ],
)
def test_ways_out(fail_with, error, code):
    assert fail_with(error) == code


def test_a_bug_is_not_hidden_and_is_no_empty_answer(fail_with, capsys):
    assert fail_with(ZeroDivisionError("division by zero")) == exits.ERROR
    shown = capsys.readouterr().err
    assert "ZeroDivisionError: division by zero" in shown
    assert shown.endswith("imgsearch: this is a bug; please report the lines above\n")
