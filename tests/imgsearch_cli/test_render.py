from __future__ import annotations

import json
import os
from io import StringIO

import pytest
from rich.console import Console

from imgsearch_cli.render import answer_table, render_answer
from imgsearch_cli.render_store import render_plan, render_skipped
from imgsearch_cli.writing import printable, relative
from index_store.planning import IndexPlan
from index_store.records import Answer, Match, Skipped

NOTICE = "This image is unavailable in your country in compliance with local laws"


@pytest.fixture
def answer(tmp_path, monkeypatch) -> Answer:
    monkeypatch.chdir(tmp_path)
    shown = Match(1, 0.875, 0.5, str(tmp_path / "a photo.jpg"), 400, 300)
    return Answer("dog", (shown, Match(2, 0.25, 0.25, None, None, None)), notice=NOTICE)


def drawn(answer: Answer, width: int) -> str:
    console = Console(width=width, file=StringIO(), color_system=None)
    console.print(answer_table(answer))
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def test_the_table_has_a_bar_as_long_as_the_score_and_the_notice_in_place_of_the_photo(answer):
    lines = [line.rstrip() for line in drawn(answer, 200).splitlines()]
    assert lines[2].split("  ")[:3] == [" ", " 1", "0.875"] or lines[2].split()[:3] == ["1", "0.88", "███████"]
    assert "a photo.jpg" in lines[2]
    assert lines[2].endswith("400 × 300")
    assert lines[3].split()[:3] == ["2", "0.25", "██"]
    assert lines[3].endswith(NOTICE)


def test_a_narrow_terminal_folds_paths_and_loses_no_character(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = "x" * 150 + ".jpg"
    text = drawn(Answer("dog", (Match(1, 0.5, 0.5, f"/photos/{name}", 4, 3),)), 80)
    assert all(len(line) <= 80 for line in text.splitlines())
    assert text.count("x") == 150


@pytest.mark.parametrize(
    ("output_format", "expected"),
    [
        ("paths", b"a photo.jpg\n"),
        ("tsv", b"1\t0.875000\ta photo.jpg\t400\t300\n"),
    ],
)
def test_nothing_withheld_reaches_standard_output_of_scripts(answer, capfdbinary, output_format, expected):
    render_answer(answer, output_format)
    captured = capfdbinary.readouterr()
    assert captured.out == expected
    assert captured.err == NOTICE.encode() + b"\n"


def test_a_withheld_row_of_jsonl_has_no_path(answer, capsys):
    render_answer(answer, "jsonl")
    first, second = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert (first["path"], first["withheld"], first["width"]) == ("a photo.jpg", False, 400)
    assert second == {"rank": 2, "score": 0.25, "similarity": 0.25, "withheld": True, "notice": NOTICE}


def test_paths_are_relative_only_below_the_working_directory(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert relative(str(tmp_path / "here" / "in" / "a.jpg")) == os.path.join("in", "a.jpg")
    assert relative(str(tmp_path / "hereafter" / "a.jpg")) == str(tmp_path / "hereafter" / "a.jpg")


def test_control_characters_cannot_reach_the_terminal():
    assert printable("a\x1b[31mb\n\u202e.jpg") == "a\\x1b[31mb\\n\\u202e.jpg"
    assert printable(os.fsdecode(b"caf\xe9 \xf0\x9f\x90\x95")) == "caf\\xe9 \N{DOG}"


def test_a_plan_counts_hidden_photos_and_names_the_others(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    a, b = str(tmp_path / "a.jpg"), str(tmp_path / "b.jpg")
    render_plan(IndexPlan(added=frozenset({a}), removed=frozenset({b}), unchanged=3), hidden={b})
    captured = capsys.readouterr()
    assert captured.out == "added\ta.jpg\n"
    assert captured.err == "1 added, 1 removed; 3 unchanged; nothing was done\n"


def test_a_skipped_photo_that_is_withheld_is_not_named(capsys):
    render_skipped([Skipped(None, "is an empty file"), Skipped("/x/a.jpg", "is an empty file")])
    assert capsys.readouterr().err == "skipped a withheld photo: is an empty file\nskipped /x/a.jpg: is an empty file\n"
