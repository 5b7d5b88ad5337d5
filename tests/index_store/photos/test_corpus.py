"""The files of tests/corpus come out as their table says."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from index_store.photos.open import open_photo
from index_store.records import PhotoInput
from tests.pictures import difference, middles

CORPUS = Path(__file__).parents[2] / "corpus"
COLOURS = {
    "red": (220, 30, 30),
    "green": (30, 160, 60),
    "blue": (30, 60, 200),
    "yellow": (240, 220, 40),
    "black": (0, 0, 0),
    "dark": (64, 64, 64),
    "light": (160, 160, 160),
    "white": (255, 255, 255),
}


def answers() -> list[dict[str, str]]:
    with (CORPUS / "answers.tsv").open(encoding="utf-8") as table:
        return list(csv.DictReader(table, delimiter="\t"))


def test_the_table_names_the_files_and_they_are_few_and_small():
    files = {path.name for path in CORPUS.iterdir() if path.suffix not in {".py", ".tsv"} and path.is_file()}
    assert files == {answer["file"] for answer in answers()}
    assert len(files) <= 60
    assert max((CORPUS / name).stat().st_size for name in files) < 50_000


@pytest.mark.parametrize("answer", answers(), ids=lambda answer: answer["file"])
def test_a_file_comes_out_as_the_table_says(answer):
    if answer["file"].startswith("raw-"):
        pytest.importorskip("rawpy", reason="the extra raw is not installed")
    if answer["file"].endswith(".jxl"):
        pytest.importorskip("pillow_jxl", reason="the extra jxl is not installed")
    opened = open_photo(str(CORPUS / answer["file"]), PhotoInput(32, squash=False))
    assert (opened.width, opened.height) == (int(answer["width"]), int(answer["height"]))
    assert 1 + len(opened.frames) == int(answer["pictures"])
    assert (opened.taken or "", opened.camera) == (answer["taken"], answer["camera"])
    meant = [COLOURS[name] for name in answer["quadrants"].split()]
    if answer["file"].startswith("raw-"):  # a developed picture has other tones: which colour is where counts
        nearest = [
            min(COLOURS.values(), key=lambda c: np.abs(np.subtract(c, one)).sum()) for one in middles(opened.pixels)
        ]
        assert nearest == meant
    else:
        assert difference(opened.pixels, meant) < 8
