"""One table: what is read through and noted, what makes it unusable, and how irregularities are put in words."""

from __future__ import annotations

from pathlib import Path

import pytest

from index_store.training.data.tables import SEPARATORS, Problem, ProblemLog, Row, read_table

COLUMNS = ("image", "text")


def read(
    path: Path, content: str | bytes, *, separator: str = "\t", header: bool = True
) -> tuple[list[Row], list[str]]:
    """Return the rows of a table of this content, and what is noted about it."""
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    log = ProblemLog()
    return read_table(path, COLUMNS, separator, header, log), [str(problem) for problem in log.problems()]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return tmp_path / "captions.tsv"


def test_columns_are_found_by_name_and_others_passed_over(table):
    rows, noted = read(table, "text\tmore\timage\na dog\tx\ta.jpg\n")
    assert [(row.line, row["image"], row["text"]) for row in rows] == [(2, "a.jpg", "a dog")]
    assert set(rows[0].fields) == set(COLUMNS)
    assert noted == []


def test_without_a_header_quotes_are_letters_and_every_line_is_a_row(table):
    rows, noted = read(table, 'image\ttext\na.jpg\t"a dog\n', header=False)
    assert [(row.line, row["text"]) for row in rows] == [(1, "text"), (2, '"a dog')]
    assert noted == []


def test_a_quoted_field_spans_lines_and_its_row_is_named_by_the_first(table):
    rows, _ = read(table, 'image,text\n\na.jpg,"a dog\nruns"\n\nb.jpg,a cat', separator=",")
    assert [(row.line, row["text"]) for row in rows] == [(3, "a dog\nruns"), (6, "a cat")]


@pytest.mark.parametrize("separator", SEPARATORS)
@pytest.mark.parametrize("header", [True, False])
def test_another_separator_is_read_and_noted(table, separator, header):
    expected = ";" if separator != ";" else ","
    content = separator.join(COLUMNS) + "\n" + separator.join(("a.jpg", "a dog")) + "\n"
    rows, noted = read(table, content, separator=expected, header=header)
    assert rows[-1].fields == {"image": "a.jpg", "text": "a dog"}
    assert noted == [f"captions.tsv:1: is separated by {separator!r}, not by {expected!r}; read so"]


def test_rows_with_another_number_of_fields_are_left_out_together(table):
    lines = ["image\ttext", "a.jpg\ta dog", *["only one"] * 3, "a\tb\tc", *["one"] * 4]
    rows, noted = read(table, "\n".join(lines))
    assert [row.line for row in rows] == [2]
    assert noted == [
        "captions.tsv:3: has 1 fields, not 2; the row is left out (also lines 4, 5, 6, 7 and 3 more)",
    ]


@pytest.mark.parametrize(
    ("content", "noted"),
    [
        ("", "1: the table is empty"),
        (" \n\n", "1: the table is empty"),
        ("image\ttext\n", "2: the table has no usable row"),
        ("image\ttext\na.jpg\n", "3: the table has no usable row"),
        ("image\twords\na.jpg\ta dog\n", "1: the column text is missing; the first line reads 'image\\twords'"),
        (b"image\ttext\na.jpg\tcaf\xe9\n", "2: the text is not UTF-8; save the table as UTF-8"),
        ("image\ttext\na.jpg\t" + "x" * 200_000, "2: is not a table: field larger than field limit (131072)"),
    ],
    ids=["empty", "blank", "a header alone", "short rows alone", "a column less", "Latin-1", "an endless field"],
)
def test_an_unusable_table_has_no_rows_and_says_why(table, content, noted):
    rows, found = read(table, content)
    assert rows == []
    assert found[-1] == f"captions.tsv:{noted}; what needs this table is left out"


@pytest.mark.parametrize("kind", ["missing", "folder"])
def test_a_table_that_cannot_be_read_is_named(table, kind):
    if kind == "folder":
        table.mkdir()
    log = ProblemLog()
    assert read_table(table, COLUMNS, "\t", True, log) == []
    [problem] = log.problems()
    assert problem.lines == ()
    wanted = f"there is no such table in {table.parent}" if kind == "missing" else "cannot be read: Is a directory"
    assert str(problem) == f"captions.tsv: {wanted}; what needs this table is left out"


def test_problems_of_a_kind_and_a_file_are_one_and_keep_their_order():
    log = ProblemLog()
    log.note("b", "one.tsv", "first", 3)
    log.note("a", "one.tsv", "other")
    log.note("b", "one.tsv", "second", 9)
    log.note("b", "two.tsv", "third", 1)
    assert log.problems() == [
        Problem("b", "one.tsv", (3, 9), "first"),
        Problem("a", "one.tsv", (), "other"),
        Problem("b", "two.tsv", (1,), "third"),
    ]


@pytest.mark.parametrize(
    ("lines", "shown"),
    [
        ((), "t: m"),
        ((4,), "t:4: m"),
        ((4, 5), "t:4: m (also line 5)"),
        ((1, 2, 3, 4, 5), "t:1: m (also lines 2, 3, 4, 5)"),
        ((1, 2, 3, 4, 5, 6), "t:1: m (also lines 2, 3, 4, 5 and 1 more)"),
        (tuple(range(1, 2001)), "t:1: m (also lines 2, 3, 4, 5 and 1,995 more)"),
    ],
)
def test_a_problem_names_five_lines_at_most(lines, shown):
    assert str(Problem("k", "t", lines, "m")) == shown
