from __future__ import annotations

import re
from io import StringIO

import pytest
from rich.console import Console
from rich.text import Text

from imgsearch_cli.path_cell import PathCell
from imgsearch_cli.render import answer_table
from index_store.records import Answer, Match

PATH = "/home/ann/Pictures/2021-06 summer by the sea/IMG_20210614_113045 (edited copy).jpg"


def drawn(what: object, width: int, *, terminal: bool = False) -> str:
    console = Console(
        width=width, file=StringIO(), force_terminal=terminal, color_system="standard" if terminal else None
    )
    console.print(what)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def lines_of(path: str, width: int, behind: str = "") -> list[str]:
    return [line.rstrip("\n") for line in drawn(PathCell(path, path, Text(behind)), width).splitlines()]


def test_a_path_is_broken_behind_folders():
    assert lines_of(PATH, 46) == [
        "/home/ann/Pictures/2021-06 summer by the sea/",
        "IMG_20210614_113045 (edited copy).jpg",
    ]


def test_a_name_that_is_too_long_is_broken_between_words():
    assert lines_of(PATH, 20) == [
        "/home/ann/Pictures/",
        "2021-06 summer by ",
        "the sea/",
        "IMG_20210614_113045 ",
        "(edited copy).jpg",
    ]


@pytest.mark.parametrize("width", [1, 2, 3, 7, 19, 20, 21, 46, 89])
@pytest.mark.parametrize("path", [PATH, "/" + "x" * 200, "写真/二千二十一年の夏休み/海.jpg", "a//b", "/"])
def test_nothing_is_lost_and_no_line_is_too_long(path, width):
    if width == 1 and not path.isascii():
        pytest.skip("a letter of two cells needs two")
    lines = lines_of(path, width)
    assert "".join(lines) == path
    assert all(len(line.encode("gbk")) <= width for line in lines)


def test_what_is_said_behind_it_stands_on_its_last_line_if_it_fits():
    assert lines_of("a/b.jpg", 30, " and 2 copies") == ["a/b.jpg and 2 copies"]
    assert lines_of("a/b.jpg", 15, " and 2 copies") == ["a/b.jpg", "and 2 copies"]


def test_a_terminal_gets_a_link_to_the_file_and_a_pipe_none():
    path = "/pictures/a b;\udcff.jpg"
    cell = PathCell("a b", path, Text())
    assert re.search(r"\x1b\]8;id=\d+;file:///pictures/a%20b%3B%FF\.jpg\x1b\\", drawn(cell, 40, terminal=True))
    assert drawn(cell, 40) == "a b\n"


def test_a_table_at_60_columns_has_whole_words(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = str(tmp_path / "holiday" / "by the sea" / "sunset over the water.jpg")
    lines = drawn(answer_table(Answer("a sunset", (Match(1, 0.7, 0.4, path, 4000, 3000),))), 60).splitlines()
    assert max(map(len, lines)) <= 60
    assert [line[20:48].strip() for line in lines[2:]] == ["holiday/by the sea/", "sunset over the", "water.jpg"]
    assert "4000 × 3000" in lines[2]


def test_withheld_rows_lead_nowhere():
    answer = Answer("dog", (Match(1, 0.0, 0.0, None, None, None),), notice="not to be shown")
    shown = drawn(answer_table(answer), 80, terminal=True)
    assert "]8;" not in shown
    assert "not to be shown" in shown
