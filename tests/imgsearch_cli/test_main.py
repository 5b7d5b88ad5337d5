from __future__ import annotations

import sys

import pytest

from imgsearch_cli import exits, main
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


def test_an_error_of_the_system_names_the_file(fail_with, capsys):
    assert fail_with(OSError(28, "No space left on device", "/x/y")) == exits.ERROR
    assert capsys.readouterr().err == "imgsearch: /x/y: no space left on device\n"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (KeyboardInterrupt(), 130),
        (main._Terminated(), 143),
        (BrokenPipeError(), 141),
        (OSError(32, "Broken pipe"), 141),
    ],
)
def test_ways_out(fail_with, error, code):
    assert fail_with(error) == code


def test_a_bug_is_not_hidden_and_is_no_empty_answer(fail_with, capsys):
    assert fail_with(ZeroDivisionError("division by zero")) == exits.ERROR
    shown = capsys.readouterr().err
    assert "ZeroDivisionError: division by zero" in shown
    assert shown.endswith("imgsearch: this is a bug; please report the lines above\n")
