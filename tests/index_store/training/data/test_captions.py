"""Captions are read as they are written, and a bad table is refused in one line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from index_store.errors import DataError
from index_store.training.data.captions import (
    CaptionedPhoto,
    DataFolder,
    held_out,
    is_named,
    parse_data,
    read_captions,
    read_under_age,
)


def write(folder: Path, table: str, *images: str, within: str = "images") -> Path:
    (folder / within).mkdir(exist_ok=True)
    for image in images:
        (folder / within / image).touch()
    (folder / "captions.tsv").write_text(table, encoding="utf-8")
    return folder


def test_captions_are_grouped_by_photo_and_sorted_by_name(tmp_path: Path) -> None:
    table = 'image\tcaption_id\tcaption\nb.jpg\tb.jpg#0\tA "red" dog .\na.jpg\ta.jpg#0\tA cat\nb.jpg\tb.jpg#1\tA dog\n'
    assert read_captions(write(tmp_path, table, "a.jpg", "b.jpg")) == [
        CaptionedPhoto(tmp_path / "images" / "a.jpg", ("A cat",)),
        CaptionedPhoto(tmp_path / "images" / "b.jpg", ('A "red" dog .', "A dog")),
    ]


def test_photos_may_lie_beside_the_table(tmp_path: Path) -> None:
    (found,) = read_captions(write(tmp_path, "caption\timage\na cat\ta.jpg\n", "a.jpg", within="."))
    assert (found.path, found.image, found.captions) == (tmp_path / "a.jpg", "a.jpg", ("a cat",))


def test_blank_lines_and_a_byte_order_mark_do_no_harm(tmp_path: Path) -> None:
    table = "\ufeffimage\tcaption\r\n\r\na.jpg\ta cat\r\n"
    assert [photo.captions for photo in read_captions(write(tmp_path, table, "a.jpg"))] == [("a cat",)]


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"captions\.tsv: cannot be read \(no such file or directory\)"):
        read_captions(tmp_path)


def test_a_missing_column_is_named_with_what_was_found(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="captions.tsv:1: has no column 'caption'; found image, text; separate"):
        read_captions(write(tmp_path, "image\ttext\n"))


def test_an_empty_table_has_no_columns(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no column 'image'; found nothing"):
        read_captions(write(tmp_path, ""))


def test_a_header_alone_is_no_data(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no captions below its header"):
        read_captions(write(tmp_path, "image\tcaption\n"))


def test_all_problems_come_in_one_line(tmp_path: Path) -> None:
    table = "image\tcaption\na.jpg\t\n\ta dog\nb.jpg\ta cat\nc.jpg\n"
    with pytest.raises(DataError) as caught:
        read_captions(write(tmp_path, table))
    problems = "line 2 has no caption; line 3 has no image; line 5 has no caption"
    assert str(caught.value) == f"{tmp_path}/captions.tsv: {problems}; b.jpg is not in {tmp_path}/images"


def test_more_than_five_problems_are_counted(tmp_path: Path) -> None:
    rows = "".join(f"{number}.jpg\ta dog\n" for number in range(8))
    with pytest.raises(DataError, match=r"4\.jpg is not in .*; and 3 more$"):
        read_captions(write(tmp_path, "image\tcaption\n" + rows))


def test_a_table_that_is_no_utf8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "captions.tsv").write_bytes(b"image\tcaption\na.jpg\tcaf\xe9\n")
    with pytest.raises(DataError, match="is not UTF-8 at byte"):
        read_captions(tmp_path)


@given(st.text(min_size=1), st.floats(0, 1), st.floats(0, 1))
def test_a_larger_share_holds_all_of_a_smaller_one(image: str, one: float, other: float) -> None:
    smaller, larger = sorted((one, other))
    assert not held_out(image, 0.0)
    assert held_out(image, 1.0)
    assert held_out(image, larger) or not held_out(image, smaller)


def test_about_the_asked_share_is_held_out() -> None:
    held = sum(held_out(f"{number}.jpg", 0.15) for number in range(10_000))
    assert 1400 < held < 1600


def test_the_source_is_read_where_there_is_one(tmp_path: Path) -> None:
    table = "image\tcaption_id\tcaption\tsource\na.jpg\ta.jpg#0\ta cat\tweb\nb.jpg\tb.jpg#0\ta dog\n"
    found = read_captions(write(tmp_path, table, "a.jpg", "b.jpg"))
    assert [(photo.captions, photo.source) for photo in found] == [(("a cat",), "web"), (("a dog",), "")]


def test_a_row_with_more_cells_than_the_header_lends_no_source(tmp_path: Path) -> None:
    (found,) = read_captions(write(tmp_path, "image\tcaption\na.jpg\ta cat\tweb\tand more\n", "a.jpg"))
    assert (found.captions, found.source) == (("a cat",), "")


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("photos", DataFolder(Path("photos"))),
        ("photos:2", DataFolder(Path("photos"), 2.0)),
        ("photos:0.5:0.1", DataFolder(Path("photos"), 0.5, 0.1)),
        ("photos:1:0", DataFolder(Path("photos"), 1.0, 0.0)),
        ("my:photos", DataFolder(Path("my:photos"))),
        ("my:photos:3", DataFolder(Path("my:photos"), 3.0)),
        (r"C:\photos", DataFolder(Path(r"C:\photos"))),
    ],
)
def test_data_may_have_a_weight_and_a_share_to_hold_out(text: str, read: DataFolder) -> None:
    assert parse_data(text) == read


def test_a_folder_that_is_there_keeps_its_name(tmp_path: Path) -> None:
    (tmp_path / "of:2019").mkdir()
    assert parse_data(str(tmp_path / "of:2019")) == DataFolder(tmp_path / "of:2019")
    assert parse_data(f"{tmp_path / 'of:2019'}:3") == DataFolder(tmp_path / "of:2019", 3.0)


@pytest.mark.parametrize("text", ["photos:0", "photos:-1", "photos:nan", "photos:inf", "photos:1:1", "photos:1:-0.1"])
def test_numbers_out_of_range_are_refused(text: str) -> None:
    with pytest.raises(DataError, match=r"is not (above 0|in \[0, 1\)); write DATA:"):
        parse_data(text)


def test_labels_name_the_photos_of_children(tmp_path: Path) -> None:
    table = tmp_path / "labels.tsv"
    table.write_text("image\tunder16\tperson\nset/a.jpg\tyes\tyes\nset/b.jpg\tperhaps\tyes\nset/c.jpg\tno\tno\n")
    ends = read_under_age(table)
    assert ends == {"set/a.jpg"}
    assert is_named(Path("/data/set/a.jpg"), ends)
    assert not is_named(Path("/data/other-set/a.jpg"), ends)
    assert not is_named(Path("/data/set/b.jpg"), ends)


def test_a_table_of_labels_without_its_column_is_refused(tmp_path: Path) -> None:
    (tmp_path / "labels.tsv").write_text("image\tage\n")
    with pytest.raises(DataError, match="labels.tsv:1: has no column 'under16'; found image, age"):
        read_under_age(tmp_path / "labels.tsv")
