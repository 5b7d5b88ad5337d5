from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from imgsearch_cli import render_store
from imgsearch_cli.escaping import json_line, one_field, printable, relative
from imgsearch_cli.render import answer_table, render_answer
from imgsearch_cli.render_duplicates import duplicates_table
from imgsearch_cli.render_store import render_plan, render_skipped, render_status
from index_store.indexing.plan import IndexPlan
from index_store.queries.duplicates import Duplicate
from index_store.records import Answer, Match, PhotoFile, Skipped, StoredPhoto, StoreStatus, Verdict

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
    assert lines[2].split()[:3] == ["1", "0.88", "███████"]
    assert "a photo.jpg" in lines[2]
    assert lines[2].endswith("400 × 300")
    assert lines[3].split(maxsplit=3) == ["2", "1", "photo", NOTICE]


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
    assert second == {"withheld": True, "count": 1, "rank": 2, "notice": NOTICE}


def test_paths_are_relative_only_below_the_working_directory(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert relative(str(tmp_path / "here" / "in" / "a.jpg")) == os.path.join("in", "a.jpg")
    assert relative(str(tmp_path / "hereafter" / "a.jpg")) == str(tmp_path / "hereafter" / "a.jpg")


def test_control_characters_cannot_reach_the_terminal():
    assert printable("a\x1b[31mb\n\u202e.jpg") == "a\\x1b[31mb\\n\\u202e.jpg"
    assert printable(os.fsdecode(b"caf\xe9 \xf0\x9f\x90\x95")) == "caf\\xe9 \N{DOG}"


C0_AND_C1 = ["\x00", "\x07", "\x1b[2J", "\x7f", "\x85", "\x9b31m"]
ODD = [*C0_AND_C1, "\u200b", "\u202e", "\u2028", "\u2066", "\ufeff", "\ud800", "\udcff", "\U000e0001"]


@pytest.mark.parametrize("odd", ODD, ids=ascii)
def test_nothing_that_is_not_printable_leaves_the_program(odd):
    assert printable(f"a{odd}b").isprintable()
    line = json_line({"path": f"a{odd}b"})
    assert line.isprintable()
    assert json.loads(line) == {"path": f"a{odd}b"}


def test_what_is_printable_stays_as_it_is():
    text = "Müller [bold]狗[/bold] :smile: \\ \N{DOG}"
    assert printable(text) == text
    assert json.loads(json_line({"path": text})) == {"path": text}


@pytest.mark.parametrize("name", ["-k.jpg", "--help.jpg", "-", "--"])
@pytest.mark.parametrize("output_format", ["paths", "tsv", "jsonl"])
def test_a_name_like_an_option_is_printed_as_a_path(tmp_path, monkeypatch, capfdbinary, name, output_format):
    monkeypatch.chdir(tmp_path)
    render_answer(Answer("dog", (Match(1, 0.5, 0.5, str(tmp_path / name), 4, 3),)), output_format)
    assert f"./{name}".encode() in capfdbinary.readouterr().out
    assert relative(str(tmp_path / "folder" / name)) == f"folder/{name}"


STATUS = StoreStatus(
    store="http://ann:secret@host:8000",
    schema=3,
    photos=1,
    withheld=0,
    decided_by_hand=0,
    encoder="e[/]\x1b[31m[bold]1",
    dimension=4,
    reranker="r",
    policy="p",
    bytes_on_disk=None,
    indexed_at=None,
    roots=("/a[/old]b", "/photos [backup]", "/\x1b[2J", "/:smile:"),
)


def test_names_are_never_read_as_markup(capsys):
    render_status(STATUS, "table")
    shown = capsys.readouterr().out
    for part in ("/a[/old]b", "/photos [backup]", "/\\x1b[2J", "/:smile:", "e[/]\\x1b[31m[bold]1"):
        assert part in shown
    assert "\x1b" not in shown


@pytest.mark.parametrize("output_format", ["table", "jsonl"])
def test_status_shows_no_password(capsys, output_format):
    render_status(STATUS, output_format)
    shown = capsys.readouterr().out
    assert "secret" not in shown
    assert "http://***@host:8000" in shown


def test_neighbours_that_are_withheld_share_an_entry(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    hidden = [Match(rank, 0.0, 0.0, None, None, None) for rank in (1, 2, 4, 5, 6)]
    shown = Match(3, 0.5, 0.5, str(tmp_path / "a.jpg"), 4, 3)
    answer = Answer("dog", (*hidden[:2], shown, *hidden[2:]), notice=NOTICE)
    render_answer(answer, "jsonl")
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(row["rank"], row.get("count")) for row in rows] == [(1, 2), (3, None), (4, 3)]
    first = [line.split()[0] for line in drawn(answer, 120).splitlines()[2:]]
    assert first == ["1-2", "3", "4-6"]


def test_a_field_of_a_table_stays_on_its_line():
    assert one_field("a\tb\nc\rd\\e") == "a\\tb\\nc\\rd\\\\e"


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


def test_tables_of_paths_break_them_at_folders_and_not_within_words(monkeypatch):
    path = "/photos/summer/holiday-2021/2399551242_c62a46dd5f.jpg"
    console = Console(width=70, file=StringIO(), color_system=None)
    monkeypatch.setattr(render_store, "stdout_console", lambda: console)
    verdict = Verdict(True, 0.86, "probability 0.86 of a child reaches the threshold 0.11", "", "")
    file = PhotoFile(path, 1, 2, content_hash="c")
    render_store.render_withheld([StoredPhoto("c", (file,), 4, 3, verdict)], "table")
    copy = Duplicate(path, 4, 3, 1000, 1.0)
    console.print(duplicates_table([[copy, copy]]))
    assert isinstance(console.file, StringIO)
    lines = [" ".join(line.split()) for line in console.file.getvalue().splitlines()]
    assert sum("/photos/summer/" in line for line in lines) == 3
    assert sum(line.startswith("2399551242_c62a46dd5f.jpg") for line in lines) == 3


def test_status_says_how_to_review_what_is_withheld_and_when_the_clock_here_showed_the_last_run(capsys, monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        render_status(replace(STATUS, withheld=1, indexed_at="2026-11-25T20:39:38+00:00"), "table")
    finally:
        monkeypatch.undo()
        time.tzset()
    shown = capsys.readouterr().out
    assert "1 withheld" in shown
    assert "review those withheld with 'imgsearch policy list'" in shown
    assert "2026-11-26 05:39" in shown
    render_status(STATUS, "table")
    assert "policy list" not in capsys.readouterr().out


def test_a_plan_without_work_says_so_once(capsys):
    render_plan(IndexPlan(unchanged=3), hidden=set())
    assert capsys.readouterr().err == "nothing to do; 3 unchanged\n"
